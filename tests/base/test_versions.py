"""The versions that a run notes are those of the packages at work."""

import platform
import subprocess
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.base import versions

ROOT = Path(__file__).resolve().parents[2]


def test_versions_are_those_of_the_packages():
    found = versions.versions()["versions"]
    modules = {"tensorflow": tf, "keras": keras, "numpy": np}
    assert {name: found[name] for name in modules} == {name: one.__version__ for name, one in modules.items()}
    assert found["python"] == platform.python_version()


def test_the_revision_is_that_of_the_checkout():
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("no git checkout")
    assert done.stdout.startswith(versions.versions()["git_revision"].removesuffix("-dirty").rpartition("-g")[2])
