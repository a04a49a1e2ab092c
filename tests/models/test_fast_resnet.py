"""fast_resnet: its sizes and its forward pass by hand."""

import numpy as np
import pytest
import tensorflow as tf

from mpl_tf import models


def by_hand(network, x, stem):
    """The network's formula in plain TensorFlow, its weights taken in the order of the formula; inference mode."""
    convolutions = iter([layer for layer in network.layers if type(layer).__name__ == "Conv2D"])
    norms = iter([layer for layer in network.layers if type(layer).__name__ == "BatchNorm"])

    def conv(value, width, stride=1):
        value = tf.nn.conv2d(value, tf.convert_to_tensor(next(convolutions).kernel), stride, "SAME")
        assert value.shape[-1] == width
        gamma, beta, mean, variance = (tf.convert_to_tensor(weight) for weight in next(norms).weights)
        return (value - mean) / tf.sqrt(variance + 1e-3) * gamma + beta

    value = tf.nn.relu(conv(x, stem))
    for width in (2 * stem, 4 * stem, 8 * stem):
        value = tf.nn.relu(conv(value, width, stride=2))
        value = tf.nn.relu(value + conv(tf.nn.relu(conv(value, width)), width))
    assert next(convolutions, None) is None
    dense = network.layers[-1]
    return tf.reduce_mean(value, axis=(1, 2)) @ dense.kernel + dense.bias


@pytest.mark.parametrize(("name", "stem"), [("fast_resnet", 16), ("fast_resnet_wide", 32)])
def test_sizes_and_forward_pass(name, stem):
    network = models.build(name, (9, 12, 3), 7)
    widths = [stem * 2**stage for stage in range(4)]
    kernels = 3 * stem + sum(into * out + 2 * out * out for into, out in zip(widths, widths[1:], strict=False))
    norms = 2 * (stem + 3 * sum(widths[1:]))
    count = 9 * kernels + norms + 8 * stem * 7 + 7
    assert sum(int(np.prod(weight.shape)) for weight in network.trainable_weights) == count
    random = np.random.default_rng(0)
    for layer in network.layers:  # Moments that tell one norm from another.
        if type(layer).__name__ == "BatchNorm":
            layer.set_weights([random.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()])
    x = random.normal(size=(3, 9, 12, 3)).astype(np.float32)
    np.testing.assert_allclose(network(x), by_hand(network, x, stem), rtol=1e-4, atol=1e-4)


def test_weights_for_ten_classes():
    network = models.build("fast_resnet", (32, 32, 3), 10)
    assert sum(int(np.prod(weight.shape)) for weight in network.trainable_weights) == 486_938
