"""Misspelt names are refused at once: before TensorFlow is imported, with the nearest name and all there are."""

import dataclasses
import json
import subprocess
import sys

import pytest

from mpl_tf.settings import flags
from mpl_tf.settings.catalogue import DATASETS, METHODS, NETWORKS
from mpl_tf.settings.run_settings import SCALES

MISSPELT = {  # Flag: what came, the nearest name, all there are in the order of the message.
    "method": ("fixmach", "fixmatch", list(METHODS)),
    "model": ("wide_resnet_28_20", "wide_resnet_28_2", list(NETWORKS)),
    "teacher_model": ("smal_cnn", "small_cnn", list(NETWORKS)),
    "dataset": ("cifar10_4", "cifar10_4k", sorted(DATASETS)),
    "scale": ("smok", "smoke", sorted(SCALES)),
}
# Runs each command line in one process, then tells their statuses and what was imported on the way.
PROGRAM = """
import json, sys
from mpl_tf import main
statuses = [main.main(argv) for argv in json.loads(sys.argv[1])]
print(json.dumps([statuses, sorted({name.split(".")[0] for name in sys.modules})]))
"""


def refused(*command_lines):
    """(lines on stderr, modules imported) of command lines that end with status 2, of a process of their own."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(command_lines)], capture_output=True, text=True, check=True
    )
    statuses, modules = json.loads(done.stdout)
    assert statuses == [2] * len(command_lines)
    return done.stderr.strip().splitlines(), modules


@pytest.fixture(scope="module")
def told():
    return refused(*(["--dataset=digits_50", f"--{flag}={given}"] for flag, (given, _, _) in MISSPELT.items()))


def test_no_tensorflow_is_imported_on_the_way(told):
    assert not {"tensorflow", "keras", "numpy", "tensorflow_datasets"} & set(told[1])
    assert "mpl_tf" in told[1]


@pytest.mark.parametrize("flag", MISSPELT)
def test_the_nearest_name_and_all_there_are_are_told(told, flag):
    given, near, names = MISSPELT[flag]
    line = dict(zip(MISSPELT, told[0], strict=True))[flag]
    assert line.startswith(f"mpl_tf: error: --{flag}: expected one of {', '.join(names)}")
    assert line.endswith(f"; did you mean {near}?") and given in line


def test_the_names_of_a_stored_configuration_are_refused_alike(tmp_path):
    config = dataclasses.asdict(flags.parse(["--dataset=digits_50"]))
    command_lines = []
    for flag, (given, _, _) in MISSPELT.items():
        path = tmp_path / f"{flag}.json"
        path.write_text(json.dumps({"flags": config | {flag: given}}))
        command_lines.append([f"--config={path}"])
    lines, modules = refused(*command_lines)
    assert "tensorflow" not in modules
    for line, (flag, (_, near, _)) in zip(lines, MISSPELT.items(), strict=True):
        assert line.startswith(f"mpl_tf: error: --{flag}: expected one of ") and line.endswith(f"did you mean {near}?")


def test_a_network_that_cannot_take_the_examples_is_refused_as_early():
    lines, modules = refused(
        ["--dataset=digits_50", "--model=resnet_50"],
        ["--dataset=cifar10_4k", "--teacher_model=mlp"],
        ["--dataset=two_moons", "--model=cnn13"],
    )
    assert "tensorflow" not in modules
    assert [line.removeprefix("mpl_tf: error: ") for line in lines] == [
        "--model: resnet_50 takes images of at least 32 x 32 pixels, the data set has examples of shape (8, 8, 3); use "
        "another network or, for own images, give --image_size=32 or more",
        "--teacher_model: mlp takes vectors, the data set has examples of shape (32, 32, 3); use small_cnn or "
        "wide_resnet_28_2",
        "--model: cnn13 takes images of at least 12 x 12 pixels, the data set has examples of shape (2,); use mlp",
    ]
