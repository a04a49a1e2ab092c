"""Max-pooling whose second derivative XLA compiles in every type of numbers.

Values and first derivatives are TensorFlow's own operations, MaxPool and MaxPoolGrad. TensorFlow's second derivative,
MaxPoolGradGrad, picks at each window's largest pixel, the first one of equals, what comes back there; XLA has it for
float32 alone (2.21). Here the same pick is made of slices, with the same bits.
"""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("mpl_tf")
class MaxPooling2D(keras.layers.MaxPooling2D):
    """keras.layers.MaxPooling2D: same numbers and configuration, differentiable as often as is asked for."""

    def call(self, inputs):
        """[B, H, W, C] -> [B, H', W', C], floats."""
        # Of images of unknown size, or with the channels first, slices are not known here: Keras' own.
        if self.data_format != "channels_last" or None in inputs.shape[1:3]:
            return super().call(inputs)
        pool = super().call

        @tf.custom_gradient
        def run(x):
            y = pool(x)
            return y, lambda upstream: _scattered(upstream, x, y, self.pool_size, self.strides, self.padding)

        return run(inputs)

    def plain(self):
        """The stock Keras layer of the same configuration, for export."""
        return keras.layers.MaxPooling2D.from_config(self.get_config())


def _scattered(values, x, y, size, strides, padding):
    """Each window's value [B, H', W', C] at its largest pixel, sums of them: [B, H, W, C]. Linear in the values.

    Args:
        values: [B, H', W', C].
        x, y: what was pooled and what it gave.
        size, strides: of the window, (rows, columns) each.
        padding: "same" or "valid".
    """

    @tf.custom_gradient
    def run(values):
        window = {"ksize": [1, *size, 1], "strides": [1, *strides, 1], "padding": padding.upper()}
        found = tf.raw_ops.MaxPoolGrad(orig_input=x, orig_output=y, grad=values, **window)
        return found, lambda upstream: _picked(upstream, x, y, size, strides, padding)

    return run(values)


def _picked(values, x, y, size, strides, padding):
    """The value [B, H, W, C] at each window's largest pixel, [B, H', W', C]: the transpose of `_scattered`."""

    @tf.custom_gradient
    def run(values):
        seen = zip(*(_windows(*one, y, size, strides, padding) for one in ((x, x.dtype.min), (values, 0))), strict=True)
        picked, taken = tf.zeros_like(y), tf.zeros_like(y, tf.bool)
        # Row after row, as the operations look for the largest: the first of equals has the gradient.
        for pixel, value in seen:
            largest = (pixel == y) & ~taken
            picked, taken = tf.where(largest, value, picked), taken | largest
        return picked, lambda upstream: _scattered(upstream, x, y, size, strides, padding)

    return run(values)


def _windows(x, fill, y, size, strides, padding):
    """The pixels of each window, row after row: size[0] * size[1] tensors [B, H', W', C]."""
    ends = [(out - 1) * stride + side for out, stride, side in zip(y.shape[1:3], strides, size, strict=True)]
    if padding == "same":
        missing = [max(end - length, 0) for end, length in zip(ends, x.shape[1:3], strict=True)]
        around = [[before, total - before] for total in missing for before in [total // 2]]
        x = tf.pad(x, [[0, 0], *around, [0, 0]], constant_values=tf.cast(fill, x.dtype))
    return [
        x[:, row : ends[0] - size[0] + row + 1 : strides[0], column : ends[1] - size[1] + column + 1 : strides[1]]
        for row in range(size[0])
        for column in range(size[1])
    ]
