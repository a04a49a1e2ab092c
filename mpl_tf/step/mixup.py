"""MixUp (Zhang et al. 2018, section 2): convex combinations of pairs of examples and of their targets.

Glossary: x the replica's part of a batch [b, ...], q its target distributions [b, C]; lambda the coefficients [b], each
from Beta(alpha, alpha).

An example's partner is its neighbor: 0 and 1, 2 and 3, and so on. The order of the data is drawn anew each epoch, so
neighbors are random pairs; no pair is divided between replicas, whose numbers are therefore those of one device. The
last of an odd number is left as it is.

No library's MixUp layer can stand here: KerasCV's draws lambda and partners by itself, not from the step's seed, and
Keras' own, which can be told both (a test has it give these numbers), mixes images alone, not points or features.
"""

import math

import tensorflow as tf

from mpl_tf.step.targets import uniform


def mix(x, q, alpha, seed):
    """lambda x_i + (1 - lambda) x_j and the same of q, j the partner of i, a lambda for each i.

    Args:
        x: float [b, ...], in random order.
        q: float32 [b, C].
        alpha: of the Beta distribution, > 0: 1 is uniform, towards 0 nothing is mixed.
        seed: int32 [2].
    Returns:
        (x, q), mixed, of the same shapes and dtypes.
    """
    # Partners differ in the last bit of their places; the last of an odd number would have one beyond the end.
    count = tf.shape(x)[0]
    partner = tf.minimum(tf.bitwise.bitwise_xor(tf.range(count), 1), count - 1)  # [b]
    coefficients = symmetric_beta(alpha, count, seed)

    def combine(values):
        # One coefficient an example, for all its pixels.
        shape = tf.concat([[count], tf.ones([values.shape.rank - 1], tf.int32)], axis=0)
        weight = tf.cast(tf.reshape(coefficients, shape), values.dtype)  # [b, 1, ...]
        return weight * values + (1 - weight) * tf.gather(values, partner)

    return combine(x), combine(q)


def symmetric_beta(alpha, count, seed):
    """Draws from Beta(alpha, alpha) for this replica's part of the batch, as targets.uniform has them.

    Student's t with 2 alpha degrees of freedom is T = sqrt(2 alpha (U^(-1/alpha) - 1)) cos(2 pi V) for uniform U, V
    (Bailey 1994, Mathematics of Computation 62), and 1/2 + T / (2 sqrt(2 alpha + T^2)) follows Beta(alpha, alpha).
    TensorFlow's gamma sampler, the usual way, has no kernel in XLA.

    Args:
        alpha: > 0.
        count: b, int32 scalar.
        seed: int32 [2].
    Returns:
        float32 [b] in [0, 1].
    """
    radius_seed, angle_seed = tf.unstack(tf.random.split(seed, 2))
    # With power = U^(1/alpha) the quotient has no T in it, which would overflow for small alpha.
    power = uniform(count, radius_seed) ** (1 / alpha)
    cosine = tf.cos(2 * math.pi * uniform(count, angle_seed))
    sine = tf.sqrt(1 - power) * cosine
    return tf.clip_by_value(0.5 + 0.5 * sine / tf.sqrt(power + sine**2), 0.0, 1.0)  # Rounding may leave [0, 1].
