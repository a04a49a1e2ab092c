"""Pseudo labels from a teacher's distributions.

Glossary: q distributions [b, C] of this replica's part of the batch; t the step.
"""

import tensorflow as tf

from mpl_tf.devices import distribute


def pseudo_targets(q, kind, seed, t):
    """The student's target distributions, without gradient.

    Args:
        q: float32 [b, C], the teacher's distributions.
        kind: "soft": q itself; "argmax": its largest class; "sampled": a class drawn from it.
        seed: int32 scalar of the run.
        t: step, integer scalar.
    Returns:
        float32 [b, C], one-hot unless soft.
    """
    q = tf.stop_gradient(q)
    if kind == "soft":
        return q
    if kind == "argmax":
        return tf.one_hot(tf.argmax(q, axis=-1), q.shape[-1])
    return tf.one_hot(sample_classes(q, tf.stack([tf.convert_to_tensor(seed), tf.cast(t, tf.int32)])), q.shape[-1])


def sample_classes(q, seed):
    """Hard labels from distributions, the same for any number of replicas.

    Args:
        q: float32 [b, C], this replica's part of the global batch.
        seed: int32 [2].
    Returns:
        int32 [b].
    """
    # The class in whose part of [0, 1) the number falls: as many classes end below it as come before its own.
    below = tf.cast(tf.cumsum(q, axis=-1) <= uniform(tf.shape(q)[0], seed)[:, None], tf.int32)
    return tf.minimum(tf.reduce_sum(below, axis=-1), q.shape[-1] - 1)  # [b]; the sum may round to below 1.


def uniform(count, seed):
    """Uniform numbers in [0, 1), the same for any number of replicas.

    Args:
        count: b, examples in this replica's part of the global batch, int32 scalar.
        seed: int32 [2].
    Returns:
        float32 [b].
    """
    # Each replica draws for the whole batch, the same numbers, and takes those of its own part.
    numbers = tf.random.stateless_uniform([count * distribute.replicas()], seed)
    return tf.reshape(numbers, [-1, count])[distribute.replica_id()]  # [b]
