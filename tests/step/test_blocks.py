"""Steps whose blocks are computed again are those that keep everything, masks and moving statistics too."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.base.errors import UsageError
from mpl_tf.models.layers import BatchNorm
from mpl_tf.step.blocks import pushed
from mpl_tf.step.network import Learner
from tests import tiny
from tests.methods.test_methods import halves
from tests.tiny import run

pytestmark = pytest.mark.usefixtures("plain_graphs")


def residual(seed):
    """Two residual blocks of batch norm, convolution and stochastic depth on 8 x 8 images, and a dropout."""
    keras.utils.set_random_seed(seed)
    x = inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, padding="same")(x)
    for _ in range(2):
        y = keras.layers.Activation("relu")(BatchNorm(momentum=0.5)(x))
        y = keras.layers.Dropout(0.3, noise_shape=(None, 1, 1, 1))(keras.layers.Conv2D(4, 3, padding="same")(y))
        x = keras.layers.Add()([x, y])
    x = keras.layers.Dropout(0.5)(keras.layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, keras.layers.Dense(tiny.CLASSES, dtype="float32")(x))


def make(remat, accumulate=1, jit_compile=False, **options):
    """mpl on two such networks."""
    method = tiny.METHODS["mpl"].resolve()(residual(1), residual(2), ema_decay=0.9, **options)
    compiled = {"clip_norm": 0.5, "accumulate": accumulate, "remat": remat, "jit_compile": jit_compile}
    method.compile(tiny.sgd(0.1, 0.9), tiny.sgd(0.1, 0.9), **compiled)
    assert all(bool(learner.blocks) == (remat == "block") for learner in method.learners().values())
    return method


EXACT = {"feedback": "exact", "feedback_scale": "sum", "pseudo_labels": "soft"}


@pytest.mark.parametrize(
    ("accumulate", "options"),
    [(1, {"teacher_passes": "split"}), pytest.param(2, EXACT, marks=pytest.mark.slow)],
    ids=["taylor", "exact in parts"],
)
def test_one_device_ends_with_the_same_numbers(accumulate, options):
    batches = tiny.repeated(tiny.images())
    expected, got = (run(make(remat, accumulate, **options), batches, 3) for remat in ("none", "block"))
    np.testing.assert_allclose(got[1], expected[1], rtol=1e-5, atol=1e-6)
    for quantity, value in expected[0].items():
        assert got[0][quantity] == pytest.approx(value, rel=1e-4, abs=1e-6), quantity


@pytest.mark.slow
def test_two_replicas_end_with_the_same_numbers(two_replicas):
    """Batch norm takes its statistics over both, in what is computed again and in the second derivative too."""
    ends = []
    for remat in ("none", "block"):
        with two_replicas.scope():
            method = make(remat, **EXACT)
        ends.append(run(method, halves(two_replicas, tiny.images()), 2)[1])
    np.testing.assert_allclose(ends[1], ends[0], rtol=1e-5, atol=1e-6)


def test_a_derivative_along_a_direction_is_that_of_finite_differences():
    random = np.random.default_rng(0)
    x, w, dx, dw = (tf.constant(random.normal(size=shape)) for shape in ([4, 3], [3, 2]) * 2)

    def function(x, w):
        return [tf.sin(x @ w), tf.stop_gradient(x)]

    results, moved = pushed(function, [x, w], [dx, dw], 8.0)
    step = 1e-6
    ahead, behind = (function(x + sign * step * dx, w + sign * step * dw)[0] for sign in (1, -1))
    np.testing.assert_allclose(moved, (ahead - behind) / (2 * step), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(results[1], x)


def test_another_word_is_refused():
    with pytest.raises(UsageError, match="remat: expected none or block, got layer"):
        Learner(tiny.network(0), tiny.sgd(0.1, 0.9), 0.0, 0.0, 1, remat="layer")
