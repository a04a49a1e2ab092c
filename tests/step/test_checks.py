"""What a notebook may hand over: labels that are no classes and networks without logits are refused in one line."""

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from mpl_tf.base.errors import UsageError
from mpl_tf.settings.catalogue import METHODS
from mpl_tf.step import checks
from tests import tiny

ROOT = Path(__file__).resolve().parents[2]


def refusal(call, *arguments, **options):
    with pytest.raises(UsageError) as caught:
        call(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def fit(method, batch, **options):
    return method.fit(tiny.repeated(batch), steps_per_epoch=2, verbose=0, **options)


def with_labels(labels, **options):
    return tiny.batch(**options) | {"y_l": tf.constant(labels)}


# ---- Labels -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", METHODS)
def test_every_method_refuses_labels_out_of_range(name):
    message = refusal(fit, tiny.make(name), with_labels([0, 3, -1, 2]))
    assert message == (
        "y_l: expected labels of classes 0 to 2, the network's outputs, got -1 to 3; give labels from 0 on"
    )


@pytest.mark.slow
def test_a_label_out_of_range_is_refused_wherever_it_comes():
    batches = tf.data.Dataset.from_tensors(with_labels([0, 1, 2, 0])).repeat(3)
    batches = batches.concatenate(tf.data.Dataset.from_tensors(with_labels([0, 1, 3, 0])))
    method = tiny.make("mpl", compiled={"steps_per_execution": 2})
    assert "got 0 to 3" in refusal(method.fit, batches, steps_per_epoch=4, verbose=0)


# The replica that refuses leaves the other one waiting for it: TensorFlow then cancels all sums over replicas of the
# process for good, those of other tests too.
ON_TWO_REPLICAS = """
import tensorflow as tf
from tests import conftest
from tests.step.test_checks import refusal, tiny, with_labels

strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    method = tiny.make("supervised")
batches = tf.data.Dataset.from_tensors(with_labels([0, 1, 2, 7])).repeat()
batches = strategy.experimental_distribute_dataset(batches)
print(refusal(method.fit, batches, steps_per_epoch=1, verbose=0))
"""


@pytest.mark.slow
def test_on_two_replicas_too():
    command = [sys.executable, "-c", ON_TWO_REPLICAS]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "got 2 to 7" in done.stdout.splitlines()[-1]


@pytest.mark.parametrize("kind", [np.int64, np.uint8, np.int16])
@pytest.mark.parametrize("name", ["supervised", "meta_semi"])
@pytest.mark.slow
def test_labels_of_any_integer_type_train_alike(name, kind):
    weights = []
    for labels in (np.array([0, 2, 1, 1], np.int32), np.array([0, 2, 1, 1], kind)):
        method = tiny.make(name)
        fit(method, with_labels(labels))
        weights.append(tiny.flat(method.student_network.get_weights()))
    np.testing.assert_array_equal(*weights)


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (
            np.eye(3, dtype=np.float32)[[0, 1, 2, 0]],
            "one class number an example, shape [B], got shape [4, 3]; give tf.argmax",
        ),
        (
            np.eye(3, dtype=np.int32)[[0, 1, 2, 0]],
            "one class number an example, shape [B], got shape [4, 3]; give tf.argmax",
        ),
        (
            np.array([[0], [1], [2], [0]], np.uint8),
            "one class number an example, shape [B], got shape [4, 1]; give y[:, 0]",
        ),
        (np.array([0, 1, 2, 0], np.float32), "class numbers of an integer type, got float32; give tf.cast(y, 'int32')"),
        (np.array([True, False, True, False]), "class numbers of an integer type, got bool; give tf.cast"),
    ],
)
@pytest.mark.parametrize("name", ["supervised", "mpl"])
def test_other_forms_of_labels_are_refused_with_what_to_do(name, labels, told):
    assert refusal(fit, tiny.make(name), with_labels(labels)).startswith(f"y_l: expected {told}")


def test_other_errors_of_a_step_are_no_labels():
    assert checks.told(tf.errors.InvalidArgumentError(None, None, "assertion failed: [y_l] [7]")) is None


# ---- Networks -----------------------------------------------------------------------------------------------------


def functional(*tail):
    x = keras.Input((tiny.FEATURES,))
    y = layers.Dense(tiny.CLASSES, name="dense_end")(x)
    for layer in tail:
        y = layer(y)
    return keras.Model(x, y, name="net")


def sequential(*tail):
    return keras.Sequential([keras.Input((tiny.FEATURES,)), *tail], name="net")


ENDS = {
    "softmax (end)": lambda: sequential(layers.Dense(tiny.CLASSES, "softmax", name="end")),
    "sigmoid (end)": lambda: sequential(layers.Dense(tiny.CLASSES, "sigmoid", name="end")),
    "softmax (last)": lambda: sequential(layers.Dense(tiny.CLASSES), layers.Softmax(name="last")),
    "softmax (act)": lambda: functional(layers.Activation("softmax", name="act")),
    "softmax (act32)": lambda: functional(
        layers.Activation("softmax", name="act32"), layers.Activation("linear", dtype="float32"), layers.Dropout(0.1)
    ),
    "softmax (softmax": lambda: functional(keras.ops.softmax),
    "softmax (deep)": lambda: functional(sequential_of_logits()),
}


def sequential_of_logits():
    return keras.Sequential([keras.Input((tiny.CLASSES,)), layers.Activation("softmax", name="deep")], name="inner")


@pytest.mark.parametrize("kind", ENDS)
def test_a_network_of_probabilities_is_refused(kind):
    network = ENDS[kind]()
    message = refusal(checks.logits, network)
    assert message.startswith(f"network: expected logits, net ends in {kind}")
    method = METHODS["supervised"].resolve()(network=network)
    assert refusal(method.compile, tiny.sgd(0.1, 0.9)) == message


def test_networks_of_logits_are_taken():
    checks.logits(tiny.network(1))
    checks.logits(functional(layers.Activation("linear", dtype="float32")))
    checks.logits(functional(layers.Activation("tanh")))
    # Within a network a softmax may be attention.
    checks.logits(functional(layers.Softmax(), layers.Dense(tiny.CLASSES)))
