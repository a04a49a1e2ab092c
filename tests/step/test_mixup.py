"""MixUp by hand, and its coefficients against scipy's Beta distribution."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from mpl_tf.step import mixup


def test_mixup_combines_neighbors_by_hand(monkeypatch):
    monkeypatch.setattr(mixup, "symmetric_beta", lambda alpha, count, seed: tf.fill([count], 0.7))
    x = tf.constant([[1.0], [2.0], [10.0], [20.0], [5.0]])
    q = tf.one_hot([0, 1, 2, 2, 0], 3)
    mixed, targets = mixup.mix(x, q, 1.0, tf.constant([0, 0]))
    np.testing.assert_allclose(mixed, [[1.3], [1.7], [13.0], [17.0], [5.0]], rtol=1e-6)
    np.testing.assert_allclose(targets, [[0.7, 0.3, 0], [0.3, 0.7, 0], [0, 0, 1], [0, 0, 1], [1, 0, 0]], atol=1e-7)


def test_mixup_draws_a_lambda_an_example_for_images_of_any_type_and_its_targets_alike():
    x, q = tf.reshape(tf.range(4.0), [4, 1, 1, 1]) * tf.ones([4, 2, 2, 3]), tf.eye(4)
    mixed, targets = mixup.mix(x, q, 1.0, tf.constant([3, 4]))
    assert mixed.shape == x.shape
    np.testing.assert_allclose(mixed, tf.einsum("ij,jhwc->ihwc", targets, x), rtol=1e-5, atol=1e-6)
    coefficients = np.diag(targets)
    assert len(set(coefficients)) == 4
    np.testing.assert_allclose(np.diag(targets.numpy()[:, [1, 0, 3, 2]]), 1 - coefficients, atol=1e-6)
    half, _ = mixup.mix(tf.cast(x, tf.bfloat16), q, 1.0, tf.constant([3, 4]))
    assert half.dtype == tf.bfloat16
    np.testing.assert_allclose(tf.cast(half, tf.float32), mixed, atol=0.03)


@pytest.mark.parametrize("alpha", [0.1, 0.5, 1.0, 4.0])
def test_lambda_follows_the_beta_distribution(alpha):
    draws = mixup.symmetric_beta(alpha, 20_000, tf.constant([1, 2])).numpy()
    points = np.array([0.001, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 0.999])
    shares = (draws[:, None] <= points).mean(axis=0)
    np.testing.assert_allclose(shares, stats.beta(alpha, alpha).cdf(points), atol=0.01)


def test_lambda_is_a_number_for_any_alpha():
    for alpha in (0.01, 1000.0):
        draws = mixup.symmetric_beta(alpha, 10_000, tf.constant([5, 6])).numpy()
        assert np.isfinite(draws).all() and draws.min() >= 0 and draws.max() <= 1


def test_xla_mixes_too():
    """By its own random numbers."""
    x, targets = tf.function(mixup.mix, jit_compile=True)(tf.eye(4), tf.eye(4), 0.5, tf.constant([1, 2]))
    np.testing.assert_array_equal(x, targets)
    np.testing.assert_allclose(tf.reduce_sum(targets, axis=-1), 1, rtol=1e-6)
    assert np.unique(targets).size == 9 and np.min(targets) == 0


def test_keras_own_layer_gives_these_numbers_where_it_is_told_lambda_and_partners():
    """It is not used, as it takes images alone; see the head of the module."""
    random = np.random.default_rng(0)
    x, q = (tf.constant(random.normal(size=shape), tf.float32) for shape in ((6, 4, 4, 3), (6, 5)))
    seed = tf.constant([1, 2])
    mixed, targets = mixup.mix(x, q, 0.7, seed)
    told = {"mix_weight": mixup.symmetric_beta(0.7, 6, seed), "permutation_order": np.array([1, 0, 3, 2, 5, 4])}
    layer = keras.layers.MixUp()
    np.testing.assert_allclose(layer.transform_images(x, told), mixed, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(layer.transform_labels(q, told), targets, rtol=1e-6, atol=1e-6)
