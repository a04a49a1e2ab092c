"""What this machine can do at most: matrix products and the network's own convolutions, timed alone."""

import collections
import statistics
import time
import typing


def matmul(precision, side=2048):
    """FLOP/s of a square matrix product in the precision's compute type, best of 5."""
    import tensorflow as tf

    kind = precision.removeprefix("mixed_")
    a = tf.cast(tf.random.stateless_uniform([side, side], [1, 2]), kind)
    product = tf.function(lambda: tf.reduce_sum(a @ a))
    return 2 * side**3 / times(lambda: wait(product()), 5, 2, best=True)


def convolution(network, batch, precision):
    """FLOP/s of the network's own 3 x 3 convolutions, each shape run alone, best of 3; None where it has none.

    Args:
        network: keras.Model, its convolutions in NHWC.
        batch: images a pass.
        precision: of the policy.
    """
    counts = {one: count for one, count in _counts(network).items() if one.kernel == (3, 3)}
    flops = sum(one.flops(batch) * count for one, count in counts.items())
    seconds = 0.0
    for one, count in counts.items():
        run = one.directions(batch, precision)["forward"]
        seconds += count * times(lambda run=run: wait(run()), 3, 2, best=True)
    return flops / seconds if seconds else None


def convolutions(network, batch, precision, repeats):
    """All of the network's convolutions in each direction, each shape run alone, medians.

    Args:
        network, batch, precision: as in `convolution`.
        repeats: runs of a shape.
    Returns:
        dict: DIRECTION_seconds (of one pass of the batch) and DIRECTION_flops_per_second for the directions forward,
        input_gradient and kernel_gradient.
    """
    counts, seconds = _counts(network), collections.Counter()
    for one, count in counts.items():
        for name, run in one.directions(batch, precision).items():
            seconds[name] += count * times(lambda run=run: wait(run()), repeats, 2)
    flops = sum(one.flops(batch) * count for one, count in counts.items())
    return {f"{name}_seconds": value for name, value in seconds.items()} | {
        f"{name}_flops_per_second": flops / value for name, value in seconds.items()
    }


def _counts(network):
    """How often each Convolution occurs in the network."""
    import keras

    layers = [layer for layer in network._flatten_layers() if isinstance(layer, keras.layers.Conv2D)]
    return collections.Counter(Convolution(x.input.shape[1:], x.kernel_size, x.strides[0], x.filters) for x in layers)


class Convolution(typing.NamedTuple):
    """A convolution without bias, padded so that a stride of 1 keeps the image's size.

    Attributes:
        image: (H, W, channels) of its input.
        kernel: (height, width).
        stride: in both directions.
        filters: channels of its output.
    """

    image: tuple
    kernel: tuple
    stride: int
    filters: int

    def flops(self, batch):
        """Multiplications and additions of a pass of `batch` images."""
        height, width, channels = self.image
        outputs = batch * -(-height // self.stride) * -(-width // self.stride)
        return 2 * self.kernel[0] * self.kernel[1] * channels * self.filters * outputs

    def directions(self, batch, precision):
        """Compiled functions of no argument, by direction, that run it on random numbers.

        Args:
            batch, precision: as in `convolution`.
        Returns:
            dict of forward, input_gradient and kernel_gradient; each gives one number, so that nothing is copied.
        """
        import tensorflow as tf

        kind, channels = precision.removeprefix("mixed_"), self.image[-1]
        x = tf.cast(tf.random.stateless_uniform([batch, *self.image], [1, 2]), kind)
        kernel = tf.cast(tf.random.stateless_uniform([*self.kernel, channels, self.filters], [3, 4]), kind)
        upstream = tf.nn.conv2d(x, kernel, self.stride, "SAME")
        about = {"strides": [1, self.stride, self.stride, 1], "padding": "SAME"}
        operations = {
            "forward": lambda: tf.raw_ops.Conv2D(input=x, filter=kernel, **about),
            "input_gradient": lambda: tf.raw_ops.Conv2DBackpropInput(
                input_sizes=x.shape, filter=kernel, out_backprop=upstream, **about
            ),
            "kernel_gradient": lambda: tf.raw_ops.Conv2DBackpropFilter(
                input=x, filter_sizes=kernel.shape, out_backprop=upstream, **about
            ),
        }
        return {
            name: tf.function(lambda operation=operation: operation()[0, 0, 0, 0])
            for name, operation in operations.items()
        }


def times(run, repeats, warmup, best=False):
    """Seconds of a call: the median of `repeats` after `warmup`, or the best."""
    for _ in range(warmup):
        run()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return min(seconds) if best else statistics.median(seconds)


def wait(result):
    """Wait until a result is there."""
    import tensorflow as tf

    return [tensor.numpy() for tensor in tf.nest.flatten(result)]
