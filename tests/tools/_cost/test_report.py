"""The compiled step computes what the method asks for, and little more."""

import json

import keras
import pytest
import tensorflow as tf

from mpl_tf.base.errors import RunError
from mpl_tf.methods.mpl import MetaPseudoLabels
from mpl_tf.methods.supervised import Supervised
from mpl_tf.models.layers import BatchNorm
from tests import tiny
from tests.tools.studies.test_compiled import without_determinism  # noqa: F401  A fixture.
from tools._cost import report
from tools.studies import compiled

pytest.importorskip("jaxlib", reason="jaxlib is not installed; mpl-tf[cost] brings it")

MOST = 1.05  # Of what the step's products compute, to the least.


def network():
    """4 x 4 x 3 -> convolution of 8 -> depthwise -> mean -> 5 classes."""
    x = inputs = keras.Input((4, 4, 3))
    x = keras.layers.LeakyReLU()(BatchNorm()(keras.layers.Conv2D(8, 3, padding="same", use_bias=False)(x)))
    x = keras.layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
    return keras.Model(inputs, keras.layers.Dense(5)(keras.layers.GlobalAveragePooling2D()(x)))


CONV, REST = 2 * 10 * 10 * 3 * 8, 2 * 10 * 10 * 8 + 2 * 8 * 5


def spec(labeled, unlabeled):
    images = {"x_l": labeled, "x_u_weak": unlabeled, "x_u_strong": unlabeled}
    return {key: tf.TensorSpec([count, 4, 4, 3]) for key, count in images.items()} | {
        "y_l": tf.TensorSpec([labeled], tf.int32)
    }


@pytest.mark.parametrize(
    ("feedback", "forward", "gradient"),
    [("taylor", 4, 2 + 2 * 6 + 6), pytest.param("exact", 0, 22, marks=pytest.mark.slow)],
)
def test_the_step_of_meta_pseudo_labels_computes_the_least(feedback, forward, gradient):
    method = MetaPseudoLabels(network(), network(), "argmax", feedback=feedback)
    method.compile(tiny.sgd(0.1, 0.9), tiny.sgd(0.1, 0.9), jit_compile=True, steps_per_execution=4)
    found = report.of_method(method, spec(2, 6), "mpl", 2, 6)
    derivative = 6 if feedback == "exact" else 0
    least = forward * (CONV + REST) + gradient * (2 * CONV + 3 * REST) + derivative * (CONV + 2 * REST)
    assert found["least_flops"] == least
    assert found["ratio"] == pytest.approx(1, abs=1e-3)
    assert found["widened"] > 0  # Of the depthwise layer, by XLA for CPUs.
    assert found["flops"] > found["products"] > found["widened"]
    assert (found["steps"], found["programs"], found["host_transfers"], found["outside"]) == (4, 1, 0, [])


def test_a_needless_pass_is_seen():
    class Wasteful(Supervised):
        def step(self, batch):
            found = super().step(batch)
            (z,), _ = self.student.forward(self.student.weights(), [2 * batch["x_l"]])
            return found._replace(logs=found.logs | {"accuracy": tf.reduce_mean(z)})

    method = Wasteful(network(), ema_decay=0.0)
    method.compile(tiny.sgd(0.1, 0.9), jit_compile=True)
    found = report.of_method(method, {key: spec(4, 0)[key] for key in ("x_l", "y_l")}, "supervised", 4, 0)
    assert found["least_flops"] == 4 * (2 * CONV + 3 * REST)
    assert found["ratio"] == pytest.approx(1 + (CONV + REST) / (2 * CONV + 3 * REST), abs=1e-3)


def test_the_command_counts_the_configured_step(tmp_path, capsys):
    file = tmp_path / "cost.json"
    flags = ["--dataset=two_moons", "--method=supervised", "--labeled_batch=4", "--steps=3"]
    assert compiled.main(["--cost", *flags, f"--json={file}"]) == 0
    found = json.loads(file.read_text())
    assert found == json.loads(capsys.readouterr().out)
    assert found["passes"] == ["student: gradient of 4"]
    assert found["shape"] == [2]
    assert found["ratio"] == pytest.approx(1, abs=1e-3)
    assert (found["steps"], found["host_transfers"]) == (3, 0)
    assert compiled.main(["--cost", *flags, "--accumulate=2"]) == 2
    assert "--accumulate: expected 1 with --cost" in capsys.readouterr().err


def test_what_xla_refuses_is_told(monkeypatch):
    def step(self, batch):
        return tf.strings.length(tf.strings.as_string(batch["y_l"]))

    monkeypatch.setattr(Supervised, "train_step", step)
    method = Supervised(network(), ema_decay=0.0)
    method.compile(tiny.sgd(0.1, 0.9), jit_compile=True)
    with pytest.raises(RunError, match=r"^--cost: XLA refuses the step \(XLA \(.*\) has no (AsString|StringLength) "):
        report.programs_of(method, spec(4, 0))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "method"),
    [("wide_resnet_28_2", "uda"), ("wide_resnet_28_2", "mpl"), ("resnet_50", "mpl"), ("efficientnet_b0", "mpl")],
)  # The teacher of mpl makes uda's passes.
def test_the_networks_of_the_paper_compute_little_more_than_the_least(make_config, model, method):
    options = {"dataset": "cifar10_4k", "labeled_batch": 2, "mu": 1, "jit_compile": True, "feedback": "taylor"}
    found = report.of_config(make_config(**options, model=model, method=method), steps=10)
    assert 0.99 < found["ratio"] <= MOST
    assert (found["programs"], found["host_transfers"]) == (1, 0)
