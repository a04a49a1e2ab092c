"""Optimizer, schedules, weight decay, clipping and averages against Keras and numbers by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.step.optimizer import SGD, decay_mask, learning_rate_schedule, moving_average, regularised
from tests import tiny


@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.9, False), (0.9, True)])
def test_sgd_equals_keras_sgd_in_both_its_forms(momentum, nesterov):
    ours, theirs, functional = (tf.Variable([1.0, -2.0]) for _ in range(3))
    optimizers = [kind(0.1, momentum=momentum, nesterov=nesterov) for kind in (SGD, keras.optimizers.SGD, SGD)]
    optimizers[2].build([functional])
    for step in range(4):
        gradient = tf.constant([0.5, 1.0 - step])
        optimizers[0].apply([gradient], [ours])
        optimizers[1].apply([gradient], [theirs])
        new, updates = optimizers[2].new_values([tf.identity(functional)], [gradient])
        before = functional.numpy()
        np.testing.assert_array_equal(functional.numpy(), before)  # Nothing was assigned yet.
        for variable, value in updates:
            variable.assign(value)
        functional.assign(new[0])
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    np.testing.assert_allclose(functional, theirs, rtol=1e-6)
    assert int(optimizers[2].iterations) == 4


@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.9, False), (0.9, True)])
def test_first_step_coefficient_is_the_derivative_of_the_step(momentum, nesterov):
    weight, gradient = tf.Variable([1.0]), tf.constant([0.3])
    optimizer = SGD(0.1, momentum=momentum, nesterov=nesterov)
    optimizer.build([weight])
    optimizer.apply([tf.constant([2.0])], [weight])  # So that there is a velocity.
    with tf.GradientTape() as tape:
        tape.watch(gradient)
        new, _ = optimizer.new_values([tf.identity(weight)], [gradient])
    derivative = float(tape.gradient(new[0], gradient)[0])
    assert float(optimizer.first_step_coefficient()) == pytest.approx(-derivative, rel=1e-6)


def test_schedule_waits_warms_up_and_decays_as_released():
    """The k-th step of the warm-up has (k + 1) / 20 of the peak; the cosine is at its half after 35 of 70 steps."""
    rate = learning_rate_schedule(0.4, "cosine", steps=100, wait=10, warmup=20)
    assert [float(rate(step)) for step in (0, 9)] == [0, 0]
    warm = [float(rate(step)) for step in (10, 11, 19, 28, 29, 30)]
    assert warm == pytest.approx([0.02, 0.04, 0.2, 0.38, 0.4, 0.4])
    assert float(rate(65)) == pytest.approx(0.2)
    assert float(rate(100)) == pytest.approx(0, abs=1e-7)
    flat = learning_rate_schedule(0.4, "constant", steps=100)
    assert [float(flat(step)) for step in (0, 50, 99)] == pytest.approx([0.4] * 3)


def test_decay_spares_batch_norm_and_clipping_bounds_the_norm():
    network = tiny.network(0, norm=True)
    mask = decay_mask(network)
    names = [variable.path.split("/")[-1] for variable in network.trainable_variables]
    assert dict(zip(names, mask, strict=True)) == {"kernel": True, "bias": True, "gamma": False, "beta": False}
    weights, gradients = [tf.constant([2.0, 0.0]), tf.constant([5.0])], [tf.constant([1.0, 1.0]), tf.constant([3.0])]
    found = regularised(gradients, weights, [True, False], 0.5, 0.0)
    np.testing.assert_allclose(tiny.flat(found.gradients), [2.0, 1.0, 3.0])
    assert (float(found.norm), found.clip_factor) == (pytest.approx(14**0.5), None)
    found = regularised(gradients, weights, [True, False], 0.5, 2.0)
    assert np.linalg.norm(tiny.flat(found.gradients)) == pytest.approx(2.0)
    assert (float(found.norm), float(found.clip_factor)) == pytest.approx((14**0.5, 2 / 14**0.5))


def test_a_direction_is_pulled_back_through_clipping_by_hand():
    """r = (3, 4), bound 1: along r the clipped gradient does not move, across it by the factor."""
    weights = [tf.constant([0.0]), tf.constant([0.0])]
    gradients = [tf.constant([3.0]), tf.constant([4.0])]
    found = regularised(gradients, weights, [True, True], 0.0, 1.0)
    for direction, expected in (([3.0, 4.0], [0, 0]), ([4.0, -3.0], [4, -3]), ([1.0, 0.0], [0.64, -0.48])):
        pulled = found.pulled_back([tf.constant([value]) for value in direction])
        np.testing.assert_allclose(tiny.flat(pulled), expected, atol=1e-6)
    for bound in (0.0, 5.0, 7.0):
        free = regularised(gradients, weights, [True, True], 0.0, bound)
        np.testing.assert_array_equal(tiny.flat(free.pulled_back([tf.constant([1.0]), tf.constant([0.5])])), [1, 0.5])


def test_average_warms_up_as_released():
    old, new = [tf.constant([0.0]), tf.constant([7])], [tf.constant([1.0]), tf.constant([9])]
    for step, decay in ((0, 0.1), (10, 0.55), (10**6, 0.99)):
        value, counter = moving_average(old, new, 0.99, tf.constant(step))
        assert float(value[0]) == pytest.approx(1 - decay, rel=1e-4)
        assert int(counter[0]) == 9
