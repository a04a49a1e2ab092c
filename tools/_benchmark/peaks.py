"""What this machine can do at most: matrix products and the network's own convolutions, timed alone."""

import collections
import statistics
import time


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
    shapes = {shape: count for shape, count in _shapes(network).items() if shape[1] == (3, 3)}
    flops = sum(_flops(shape, batch) * count for shape, count in shapes.items())
    seconds = sum(_directions(shape, batch, precision)["forward"](3) * count for shape, count in shapes.items())
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
    shapes, seconds = _shapes(network), {}
    for shape, count in shapes.items():
        for name, run in _directions(shape, batch, precision).items():
            seconds[name] = seconds.get(name, 0.0) + count * run(repeats, best=False)
    flops = sum(_flops(shape, batch) * count for shape, count in shapes.items())
    return {f"{name}_seconds": value for name, value in seconds.items()} | {
        f"{name}_flops_per_second": flops / value for name, value in seconds.items()
    }


def _shapes(network):
    """How often each (input shape, kernel size, stride, filters) occurs among the network's convolutions."""
    import keras

    layers = [layer for layer in network._flatten_layers() if isinstance(layer, keras.layers.Conv2D)]
    return collections.Counter((x.input.shape[1:], x.kernel_size, x.strides[0], x.filters) for x in layers)


def _flops(shape, batch):
    (height, width, channels), kernel, stride, filters = shape
    outputs = batch * -(-height // stride) * -(-width // stride)
    return 2 * kernel[0] * kernel[1] * channels * filters * outputs


def _directions(shape, batch, precision):
    """Functions (repeats, best) -> seconds of one convolution in each direction."""
    import tensorflow as tf

    image, kernel_size, stride, filters = shape
    kind = precision.removeprefix("mixed_")
    x = tf.cast(tf.random.stateless_uniform([batch, *image], [1, 2]), kind)
    kernel = tf.cast(tf.random.stateless_uniform([*kernel_size, image[-1], filters], [3, 4]), kind)
    upstream = tf.nn.conv2d(x, kernel, stride, "SAME")
    common = {"strides": [1, stride, stride, 1], "padding": "SAME"}

    def by_kernel():
        return tf.raw_ops.Conv2DBackpropFilter(input=x, filter_sizes=kernel.shape, out_backprop=upstream, **common)

    def by_input():
        return tf.raw_ops.Conv2DBackpropInput(input_sizes=x.shape, filter=kernel, out_backprop=upstream, **common)

    def timer(operation):
        run = tf.function(lambda: operation()[0, 0, 0, 0])
        return lambda repeats, best=True: times(lambda: wait(run()), repeats, 2, best)

    forward = timer(lambda: tf.nn.conv2d(x, kernel, stride, "SAME"))
    return {"forward": forward, "input_gradient": timer(by_input), "kernel_gradient": timer(by_kernel)}


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
