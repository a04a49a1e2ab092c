"""Losses against values computed by hand."""

import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.step import losses


def test_cross_entropy_with_smoothing_by_hand():
    z = tf.constant([[2.0, 0.0, -1.0]])
    log_p = np.log(np.exp([2.0, 0.0, -1.0]) / np.exp([2.0, 0.0, -1.0]).sum())
    assert float(losses.cross_entropy([1], z)[0]) == pytest.approx(-log_p[1], rel=1e-6)
    expected = -(0.05 * log_p[0] + 0.9 * log_p[1] + 0.05 * log_p[2])
    assert float(losses.cross_entropy([1], z, 0.15)[0]) == pytest.approx(expected, rel=1e-6)


def test_uda_by_hand_with_mask_temperature_and_ramp():
    """Three examples: one sure as it is, one that its sharpening lets through, one that not even that does."""
    z_weak = tf.constant([[2.0, 0.0], [0.3, 0.0], [0.1, 0.0]])
    z_strong = tf.constant([[0.5, 0.0], [0.0, 1.0], [0.5, 0.0]])
    loss, mask = losses.uda(z_weak, z_strong, temperature=0.5, threshold=0.6)
    sure = 1 / (1 + np.exp([-0.3, -0.6, -0.2]))  # Of the second before and after it is sharpened, of the third after.
    assert sure[0] < 0.6 < sure[1]
    assert sure[2] < 0.6
    sharp = 1 / (1 + np.exp(-4.0))  # softmax(z / 0.5)
    log_p = np.log([1 / (1 + np.exp(-0.5)), 1 / (1 + np.exp(0.5))])
    first = -(sharp * log_p[0] + (1 - sharp) * log_p[1])
    second = sure[1] * np.log1p(np.exp(1.0)) + (1 - sure[1]) * np.log1p(np.exp(-1.0))
    np.testing.assert_array_equal(mask, [1, 1, 0])
    np.testing.assert_allclose(loss, [first, second, 0], rtol=1e-6)
    assert float(losses.ramp(0, 10)) == 0
    assert float(losses.ramp(3, 10)) == pytest.approx(0.3)
    assert float(losses.ramp(25, 10)) == 1
    assert float(losses.ramp(0, 0)) == 1


@pytest.mark.parametrize("temperature", [0.5, 0.7, 1.0])
def test_uda_is_the_released_loss_by_an_oracle_in_float64(temperature):
    """Of many random logits, the mask and the mean loss; below temperature 1 more count than by the paper's mask."""
    z_weak, z_strong = np.random.default_rng(3).normal(size=(2, 1000, 10)) * 1.2
    sharpened, predicted = np.exp(z_weak / temperature), np.exp(z_strong)
    q, p = (e / e.sum(1, keepdims=True) for e in (sharpened, predicted))
    counts = q.max(1) >= 0.6
    loss, mask = losses.uda(*(tf.constant(z, tf.float32) for z in (z_weak, z_strong)), temperature, 0.6)
    np.testing.assert_array_equal(mask, counts)
    np.testing.assert_allclose(loss, np.where(counts, -(q * np.log(p)).sum(1), 0), rtol=1e-5, atol=1e-6)
    by_the_paper = float(tf.reduce_sum(losses.confident(tf.constant(z_weak, tf.float32), 0.6)))
    assert (counts.sum() > 2 * by_the_paper > 0) == (temperature < 1)


def test_uda_gives_the_weak_view_no_gradient():
    z_weak, z_strong = tf.constant([[2.0, 0.0]]), tf.constant([[0.5, 0.0]])
    with tf.GradientTape() as tape:
        tape.watch([z_weak, z_strong])
        loss, _ = losses.uda(z_weak, z_strong, 0.7, 0.0)
    weak, strong = tape.gradient(loss, [z_weak, z_strong])
    assert weak is None
    assert np.abs(strong.numpy()).max() > 0.1


def test_soft_cross_entropy_keeps_the_gradient_to_its_labels():
    """d/dq of the gradient in z: TensorFlow's own op drops it."""
    q, z = tf.Variable([[0.7, 0.3]]), tf.Variable([[0.2, -0.1]])
    with tf.GradientTape() as outer:
        with tf.GradientTape() as inner:
            loss = losses.soft_cross_entropy(q, z)
        squared = tf.reduce_sum(inner.gradient(loss, z) ** 2)
    p = np.exp([0.2, -0.1]) / np.exp([0.2, -0.1]).sum()
    # grad_z = p sum(q) - q, so d |grad_z|^2 / dq_k = 2 sum_i (p_i sum(q) - q_i) (p_i - [i = k]).
    g = p - [0.7, 0.3]
    expected = [2 * (g @ p - g[k]) for k in range(2)]
    np.testing.assert_allclose(outer.gradient(squared, q), [expected], rtol=1e-5)
