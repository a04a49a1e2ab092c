"""A sweep leaves what runs of their own leave, to the bit, and refuses in one line."""

import csv
import json

import keras
import numpy as np
import pytest

from mpl_tf import main
from mpl_tf.base import files, storage
from mpl_tf.methods.mpl import MetaPseudoLabels
from tools import sweep

TINY = ["--dataset=digits_50", "--model=narrow_cnn", "--mu=1", "--train_steps=4", "--steps_per_epoch=2"]
TINY += ["--steps_per_execution=2", "--labeled_batch=10", "--finetune_steps=10", "--finetune_batch=10"]
SAMPLED = ["--feedback=taylor", "--pseudo_labels=sampled"]  # Draws labels by the method's own seed.
TIMES = {"seconds", "images_per_second", "crc32"}  # The checksum of a file that holds the other two follows them.


def results(folder):
    """results.json but for times."""
    return {key: value for key, value in json.loads((folder / "results.json").read_text()).items() if key not in TIMES}


def metrics(folder):
    """Rows of metrics.csv but for times."""
    with open(folder / "metrics.csv", newline="") as file:
        return [{key: value for key, value in row.items() if key not in TIMES} for row in csv.DictReader(file)]


def weights(folder):
    """Weights of the exported student."""
    return keras.models.load_model(folder / "student.keras").get_weights()


@pytest.mark.slow
def test_each_seed_equals_a_run_of_its_own_the_step_is_traced_once_and_a_finished_run_is_kept(
    tmp_path, capfd, monkeypatch
):
    traced, step = [], MetaPseudoLabels.step
    monkeypatch.setattr(MetaPseudoLabels, "step", lambda self, batch: traced.append(1) or step(self, batch))
    arguments = [*TINY, *SAMPLED]
    alone = tmp_path / "alone"
    assert main.main([*arguments, "--seed=2", f"--workdir={alone}"]) == 0
    once = len(traced)
    assert sweep.main(["--seeds=1,2", f"--output={tmp_path}/sweep", "--", *arguments]) == 0
    assert len(traced) == 2 * once > 0
    swept = tmp_path / "sweep" / "seed2"
    assert results(swept) == results(alone)
    assert metrics(swept) == metrics(alone)
    for a, b in zip(weights(swept), weights(alone), strict=True):
        np.testing.assert_array_equal(a, b)
    assert any((a != b).any() for a, b in zip(weights(swept), weights(tmp_path / "sweep" / "seed1"), strict=True))
    assert {p.relative_to(swept).parts[0] for p in swept.rglob("*")} == {
        p.relative_to(alone).parts[0] for p in alone.rglob("*")
    }
    written = (swept / "results.json").stat().st_mtime_ns
    assert sweep.main(["--seeds=2", f"--output={tmp_path}/sweep", "--", *arguments]) == 0
    assert "holds the finished run" in capfd.readouterr().out
    assert (swept / "results.json").stat().st_mtime_ns == written


def test_a_failed_seed_ends_the_sweep_with_its_line(tmp_path, capsys):
    full = tmp_path / "seed1"
    full.mkdir()
    (full / "something").write_text("else")
    assert sweep.main(["--seeds=1-3", f"--output={tmp_path}", "--", *TINY]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("mpl_tf: error: --workdir: expected an empty or new folder")
    assert not (tmp_path / "seed2").exists()


def test_a_sweep_into_a_bucket(bucket, capsys, monkeypatch):
    """Each seed's workdir is a URL, which the program takes; whose control the runs are is noted there too."""
    ran = []

    def train(argv, make):
        ran.append(argv[-1])
        files.write_text(f"{argv[-1].partition('=')[2]}/results.json", "{}")
        return 0

    monkeypatch.setattr(sweep.program, "main", train)
    output, control = f"--output={bucket}/sweep", f"--control={next(iter(sweep.CONTROLS))}"
    assert sweep.main(["--seeds=1,3", output, control, "--", *TINY]) == 0
    assert ran == [f"--workdir={bucket}/sweep/seed1", f"--workdir={bucket}/sweep/seed3"]
    assert storage.names(f"{bucket}/sweep") == {"control.txt", "seed1", "seed3"}
    assert sweep.main(["--seeds=4", output, "--", *TINY]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith(f"sweep: error: --output: {bucket}/sweep holds runs of the control")


def test_bad_flags_are_one_line_each(tmp_path, capsys):
    output = f"--output={tmp_path}"
    for argv in (
        [output],
        ["--seeds=a-b", output, "--"],
        ["--seeds=0", "--"],
        [output, "--core=99999", "--"],
        [output, "--", "--seed=3"],
        [output, "stray", "--"],
        ["--nonsense", output, "--"],
    ):
        assert sweep.main(argv) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 7
    assert all(line.startswith("sweep: error: ") for line in lines)
