"""The whole MPL step under XLA on a narrow network; docs/results/xla/ has the full ones.

XLA draws by another algorithm than TensorFlow's kernels: no dropout and no sampled labels here.
"""

import json

import numpy as np
import pytest
from tensorflow.python.framework import config

from mpl_tf.methods.mpl import MetaPseudoLabels
from mpl_tf.models import efficientnet
from tests import tiny
from tools.studies import compare, compiled

SHAPE = (32, 32, 3)


@pytest.fixture(autouse=True)
def without_determinism():
    """XLA has no deterministic gradient of max-pooling; earlier runs in this process may have asked for determinism."""
    was = config.is_op_determinism_enabled()
    config.disable_op_determinism()
    yield
    if was:
        config.enable_op_determinism()


def narrow_efficientnet():
    """One block of EfficientNet with all that one can have, a quarter of the channels."""
    blocks = [(3, 32, 1, 4, 1)]
    return efficientnet.efficientnet("part", 0.25, 1.0, SHAPE, compare.CLASSES, blocks=blocks)


@pytest.mark.slow
def test_the_compiled_step_gives_the_numbers_of_the_plain_one():
    def make(jit):
        options = {"feedback": "exact", "feedback_scale": "sum", "pseudo_labels": "soft", "uda_threshold": 0.0}
        networks = narrow_efficientnet(), narrow_efficientnet()
        method = MetaPseudoLabels(*networks, ema_decay=0.9, uda_ramp_steps=2, **options)
        method.compile(tiny.sgd(0.01, 0.9), tiny.sgd(0.01, 0.9), weight_decay=1e-4, clip_norm=5.0, jit_compile=jit)
        assert method.jit_compile == jit
        return method

    batch = compare.noise(np.random.default_rng(0), make(False).student_network.input_shape[1:], 4, 4)
    result = compiled.compare(make, batch, steps=1)
    assert {"loss", "student_loss", "h", "norm_feedback", "gradient_norm"} <= set(result["differences"])
    assert max(result["differences"].values()) < 1e-3  # h is the small difference of two losses.
    parts = {part: value for part, value in result["variables"].items() if part != "counters"}
    assert set(parts) == {"teacher", "teacher_optimizer", "student", "student_optimizer", "average"}
    assert max(parts.values()) < 1e-5


@pytest.mark.slow
def test_the_command_compares_the_configured_step(tmp_path, capsys):
    arguments = ["--model=small_cnn", "--method=supervised", "--image_size=8", "--labeled_batch=2", "--dropout=0"]
    assert compiled.main([*arguments, "--steps=1", "--teacher_warmup_steps=0", f"--json={tmp_path / 'step.json'}"]) == 0
    report = json.loads((tmp_path / "step.json").read_text())
    assert report == json.loads(capsys.readouterr().out)
    assert {"loss", "accuracy"} <= set(report["differences"])
    assert max(report["variables"].values()) < 1e-5
    assert compiled.main(["--model=small_cnn", "--mu=0"]) == 2
    assert "--mu: expected at least 1, got 0" in capsys.readouterr().err


def test_another_strategy_than_one_devices_is_refused(capsys):
    assert compiled.main(["--cost", "--model=narrow_cnn", "--strategy=mirrored"]) == 2
    told = capsys.readouterr().err
    assert "--strategy: the step of one device is compiled here, got mirrored; give --strategy=one" in told
