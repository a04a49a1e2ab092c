"""Python's arguments: what becomes of them, and how refusals speak of them."""

from pathlib import Path

import numpy as np
import pytest

from mpl_tf.base.errors import RunError, UsageError
from mpl_tf.settings import arguments, flags


def test_a_call_gives_the_config_of_its_command_line(tmp_path):
    called = {"dataset": "digits_50", "seed": np.int32(3), "uda_weight": 2, "flip": True, "workdir": Path("runs/x")}
    line = ["--dataset=digits_50", "--seed=3", "--uda_weight=2", "--flip", "--workdir=runs/x"]
    assert arguments.parse("train", called | {"teacher": None}) == flags.parse(line)


def test_a_labeled_folder_alone_is_own_images(tmp_path):
    folders = {f"{name}_dir": tmp_path for name in ("labeled", "unlabeled", "test")}
    assert arguments.parse("train", folders).dataset == "folder"


@pytest.mark.parametrize(
    ("flag", "argument"),
    [
        ("--seed: expected 0, got 1", "seed: expected 0, got 1"),
        ("give --keep=best, or --mu=3.", "give keep='best', or mu=3."),
        ("give --noflip (or --flip=false)", "give flip=False (or flip=False)"),
        ("--nonsense=1 and --logdir stay; --store", "--nonsense=1 and --logdir stay; store"),
        ("expected a number; see --help", "expected a number; see docs/flags.md"),
        ("--workdir=runs/a.b/c: no", "workdir='runs/a.b/c': no"),
    ],
)
def test_flags_become_arguments(flag, argument):
    assert arguments.in_python(flag) == argument


@pytest.mark.parametrize("kind", [UsageError, RunError])
def test_the_error_itself_is_told_anew(kind):
    with pytest.raises(kind, match="^seed: no$"), arguments.told():
        raise kind("--seed: no")
