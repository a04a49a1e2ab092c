"""Pseudo labels that are drawn follow the distributions they are drawn from."""

import numpy as np
import tensorflow as tf

from mpl_tf.step.targets import pseudo_targets, sample_classes


def test_sampled_labels_follow_the_distribution():
    q = tf.tile([[0.5, 0.2, 0.3]], [20_000, 1])
    shares = np.bincount(sample_classes(q, tf.constant([1, 2])), minlength=3) / 20_000
    np.testing.assert_allclose(shares, [0.5, 0.2, 0.3], atol=0.01)
    assert sample_classes(tf.constant([[0.0, 1.0, 0.0]]), tf.constant([1, 2])).numpy() == [1]


def test_sampled_targets_follow_the_distributions_over_the_steps():
    q = tf.constant([[0.7, 0.2, 0.1]] * 200)
    drawn = np.mean([pseudo_targets(q, "sampled", tf.constant(3), t).numpy().mean(axis=0) for t in range(50)], axis=0)
    np.testing.assert_allclose(drawn, [0.7, 0.2, 0.1], atol=0.015)  # Standard error below 0.005.
