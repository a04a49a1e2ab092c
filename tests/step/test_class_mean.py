"""The moving mean of class distributions by hand: its value, its gradient, several replicas."""

import numpy as np
import tensorflow as tf

from mpl_tf.devices import distribute
from mpl_tf.step.class_mean import ClassMean
from tests import tiny

P = tf.constant([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]])


def test_the_batch_has_its_part_and_its_gradient():
    """0.9 / 3 + 0.1 (0.3, 0.2, 0.5), of the first class 0.1 / 2 at each example; at step 0 0.1 / 3 + 0.9 (...)."""
    mean = ClassMean(tiny.make("supervised"), 3, 0.9)
    with tf.GradientTape() as tape:
        tape.watch(P)
        m = mean.now(P, 1000)
        first = m[0]
    np.testing.assert_allclose(m, [0.33, 0.32, 0.35], rtol=1e-6)
    np.testing.assert_allclose(tape.gradient(first, P), [[0.05, 0, 0]] * 2, rtol=1e-6)
    np.testing.assert_allclose(mean.now(P, 0), [0.1 / 3 + x for x in (0.27, 0.18, 0.45)], rtol=1e-6)
    np.testing.assert_allclose(mean.variable, [1 / 3] * 3, rtol=1e-6)  # Nothing was assigned.


def test_replicas_have_the_mean_of_the_whole_batch_and_its_gradient(two_replicas):
    with two_replicas.scope():
        method = tiny.make("supervised")
        mean = ClassMean(method, 3, 0.0)
    parts = two_replicas.experimental_distribute_values_from_function(
        lambda context: P[context.replica_id_in_sync_group][None]
    )

    @tf.function
    def both(parts):
        def own(p):
            with tf.GradientTape() as tape:
                tape.watch(p)
                value = tf.reduce_sum(mean.now(p, 0) * tf.constant([1.0, 2.0, 4.0]))
            return mean.now(p, 0), distribute.mean(tf.reduce_sum(tape.gradient(value, p), axis=0))

        return two_replicas.run(own, args=(parts,))

    means, gradients = both(parts)
    for value in two_replicas.experimental_local_results(means):
        np.testing.assert_allclose(value, [0.3, 0.2, 0.5], rtol=1e-6)
    for gradient in two_replicas.experimental_local_results(gradients):
        np.testing.assert_allclose(
            gradient, [1, 2, 4], rtol=1e-6
        )  # Over the replicas' mean: that of one device, summed.
