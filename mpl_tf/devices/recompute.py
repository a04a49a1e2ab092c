"""Functions whose intermediate values are made again in the backward pass, so that only their arguments wait for it.

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
    run = in_turn([function], dot)
    return lambda *values: run(*values)[0]


def in_turn(functions, dot, heads=1):
    """Several such functions of the same arguments, one after the other, forwards and backwards.

    TensorFlow starts what has its inputs: written out side by side, the functions' values would all be there at once.

    Args:
        functions: list, each as `recomputed` takes it, with results alike.
        dot: as there.
        heads: of each function's results, how many have a gradient: the first ones.
    Returns:
        Function of the arguments -> list of each function's results.
    """

    @tf.custom_gradient
    def run(*values):
        results = []
        for function in functions:
            results.append(function(*(after(values, results[-1][0], dot) if results else values)))
        size = len(results[0])

        def gradient(*upstream):
            total = None
            for number, function in enumerate(functions):
                above = list(upstream[number * size : number * size + heads])
                # The values are made again only when the gradient is there, and that of the function before: of its
                # arguments the first one's comes last, where that is the first layer's.
                again = after(values, above[0], dot)
                again = again if total is None else after(again, total[0], dot)
                with tf.GradientTape() as tape:
                    tape.watch(again)
                    found = function(*again)[:heads]
                own = tape.gradient(
                    found, again, output_gradients=above, unconnected_gradients=tf.UnconnectedGradients.ZERO
                )
                own = [tf.convert_to_tensor(one) for one in own]  # Of weights that are gathered from, slices.
                total = own if total is None else [x + y for x, y in zip(total, own, strict=True)]
            return total

        return [value for result in results for value in result], gradient

    def called(*values):
        flat = run(*values)
        size = len(flat) // len(functions)
        return [flat[start : start + size] for start in range(0, len(flat), size)]

    return called


def after(values, made, dot):
    """The values, at hand once another one is made.

    TensorFlow starts what has its inputs: what the backward pass makes of forward values alone would be made in the
    forward pass already, and wait. Neither TensorFlow nor XLA can tell that the number added here is 0, and so neither
    takes an earlier pass's results for those of this one.

    Args:
        values: list of tensors of floats.
        made: tensor of floats of any shape; no gradient goes into it.
        dot: as Devices.dot, of the devices that hold them.
    Returns:
        list of the same tensors.
    """
    corner = (slice(None),) * 2 + (slice(0, 1),) * (made.shape.rank - 2)
    some = tf.stop_gradient(tf.cast(made[corner[: made.shape.rank]], tf.float32))
    zero = tf.minimum(dot([some], [some]), 0.0)
    return [value + tf.cast(zero, value.dtype) for value in values]
