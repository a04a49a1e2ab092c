"""Gradients at the logits against numbers by hand."""

import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.step.gradients import logit_gradient, logit_gradients, norms, summed

Z = [tf.constant([[1.0, -2.0]]), tf.constant([[3.0, 0.5], [0.0, 1.0]])]


def parts(first, second):
    """a = sum of squares of the first logits, b = 3 times the sum of the first and of the second."""
    return {"a": tf.reduce_sum(first**2), "b": 3 * (tf.reduce_sum(first) + tf.reduce_sum(second))}


def test_each_part_has_its_own_gradient_and_zeros_where_it_sees_no_logits():
    found = logit_gradients(Z, parts)
    np.testing.assert_array_equal(found["a"][0], [[2, -4]])
    np.testing.assert_array_equal(found["a"][1], np.zeros([2, 2]))
    for gradient, z in zip(found["b"], Z, strict=True):
        np.testing.assert_array_equal(gradient, np.full(z.shape, 3))


def test_the_sum_is_the_gradient_of_the_summed_loss():
    whole = logit_gradient(Z, lambda *zs: tf.add_n(list(parts(*zs).values())))
    by_hand, totals = ([[5, -1]], [[3, 3], [3, 3]]), summed(logit_gradients(Z, parts))
    for gradient, expected, total in zip(whole, by_hand, totals, strict=True):
        np.testing.assert_array_equal(gradient, expected)
        np.testing.assert_array_equal(total, expected)


def test_norms_of_two_replicas_are_those_of_the_global_batch(two_replicas):
    """A replica's loss is the mean of its own two examples; the global one is half of that, over four."""
    z = tf.constant([[1.0], [2.0], [3.0], [4.0]])
    one = norms(logit_gradients([z], lambda z: {"square": tf.reduce_mean(z**2)}))

    def replica():
        here = tf.reshape(z, [2, 2, 1])[tf.distribute.get_replica_context().replica_id_in_sync_group]
        return norms(logit_gradients([here], lambda z: {"square": tf.reduce_mean(z**2)}))["norm_square"]

    two = two_replicas.experimental_local_results(two_replicas.run(tf.function(replica, autograph=False)))
    expected = np.sqrt(30) / 2  # |2 z / 4|, with |z|^2 = 1 + 4 + 9 + 16.
    assert float(one["norm_square"]) == pytest.approx(expected, rel=1e-6)
    assert [float(norm) for norm in two] == pytest.approx([expected] * 2, rel=1e-6)
