"""A pass in parts, one after the other: how a step takes less memory (--accumulate), on any devices."""

import functools

import tensorflow as tf

from mpl_tf.devices import distribute
from mpl_tf.devices.recompute import in_turn


def each(function, weights, xs, count, signature, network):
    """What a function gives for each part of some batches; what it computes is made again in the backward pass.

    Args:
        function: of one part of each batch and the weights, (list of tensors [B_i / n, ...], *weights) -> list of
            tensors: those of `signature`'s first list, which have gradients by the weights, then those of its second.
        weights: list of tensors.
        xs: list of batches [B_i, ...].
        count: n, parts of a batch, of which each has as many examples of each replica.
        signature: two lists of tf.TensorSpec.
        network: the keras.Model that the function passes.
    Returns:
        For each result the list of the parts' tensors.
    """
    dot, (heads, others) = distribute.current().dot, signature
    if distribute.current().loops and not shares_statistics(network):
        cut = [tf.reshape(x, [count, -1, *x.shape[1:]]) for x in xs]  # [n, B_i / n, ...]
        once = functools.partial(_once, function, weights, dot, len(heads))
        stacked = tf.map_fn(once, cut, fn_output_signature=[*heads, *others], parallel_iterations=1)
        return [tf.unstack(values, num=count) for values in stacked]
    # Replicas cannot meet within a loop of the graph, and a mesh has none. Written out, each part waits for the one
    # before, so that only one is in memory and TensorFlow sums over the replicas as they were traced.
    cut = zip(*(distribute.cut(x, count) for x in xs), strict=True)
    functions = [functools.partial(function, list(part)) for part in cut]
    return [list(values) for values in zip(*in_turn(functions, dot, len(heads))(*weights), strict=True)]


def _once(function, weights, dot, heads, part):
    """One part's results, in a loop."""
    (found,) = in_turn([functools.partial(function, part)], dot, heads)(*weights)
    return found


def shares_statistics(network):
    """Whether a network's training passes take batch-norm statistics over several replicas."""
    # A layer that is frozen takes no statistics.
    layers = (layer for layer in network._flatten_layers() if layer.trainable)
    return distribute.replicas() > 1 and any(getattr(layer, "synchronized", False) for layer in layers)
