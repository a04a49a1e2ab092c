"""Class balance: its loss by hand, its gradient by finite differences, what it refuses."""

import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.base.errors import UsageError
from mpl_tf.step.balance import Balance
from tests import tiny

LATE = 10**6  # A step after the momentum's warm-up.


def made(weight=1.0, momentum=0.9, prior=None, past=None):
    balance = Balance(tiny.make("supervised"), 3, weight, momentum, prior)
    if past is not None:
        balance.mean.variable.assign(past)
    return balance


def test_the_loss_by_hand():
    """Predictions (0.5, 0.25, 0.25) twice, m = 0.9 (0.2, 0.3, 0.5) + 0.1 (0.5, 0.25, 0.25) = (0.23, 0.295, 0.475)."""
    z = tf.math.log([[0.5, 0.25, 0.25], [0.5, 0.25, 0.25]])
    balance = made(2.0, 0.9, [0.4, 0.6, 0.0], [0.2, 0.3, 0.5])
    expected = 0.4 * np.log(0.4 / 0.23) + 0.6 * np.log(0.6 / 0.295)
    assert float(balance.loss(z, LATE)) == pytest.approx(expected, rel=1e-5)
    assert float(balance.parts(z, LATE)["balance"]) == pytest.approx(2 * expected, rel=1e-5)
    ((_, m),) = balance.remembered(z, LATE)
    np.testing.assert_allclose(m, [0.23, 0.295, 0.475], rtol=1e-5)


def test_balanced_predictions_have_no_loss_and_no_gradient():
    z = tf.constant(np.log([[0.7, 0.2, 0.1], [0.1, 0.2, 0.7], [0.2, 0.6, 0.2]]), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(z)
        loss = made().loss(z, LATE)
    assert float(loss) == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(tape.gradient(loss, z), np.zeros([3, 3]), atol=1e-7)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_the_gradient_is_that_of_finite_differences(momentum):
    """Of the formula in float64, written out; it lowers what is predicted too often."""
    z = np.random.default_rng(0).normal(size=(5, 3)) + [1, 0, -1]
    past, prior = np.array([0.6, 0.3, 0.1]), np.array([0.2, 0.3, 0.5])

    def loss(z):
        p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
        return np.sum(prior * np.log(prior / (momentum * past + (1 - momentum) * p.mean(axis=0))))

    expected = np.zeros_like(z)
    for place in np.ndindex(z.shape):
        change = np.zeros_like(z)
        change[place] = 1e-6
        expected[place] = (loss(z + change) - loss(z - change)) / 2e-6
    balance, z = made(1.0, momentum, prior, past), tf.constant(z, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(z)
        value = balance.loss(z, LATE)
    gradient = tape.gradient(value, z).numpy()
    np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-6)
    assert (gradient.sum(axis=0) > 0).tolist() == [True, gradient.sum(axis=0)[1] > 0, False]


def test_without_a_weight_there_is_nothing():
    method = tiny.make("supervised")
    before = len(method.counters)
    balance = Balance(method, 3, 0.0, 0.9)
    assert (balance.parts(None, 0), balance.remembered(None, 0), len(method.counters)) == ({}, [], before)


@pytest.mark.parametrize("prior", [[0.5, 0.5], [0.5, 0.6, -0.1], [0.5, 0.5, 0.5]])
def test_a_prior_that_is_none_is_refused(prior):
    with pytest.raises(UsageError, match="^class_prior: expected 3 shares of sum 1, got "):
        made(prior=prior)
