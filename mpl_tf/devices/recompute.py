"""A function whose intermediate values are made again in the backward pass, so that only its arguments wait for it.

tf.recompute_grad does the same, but flattens a gradient to take one number of it, for which a mesh would gather all of
its tiles, and refuses second derivatives, which exact feedback takes.
"""

import tensorflow as tf


def recomputed(function, dot):
    """The function, remembered by its arguments alone where a tf.function records it.

    Args:
        function: of tensors of floats; returns a list of tensors of which only the first has a gradient. What it draws
            comes from a seed that it is given or closes over, so that it draws the same again.
        dot: as Devices.dot, of the devices that it runs on.
    Returns:
        Function of the same arguments and results, as often differentiable as `function`.
    """

    @tf.custom_gradient
    def run(*values):
        def gradient(upstream, *_):
            # The values are made again only when the gradient is there: neither TensorFlow nor XLA can tell that the
            # number added to them is 0, and so neither takes the first pass's results for those of the second.
            corner = (slice(None),) * 2 + (slice(0, 1),) * (upstream.shape.rank - 2)
            some = tf.stop_gradient(tf.cast(upstream[corner[: upstream.shape.rank]], tf.float32))
            zero = tf.minimum(dot([some], [some]), 0.0)
            again = [value + tf.cast(zero, value.dtype) for value in values]
            with tf.GradientTape() as tape:
                tape.watch(again)
                result = function(*again)[0]
            return tape.gradient(
                result, again, output_gradients=upstream, unconnected_gradients=tf.UnconnectedGradients.ZERO
            )

        return function(*values), gradient

    return run
