"""Each tiled layer beside the Keras layer it stands for, on a mesh of four CPU devices; run as a program.

Prints JSON: case to [difference of the output, of the gradient by the input, of those by the weights], each the largest
absolute one over the largest absolute value.
"""

import json
import sys

import keras
import numpy as np
import tensorflow as tf

from mpl_tf.devices.mesh.grid import make_grid
from mpl_tf.devices.mesh.layers import namespace
from mpl_tf.devices.mesh.variables import OnGrid
from mpl_tf.models import layers as plain

SAME = {"padding": "same"}
CASES = {
    "conv 3": (lambda layers: layers.Conv2D(6, 3, **SAME), (6, 16, 4)),
    "conv 7 stride 2, bias": (lambda layers: layers.Conv2D(6, 7, 2, **SAME), (9, 16, 3)),
    "conv 1 stride 2": (lambda layers: layers.Conv2D(6, 1, 2, use_bias=False, **SAME), (6, 16, 4)),
    "conv 5, a halo of two tiles": (lambda layers: layers.Conv2D(3, 5, **SAME), (4, 4, 2)),
    "depthwise 3": (lambda layers: layers.DepthwiseConv2D(3, use_bias=False, **SAME), (6, 16, 4)),
    "depthwise 5 stride 2": (lambda layers: layers.DepthwiseConv2D(5, 2, use_bias=False, **SAME), (7, 16, 4)),
    "depthwise 5, a halo of two tiles": (lambda layers: layers.DepthwiseConv2D(5, use_bias=False, **SAME), (4, 4, 3)),
    "max pool": (lambda layers: layers.MaxPooling2D(3, 2, **SAME), (7, 16, 4)),
    "average": (lambda layers: layers.GlobalAveragePooling2D(), (6, 16, 4)),
    "average, axes kept": (lambda layers: layers.GlobalAveragePooling2D(keepdims=True), (6, 16, 4)),
    "batch norm": (lambda layers: layers.BatchNorm(), (6, 16, 4)),
    "stochastic depth": (lambda layers: layers.StochasticDepth(0.5), (6, 16, 4)),
    "leaky": (lambda layers: layers.LeakyReLU(0.2), (6, 16, 4)),
}


def main(mesh):
    """Compare all cases on a mesh."""
    grid = make_grid(mesh)
    tiled = namespace(grid)
    print(json.dumps({name: compare(grid, tiled, *case) for name, case in CASES.items()}))


def compare(grid, tiled, make, shape):
    """Differences of one case."""
    random = np.random.default_rng(0)
    batch = random.normal(size=(4, *shape)).astype("float32")
    with tf.device("CPU:0"):
        one = layer(plain, make, shape)
        expected = run(one, tf.constant(batch))
    split = layer(tiled, make, shape)
    for mine, other in zip(split.variables, one.variables, strict=True):
        flat = other.dtype.startswith("float")
        mine._value = OnGrid(other.numpy(), grid, flat)
        mine._shape, mine.whole_shape = tuple(mine._value.shape), mine._value.whole_shape
    x = grid.put_images(batch)
    y, to_x, to_weights = run(split, x)
    got = [untile(grid.whole(y)), untile(grid.whole(to_x)), weights(grid, split, to_weights)]
    expected = [expected[0].numpy(), expected[1].numpy(), weights(None, one, expected[2])]
    return [difference(a, b) for a, b in zip(expected, got, strict=True)]


def layer(layers, make, shape):
    """The layer with weights drawn from seed 0, built by a network of it alone."""
    keras.utils.set_random_seed(0)
    inputs = layers.Input(shape)
    made = make(layers)
    made(inputs)
    return made


def run(layer, x):
    """Output in training, and gradients of a sum of a function of it that no normalisation cancels."""

    @tf.function(autograph=False)
    def step(x):
        variables = [tf.convert_to_tensor(v) for v in layer.trainable_variables]
        with tf.GradientTape() as tape:
            tape.watch([x, *variables])
            with keras.StatelessScope(list(zip(layer.trainable_variables, variables, strict=True))):
                y = layer(x, training=True)
            factors = tf.reshape(tf.cos(tf.range(y.shape[-1], dtype=tf.float32)), [1] * (len(y.shape) - 1) + [-1])
            loss = tf.reduce_sum(tf.sin(3 * y) * factors + y * y)
        to_x, *to_weights = tape.gradient(loss, [x, *variables])
        return y, to_x, to_weights

    return step(x)


def weights(grid, layer, gradients):
    """Gradients by the weights as one vector."""
    parts = [np.zeros(1)]
    for variable, gradient in zip(layer.trainable_variables, gradients, strict=True):
        shape = getattr(variable, "whole_shape", variable.shape)
        value = gradient.numpy() if grid is None else grid.whole(gradient)
        parts.append(value.ravel()[: int(np.prod(shape))])
    return np.concatenate(parts)


def untile(value):
    """[B, S, H, w, C] -> [B, H, W, C]; one value an example as [B, 1, 1, C] or [B, C]."""
    if value.ndim < 5:
        return value
    value = np.swapaxes(value, 1, 2)  # [B, H, S, w, C]
    return value.reshape(*value.shape[:2], -1, value.shape[-1])


def difference(expected, got):
    """Largest absolute difference over the largest absolute value."""
    assert expected.shape == got.shape, (expected.shape, got.shape)
    return float(np.abs(expected - got).max() / max(np.abs(expected).max(), 1e-12))


if __name__ == "__main__":
    main(sys.argv[1])
