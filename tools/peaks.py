"""What this machine can do at most: matrix products and the network's own convolutions, timed alone."""

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
    import keras
    import tensorflow as tf

    layers = [x for x in network._flatten_layers() if isinstance(x, keras.layers.Conv2D) and x.kernel_size == (3, 3)]
    flops = seconds = 0
    done = {}
    for layer in layers:
        shape, stride, width = (batch, *layer.input.shape[1:]), layer.strides[0], layer.filters
        key = (shape, stride, width)
        if key not in done:
            x = tf.cast(tf.random.stateless_uniform(shape, [1, 2]), precision.removeprefix("mixed_"))
            kernel = tf.cast(tf.random.stateless_uniform([3, 3, shape[-1], width], [3, 4]), x.dtype)
            one = tf.function(lambda x=x, kernel=kernel, s=stride: tf.nn.conv2d(x, kernel, s, "SAME")[0, 0, 0, 0])
            done[key] = times(lambda one=one: wait(one()), 3, 2, best=True)
        outputs = batch * -(-shape[1] // stride) * -(-shape[2] // stride)
        flops += 2 * 9 * shape[-1] * width * outputs
        seconds += done[key]
    return flops / seconds if seconds else None


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
