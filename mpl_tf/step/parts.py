"""A pass in parts, one after the other: how a step takes less memory (--accumulate), on one replica or several."""

import tensorflow as tf

from mpl_tf.devices import distribute

CHUNK_BITS = 16  # Whole numbers so small are floats of 32 bits and come back as they were.


def each(function, parts, signature, collective):
    """What a function gives for each part, stacked.

    Args:
        function: of a list of tensors, one part of each batch -> a nest of tensors.
        parts: list of tensors [n, ...], n parts of each batch.
        signature: nest of tf.TensorSpec, of what the function returns.
        collective: whether the function sums over replicas, as batch norm does.
    Returns:
        The nest of tensors [n, ...].
    """
    if not collective:
        return tf.map_fn(function, parts, fn_output_signature=signature, parallel_iterations=1)
    # tf.distribute's replicas cannot meet within a loop of the graph. Written out, the parts keep their order forward
    # and backward as well: TensorFlow lets the sums over the replicas run one after the other as they were traced.
    found = [function(list(part)) for part in zip(*map(tf.unstack, parts), strict=True)]
    return tf.nest.map_structure(lambda *values: tf.stack(values), *found)


def shares_statistics(network):
    """Whether a network's training passes take batch-norm statistics over several replicas."""
    # A layer that is frozen takes no statistics.
    layers = (layer for layer in network._flatten_layers() if layer.trainable)
    return distribute.replicas() > 1 and any(getattr(layer, "synchronized", False) for layer in layers)


def as_floats(value):
    """A tensor of the state as one of floats, which alone tf.recompute_grad hands out: floats as they are.

    Whole numbers, such as random generators' states of 64 bits, as float32 [..., chunks] of CHUNK_BITS bits each. Not
    by tf.bitcast: a TPU makes two numbers of each of 64 bits, and XLA has no bitcast between such pairs.
    """
    if value.dtype.is_floating:
        return value
    mask = tf.constant(2**CHUNK_BITS - 1, value.dtype)
    shifts = range(0, 8 * value.dtype.size, CHUNK_BITS)
    chunks = [tf.bitwise.bitwise_and(tf.bitwise.right_shift(value, _like(shift, value)), mask) for shift in shifts]
    return tf.stack([tf.cast(chunk, tf.float32) for chunk in chunks], axis=-1)


def from_floats(floats, dtype):
    """A tensor from what `as_floats` made of one of that dtype."""
    if dtype.is_floating:
        return floats
    chunks = [tf.cast(chunk, dtype) for chunk in tf.unstack(floats, axis=-1)]
    found = chunks[0]
    for number, chunk in enumerate(chunks[1:], start=1):
        found = tf.bitwise.bitwise_or(found, tf.bitwise.left_shift(chunk, _like(CHUNK_BITS * number, chunk)))
    return found


def _like(number, value):
    return tf.constant(number, value.dtype)
