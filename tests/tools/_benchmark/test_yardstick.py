"""The yardstick does the work of our step: its weights, losses, feedback and updates. Skipped without PyTorch."""

import importlib.util
import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from mpl_tf import models
from mpl_tf.step import losses
from tools import benchmark

SMALL = ["--what=yardstick", "--dataset=cifar10_4k", "--labeled_batch=2", "--mu=1"]
needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not installed")


def test_without_pytorch_one_line_says_how_to_install_it(monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert benchmark.main(SMALL) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "--what=yardstick: expected PyTorch, found none; pip install -e '.[yardstick]'" in line


def program(module, *arguments):
    """What a program of this project prints, in a process of its own: PyTorch crashes beside TensorFlow."""
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@needs_torch
def test_its_weights_losses_and_steps_are_those_of_ours(tmp_path):
    z_w, z_s = (np.random.default_rng(seed).normal(size=(6, 10)).astype(np.float32) for seed in (0, 1))
    np.savez(tmp_path / "given.npz", weak=z_w, strong=z_s, y=np.arange(6))
    found = json.loads(program("tests.tools._benchmark.yardstick_alone", str(tmp_path / "given.npz")))

    ours = models.build("wide_resnet_28_2", (32, 32, 3), 10)
    assert found["shapes"] == sorted(sorted(weight.shape) for weight in ours.trainable_weights)
    assert found["statistics"] == sum(np.prod(v.shape) for v in ours.non_trainable_weights if "moving" in v.name)

    expected, mask = losses.uda(tf.constant(z_w), tf.constant(z_s), 0.7, 0.3)
    assert 0 < np.mean(mask) < 1
    assert found["uda"] == pytest.approx(np.mean(expected), rel=1e-5)
    expected = losses.cross_entropy(tf.range(6), tf.constant(z_s), smoothing=0.15)
    assert found["cross_entropy"] == pytest.approx(np.mean(expected), rel=1e-5)

    assert found["h"] == pytest.approx(found["fall"], rel=1e-4) and abs(found["h"]) > 1e-3
    assert found["unmoved"] == 0
    assert found["average_error"] < 1e-6
    assert found["layouts"] == [True] * 4


@needs_torch
def test_the_report_has_both_forms_and_the_fastest(tmp_path):
    program("tools.benchmark", *SMALL, "--repeats=2", "--warmup=1", f"--json={tmp_path / 'y.json'}")
    report = json.loads((tmp_path / "y.json").read_text())
    each = [report[f"{form}_seconds_per_step"] for form in ("float32", "channels_last_bfloat16")]
    assert report["seconds_per_step"] == min(each) > 0
    assert report["images_per_second"] == pytest.approx(4 / min(each))
    assert report["versions"]["torch"]


def test_another_network_is_refused(monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    assert benchmark.main([*SMALL, "--model=small_cnn"]) == 2
    assert "--model: expected wide_resnet_28_2" in capsys.readouterr().err
