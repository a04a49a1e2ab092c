"""Gradients at the logits, part by part of a loss: the network is passed backwards once, for their sum.

Between a network's logits and its losses lie few numbers, so the gradient of each part is cheap there, and its norm
tells how large a part of the whole each is.
"""

import tensorflow as tf

from mpl_tf.devices import distribute


def logit_gradients(zs, parts):
    """Gradients of the parts of a loss at the logits.

    Args:
        zs: list of float32 [B_i, C].
        parts: function of the logits, returning a dict of str to scalar losses.
    Returns:
        dict of str to list of float32 [B_i, C]; backpropagating their sum trains a network on the sum of the losses.
    """
    # Persistent, as each part is asked for; a part that some logits take no part in has zeros there.
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(zs)
        computed = parts(*zs)
    zeros = tf.UnconnectedGradients.ZERO
    return {name: tape.gradient(loss, zs, unconnected_gradients=zeros) for name, loss in computed.items()}


def logit_gradient(zs, loss):
    """Gradient of one loss at the logits.

    Args:
        zs: list of float32 [B_i, C].
        loss: function of the logits, returning a scalar.
    Returns:
        list of float32 [B_i, C].
    """
    return logit_gradients(zs, lambda *zs: {"loss": loss(*zs)})["loss"]


def summed(gradients):
    """The sum of the parts of `logit_gradients`, list of float32 [B_i, C]."""
    return [sum(parts) for parts in zip(*gradients.values(), strict=True)]


def norms(gradients):
    """Norm of each part of `logit_gradients` over the global batch, the replicas having taken their own mean loss."""
    squares = tf.stack([tf.add_n([tf.reduce_sum(g * g) for g in parts]) for parts in gradients.values()])
    squares = distribute.mean(squares) / distribute.replicas()  # A replica's part of the global gradient is g / R.
    return {f"norm_{name}": norm for name, norm in zip(gradients, tf.unstack(tf.sqrt(squares)), strict=True)}
