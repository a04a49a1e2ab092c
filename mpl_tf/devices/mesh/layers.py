"""Keras' layers on tiles: the namespace that networks take to be laid out over a grid (see mpl_tf/models/layers.py).

Each has the weights of the layer it stands for, in the same order, kept flat and gathered where they are used. With
--remat=layer the gathered copy and what the layer computes from it are made again in the backward pass instead of kept;
with block, whose pieces are made again whole, the windows are made once more, a layer's at a time. Every
layer pins its output: DTensor otherwise leaves sums unmade, whose gradients are then silently wrong.
"""

import types

import keras
import tensorflow as tf

from mpl_tf.base.errors import UsageError
from mpl_tf.devices.mesh import tiles
from mpl_tf.devices.mesh.grid import REPLICA
from mpl_tf.devices.recompute import recomputed


class Weighted:
    """A layer whose `compute(x, *weights)` is a function of gathered weights."""

    grid = None

    def build(self, input_shape):
        """Make the weights as for an image [B, H, W, C]."""
        # Keras asks for rank 4 from here on, where tiles have 5.
        super().build((input_shape[0], *input_shape[2:]))
        self.input_spec = None

    def weighted(self, x, *variables):
        """compute(x, ...) with the variables' gathered values."""
        shapes = [variable.whole_shape for variable in variables]

        # Gathered inside: gradients come back flat, and remat drops what was gathered.
        def run(x, *flat):
            return [self.compute(x, *[self.grid.gather(v, shape) for v, shape in zip(flat, shapes, strict=True)])]

        # Recomputed, neither the gathered weights nor the windows cut for a convolution wait for the backward pass.
        if self.grid.remat == "layer" or (self.grid.remat == "block" and self.window() > 1):
            run = recomputed(run, self.grid.dot)
        (y,) = run(x, *[tf.convert_to_tensor(variable) for variable in variables])
        return y

    def window(self):
        """Side of the window that the layer sees."""
        return getattr(self, "kernel_size", (1,))[0]

    def call(self, x):
        """Tiles -> tiles."""
        return self.weighted(x, self.kernel, *([self.bias] if self.use_bias else []))


