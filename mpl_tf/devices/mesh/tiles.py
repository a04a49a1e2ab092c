"""Convolution, pooling and their windows on tiles [B, S, H, w, C]: images split along their width over S cores.

DTensor can split no convolution over its width off the TPU, so a window is what it says: shifted slices of the image
with a halo, the neighbours' columns that the window reaches into.
"""

import math

import numpy as np
import tensorflow as tf

from mpl_tf.devices.mesh.grid import CORE, REPLICA
from mpl_tf.devices.recompute import after

PIXELS = [0, 1, 2, 3]  # All axes but the channels'.


def windows(grid, x, size, stride, fill=0.0):
    """The slices that a window of size x size sees, TensorFlow's SAME padding.

    Args:
        grid: Grid.
        x: tiles [B, S, H, w, C], w a multiple of the stride.
        size, stride: of the window, in both directions.
        fill: what lies outside of the image.
    Returns:
        list of size * size tiles [B, S, ceil(H / stride), w / stride, C], row after row.
    """
    _, cores, height, width, _ = x.shape
    high, top, bottom = _padding(height, size, stride)
    _, left, right = _padding(width * cores, size, stride)
    if left or right:
        x = _with_halo(grid, x, left, right, fill)
    if top or bottom:
        x = grid.tiles(tf.pad(x, [[0, 0], [0, 0], [top, bottom], [0, 0], [0, 0]], constant_values=fill))

    # Slice (i, j) holds, for every output pixel at once, the pixel that the window sees in its row i and column j.
    wide = width // stride
    rows = [slice(i, i + stride * (high - 1) + 1, stride) for i in range(size)]
    columns = [slice(i, i + stride * (wide - 1) + 1, stride) for i in range(size)]
    return [x[:, :, row, column, :] for row in rows for column in columns]


def convolution(grid, x, kernel, stride):
    """Tiles [B, S, H, w, C] * kernel [k, k, C, D] -> [B, S, ceil(H / stride), w / stride, D]."""
    # One matrix product over all that a window sees, rather than one a slice.
    size, _, channels, out = kernel.shape
    patches = windows(grid, x, size, stride)
    patches = patches[0] if len(patches) == 1 else tf.concat(patches, axis=-1)  # [B, S, H', w', k k C]
    return grid.tiles(tf.einsum("bshwc,cd->bshwd", patches, tf.reshape(kernel, [size * size * channels, out])))


def depthwise(grid, x, kernel, stride):
    """Tiles [B, S, H, w, C] * kernel [k, k, C, 1] -> [B, S, ceil(H / stride), w / stride, C]."""
    factors = tf.unstack(tf.reshape(kernel, [-1, kernel.shape[2]]))  # k k vectors [C], in the slices' order.
    slices = windows(grid, x, kernel.shape[0], stride)
    return grid.tiles(tf.add_n([one * factor for one, factor in zip(slices, factors, strict=True)]))


def max_pool(grid, x, size, stride):
    """The largest value of each window, SAME padding."""
    largest, *others = windows(grid, x, size, stride, fill=x.dtype.min)
    for other in others:
        largest = tf.maximum(largest, other)
    return grid.tiles(largest)


def mean(grid, x):
    """The mean over an example's pixels, [B, 1, 1, 1, C]."""
    return grid.tiles(tf.reduce_mean(x, axis=[1, 2, 3], keepdims=True))


def moments(grid, x):
    """Mean and variance of each channel over all examples and pixels, pinned, float32 [C].

    For the backward pass x waits as it is: TensorFlow's own gradient keeps a copy of bfloat16 tiles in float32.
    """
    count = math.prod(x.shape[:-1])

    @tf.custom_gradient
    def run(x):
        full = tf.cast(x, tf.float32)
        average = grid.pin(tf.reduce_mean(full, axis=PIXELS))
        variance = grid.pin(tf.reduce_mean(tf.math.squared_difference(full, average), axis=PIXELS))

        def gradient(to_average, to_variance):
            slope, offset = tf.cast(2 / count * to_variance, x.dtype), tf.cast(to_average / count, x.dtype)
            (centre,) = after([tf.cast(average, x.dtype)], to_variance, grid.dot)
            return grid.tiles((x - centre) * slope + offset)

        return (average, variance), gradient

    return run(x)


def scaled(grid, x, centre, scale, offset):
    """(x - centre) * scale + offset, in the type of x; as in `moments`, x alone waits for the backward pass.

    Args:
        grid: Grid.
        x: tiles.
        centre: constants [C], of the type of x.
        scale, offset: float32 [C]; their gradients are summed in float32.
    Returns:
        Tiles of the type of x.
    """

    @tf.custom_gradient
    def run(x, scale, offset):
        def gradient(upstream):
            full = tf.cast(upstream, tf.float32)
            to_offset = grid.pin(tf.reduce_sum(full, axis=PIXELS))
            (late,) = after([centre], to_offset, grid.dot)
            to_scale = grid.pin(tf.reduce_sum(full * tf.cast(x - late, tf.float32), axis=PIXELS))
            to_x = grid.tiles(upstream * tf.cast(scale, upstream.dtype))
            return to_x, to_scale, to_offset

        return grid.tiles((x - centre) * tf.cast(scale, x.dtype) + tf.cast(offset, x.dtype)), gradient

    return run(x, scale, offset)


def _padding(length, size, stride):
    """(output length, zeros before, zeros after) of SAME padding."""
    out = -(-length // stride)
    total = max((out - 1) * stride + size - length, 0)
    return out, total // 2, total - total // 2


def _with_halo(grid, x, left, right, fill):
    """Tiles with the neighbours' columns beside them: `left` before, `right` after; beyond the image, `fill`."""
    width = x.shape[3]
    before, after = [], []
    for distance in range(1, -(-left // width) + 1):  # A halo wider than a tile reaches into several.
        count = min(width, left - (distance - 1) * width)
        before.insert(0, _shifted(grid, x[:, :, :, width - count :, :], distance, fill))
    for distance in range(1, -(-right // width) + 1):
        count = min(width, right - (distance - 1) * width)
        after.append(_shifted(grid, x[:, :, :, :count, :], -distance, fill))
    return grid.tiles(tf.concat([*before, x, *after], axis=3))  # [B, S, H, left + w + right, C]


def _shifted(grid, columns, distance, fill):
    """At tile s the columns of tile s - distance."""
    cores, dtype = columns.shape[1], columns.dtype
    columns = grid.lay(columns, REPLICA, back=[REPLICA, CORE])
    # DTensor has no exchange of neighbours off the TPU (docs/devices.md): all cores get everyone's columns, which are
    # few, and keep those shifted to them, by a product with a shifted identity over the cores.
    moved = tf.einsum("bshwc,st->bthwc", columns, tf.constant(np.eye(cores, k=distance), dtype))
    # The first and the last tiles got zeros from beyond the image; max pooling must not see them.
    if fill:
        outside = [float(not 0 <= tile - distance < cores) for tile in range(cores)]
        moved += fill * tf.reshape(tf.constant(outside, dtype), [1, cores, 1, 1, 1])
    return grid.lay(moved, REPLICA, CORE, back=[REPLICA])
