"""Max-pooling against TensorFlow's own: values and three derivatives, among equal pixels too, with and without XLA."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.models.layers import stock_copy
from mpl_tf.models.pooling import MaxPooling2D
from tests.tools.studies.test_compiled import without_determinism  # noqa: F401  A fixture.

POOLS = [(2, 2, "valid"), (2, 2, "same"), (3, 2, "same"), (3, 1, "same"), ((3, 2), (2, 1), "valid")]
TYPES = ["float32", "bfloat16", "float16"]


def native(size, strides, padding):
    return lambda x: tf.nn.max_pool2d(x, size, strides, padding.upper())


def derivatives(pool, x, directions):
    """The pooled images, and the first to third derivative of the sum of their cubes, each along directions."""
    with tf.GradientTape() as third:
        third.watch(x)
        with tf.GradientTape() as second:
            second.watch(x)
            with tf.GradientTape() as first:
                first.watch(x)
                y = pool(x)
                loss = tf.reduce_sum(y**3)
            slope = first.gradient(loss, x)
            along = tf.reduce_sum(slope * directions[0])
        curve = second.gradient(along, x)
        along = tf.reduce_sum(curve * directions[1])
    return y, slope, curve, third.gradient(along, x)


def images(dtype, whole):
    """Images 7 x 9 and two directions; of whole numbers from 0 to 2 most windows have several largest pixels."""
    random = np.random.default_rng(0)
    x = random.integers(0, 3, (2, 7, 9, 3)) if whole else random.normal(size=(2, 7, 9, 3))
    return tf.cast(x, dtype), [tf.cast(random.normal(size=x.shape), dtype) for _ in range(2)]


@pytest.mark.parametrize("whole", [False, True], ids=["all different", "equal pixels"])
@pytest.mark.parametrize("pool", POOLS, ids=str)
def test_the_bits_are_those_of_tensorflows_operations(pool, whole):
    x, directions = images("float32", whole)
    expected = derivatives(native(*pool), x, directions)
    for order, (one, other) in enumerate(zip(expected, derivatives(MaxPooling2D(*pool), x, directions), strict=True)):
        np.testing.assert_array_equal(other, one, err_msg=f"derivative {order}")


@pytest.mark.usefixtures("without_determinism")
@pytest.mark.parametrize("dtype", TYPES)
def test_xla_compiles_all_derivatives_in_every_type(dtype):
    """With the numbers of the same operations without XLA, in the same type."""
    layer = MaxPooling2D(3, 2, padding="same", dtype=dtype)
    x, directions = images(dtype, whole=True)
    compiled = tf.function(lambda x, *along: derivatives(layer, x, along), jit_compile=True, autograph=False)
    expected = derivatives(native(3, 2, "same"), x, directions)
    for one, other in zip(expected, compiled(x, *directions), strict=True):
        assert other.dtype == dtype
        found, wanted = (tf.cast(value, "float32").numpy() for value in (other, one))
        np.testing.assert_allclose(found, wanted, rtol=2e-2 if dtype != "float32" else 1e-6, atol=1e-6)


def test_channels_first_and_images_of_any_size_are_left_to_keras():
    x = tf.random.stateless_normal([1, 6, 6, 2], [0, 0])
    inputs = keras.Input((None, None, 2))
    any_size = keras.Model(inputs, MaxPooling2D()(inputs))
    np.testing.assert_array_equal(any_size(x), tf.nn.max_pool2d(x, 2, 2, "VALID"))
    first = MaxPooling2D(data_format="channels_first")(tf.transpose(x, [0, 3, 1, 2]))
    np.testing.assert_array_equal(tf.transpose(first, [0, 2, 3, 1]), tf.nn.max_pool2d(x, 2, 2, "VALID"))


def test_an_exported_network_has_keras_own_layer():
    inputs = keras.Input((6, 6, 2))
    copy = stock_copy(keras.Model(inputs, MaxPooling2D(3, 2, padding="same")(inputs)))
    layer = copy.layers[-1]
    assert type(layer) is keras.layers.MaxPooling2D
    assert (layer.pool_size, layer.strides, layer.padding) == ((3, 3), (2, 2), "same")