class Windowed:
    """A layer with a window and a stride."""

    def __call__(self, x, *args, **kwargs):
        """Refuse a stride that steps out of a tile: here, as Keras rewrites the errors of what it calls."""
        cores, _, width, _ = x.shape[1:]
        if width % self.strides[0]:
            raise UsageError(
                f"--mesh: images split over {cores} cores leave tiles {width} columns wide before a stride of "
                f"{self.strides[0]}; give fewer cores or images whose width is a larger power of two times the cores"
            )
        return super().__call__(x, *args, **kwargs)

    def compute_output_shape(self, input_shape):
        """Tiles' shape after the window."""
        if len(input_shape) == 4:  # Keras' own check while it makes the weights.
            return super().compute_output_shape(input_shape)
        # SAME padding: the height is rounded up, the width divides (see __call__).
        batch, cores, height, width, channels = input_shape
        stride = self.strides[0]
        return batch, cores, -(-height // stride), width // stride, getattr(self, "filters", None) or channels


class Conv2D(Windowed, Weighted, keras.layers.Conv2D):
    """keras.layers.Conv2D."""

    def compute(self, x, kernel, bias=None):
        """Convolve tiles."""
        y = tiles.convolution(self.grid, x, kernel, self.strides[0])
        return y if bias is None else self.grid.tiles(y + bias)


class DepthwiseConv2D(Windowed, Weighted, keras.layers.DepthwiseConv2D):
    """keras.layers.DepthwiseConv2D of depth multiplier 1, without bias."""

    def compute(self, x, kernel):
        """Convolve each channel of tiles."""
        return tiles.depthwise(self.grid, x, kernel, self.strides[0])


class MaxPooling2D(Windowed, keras.layers.MaxPooling2D):
    """keras.layers.MaxPooling2D."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.input_spec = None  # Keras' asks for rank 4.

    def call(self, x):
        """Tiles -> tiles."""

        def run(x):
            return [tiles.max_pool(self.grid, x, self.pool_size[0], self.strides[0])]

        run = run if self.grid.remat == "none" else recomputed(run, self.grid.dot)
        return run(x)[0]


class GlobalAveragePooling2D(keras.layers.GlobalAveragePooling2D):
    """keras.layers.GlobalAveragePooling2D: one value an example."""

    grid = None

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.input_spec = None  # Keras' asks for rank 4.

    def compute_output_shape(self, input_shape):
        """[B, 1, 1, 1, C] or [B, C]."""
        return (input_shape[0], *([1, 1, 1] if self.keepdims else []), input_shape[-1])

    def call(self, x):
        """Tiles -> examples."""
        y = tiles.mean(self.grid, x)
        return y if self.keepdims else self.grid.lay(tf.reshape(y, [y.shape[0], y.shape[-1]]), REPLICA)


class BatchNorm(Weighted, keras.layers.BatchNormalization):
    """models.layers.BatchNorm, its statistics over all replicas and cores."""

    def __init__(self, momentum=0.99, epsilon=1e-3, **kwargs):
        super().__init__(momentum=momentum, epsilon=epsilon, **kwargs)

    def call(self, x, training=None):
        """Normalise tiles."""
        if not (training and self.trainable):
            return self.weighted(x, self.gamma, self.beta, self.moving_mean, self.moving_variance)
        mean, variance = tiles.moments(self.grid, x)
        # What moves is an average of steps, not part of this one's gradient.
        for moving, now in ((self.moving_mean, mean), (self.moving_variance, variance)):
            old = tf.convert_to_tensor(moving)
            moving.assign(old * self.momentum + tf.stop_gradient(self.grid.flat(now)) * (1 - self.momentum))
        return self.weighted(x, self.gamma, self.beta, mean=mean, variance=variance)

    def weighted(self, x, *variables, **statistics):
        """The vectors in float32, as Keras has them, the tiles in their own type; nothing of it is made again."""
        values = [self.grid.gather(tf.convert_to_tensor(v), v.whole_shape) for v in variables]
        gamma, beta, *moving = [tf.cast(value, tf.float32) for value in values]
        mean, variance = moving or statistics.values()
        # (x - mean) / sigma * gamma + beta; what x's type rounds off the mean is in the offset.
        scale = tf.math.rsqrt(variance + self.epsilon) * gamma
        centre = tf.stop_gradient(tf.cast(mean, x.dtype))
        return tiles.scaled(self.grid, x, centre, scale, beta + (tf.cast(centre, tf.float32) - mean) * scale)


class Dense(Weighted, keras.layers.Dense):
    """keras.layers.Dense of examples; its output is pinned, so that losses are the same on all devices."""

    def build(self, input_shape):
        """As Keras does."""
        keras.layers.Dense.build(self, input_shape)

    def compute(self, x, kernel, bias):
        """[B, C] -> [B, D]."""
        y = self.grid.lay(tf.matmul(x, kernel), REPLICA)
        return self.grid.pin(y, back=[REPLICA]) + bias


class Noise(keras.layers.Dropout):
    """keras.layers.Dropout of values a row of examples; the noise is drawn whole, the same as on one device."""

    grid = None

    def call(self, x, training=False):
        """Drop with the noise of [B, C], or of [B, 1, 1, 1] for a branch of tiles."""
        if not training or not self.rate:
            return x
        # Keras' dropout of ones is the noise itself.
        ones = self.grid.pin(tf.ones([x.shape[0], *([1] * 3 if len(x.shape) == 5 else x.shape[1:])], x.dtype))
        noise = self.grid.pin(super().call(ones, training=True))

        # No gradient goes back into the noise: back=().
        if len(x.shape) == 5:
            return self.grid.tiles(x * self.grid.lay(tf.reshape(noise, [x.shape[0], 1, 1, 1, 1]), REPLICA, back=()))
        return self.grid.lay(x * self.grid.lay(noise, REPLICA, back=()), REPLICA)


def namespace(grid):
    """The names of mpl_tf.models.layers for networks on a grid."""

    def on_grid(kind):
        """The layer for this grid: networks name classes, and make their layers without knowing of it."""
        return type(kind.__name__, (kind,), {"grid": grid})

    def tiled_input(shape):
        """keras.Input of images [H, W, C], cut into the cores' patches."""
        height, width, channels = shape
        if width % grid.cores:
            raise UsageError(
                f"--mesh: images {width} pixels wide do not split into {grid.cores} equal patches; give a number of "
                "cores that divides the width"
            )
        return keras.Input((grid.cores, height, width // grid.cores, channels))

    # Keras' own where each pixel is for itself; the others take the grid as an attribute of their class.
    kinds = (Conv2D, DepthwiseConv2D, MaxPooling2D, GlobalAveragePooling2D, BatchNorm, Dense)
    elementwise = {kind.__name__: kind for kind in (keras.layers.Activation, keras.layers.Add, keras.layers.LeakyReLU)}
    return types.SimpleNamespace(
        **{kind.__name__: on_grid(kind) for kind in kinds},
        **elementwise,
        Input=tiled_input,
        Multiply=on_grid(Gate),
        Dropout=on_grid(Noise),
        StochasticDepth=on_grid(Noise),
    )


class Gate(keras.layers.Multiply):
    """keras.layers.Multiply of tiles by one value an example."""

    grid = None

    def call(self, inputs):
        """Tiles -> tiles."""
        return self.grid.tiles(super().call(inputs))
