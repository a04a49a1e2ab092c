"""TensorFlow for TPUs, installed as tpu/README.md says, runs the program on a machine that has no TPU."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
# Each mode as the command line has it, in one process: TensorFlow starts once.
PROGRAM = """
import sys
from mpl_tf.main import main
short = ["--train_steps=10", "--steps_per_epoch=10", "--steps_per_execution=1"]
for command in (
    ["--dataset=digits_50", "--finetune_steps=10", *short, "--workdir=digits"],
    ["--mode=evaluate", "--workdir=digits"],
    ["--mode=predict", "--workdir=digits", "--images=images"],
    ["--dataset=two_moons", *short, "--workdir=moons"],
    ["--mode=evaluate", "--workdir=moons"],
):
    if main(command):
        sys.exit(f"failed: {command}")
"""


def pip(python, *arguments):
    """The finished process of a pip command."""
    quiet = ["--quiet", "--disable-pip-version-check", "--retries=1"]
    command = [python, "-m", "pip", *arguments, *quiet]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=900)


@pytest.fixture
def python(tmp_path):
    """The interpreter of an environment with the TPUs' TensorFlow; without a package registry the test is skipped."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "environment"], check=True)
    python = tmp_path / "environment" / "bin" / "python"
    small = pip(python, "download", "--no-deps", f"--dest={tmp_path}", "absl-py")
    if small.returncode:
        pytest.skip(f"pip reaches no package registry: {small.stderr.strip().splitlines()[-1]}")

    # A copy, as setuptools leaves its work in the folder that it builds.
    source = tmp_path / "source"
    left_out = shutil.ignore_patterns(".git", "build", "*.egg-info", "runs", "docs", "tests", "__pycache__")
    shutil.copytree(ROOT, source, ignore=left_out)
    made = pip(python, "install", f"{source}/tpu/tensorflow", f"{source}[tpu]")
    assert made.returncode == 0, made.stderr
    return python


@pytest.mark.slow
def test_it_trains_finetunes_evaluates_and_predicts(python, tmp_path):
    (tmp_path / "images").mkdir()
    Image.fromarray(np.zeros([8, 8, 3], np.uint8)).save(tmp_path / "images" / "black.png")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"TPU_SKIP_MDS_QUERY": "1"}  # There is no TPU whose metadata could be asked for.
    ended = subprocess.run(
        [python, "-c", PROGRAM],
        check=False,
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr

    # What is scored again is what was scored at the runs' ends: the same program, without XLA.
    scores = [json.loads(line)["test"] for line in ended.stdout.splitlines() if line.startswith('{"test"')]
    kept = [json.loads((tmp_path / run / "results.json").read_text())["test"] for run in ("digits", "moons")]
    assert scores == kept
    assert len((tmp_path / "digits" / "predictions.csv").read_text().splitlines()) == 2
    versions = json.loads((tmp_path / "digits" / "config.json").read_text())
    assert "2.20" in json.dumps(versions)
    assert "--jit_compile: this TensorFlow has no XLA" in ended.stderr
