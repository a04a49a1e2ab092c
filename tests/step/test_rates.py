"""Rates below the classifier (--backbone_rate): the step, and the feedback through it, against numbers in float64.

Covers: network.py
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.base.errors import UsageError
from mpl_tf.step import feedback, losses
from mpl_tf.step.network import Learner
from mpl_tf.step.optimizer import rate_factors
from tests import tiny

RATE, FACTOR, DECAY = 0.05, 0.2, 0.1


def learner(momentum=0.0, clip_norm=0.0, backbone_rate=FACTOR):
    return Learner(tiny.network(11), tiny.sgd(RATE, momentum), DECAY, clip_norm, 1, backbone_rate)


def test_weights_below_the_classifier_step_by_the_factor_of_what_they_would():
    """With momentum over three steps; the classifier's own steps stay as they were."""
    gradients = [[tf.random.stateless_normal(w.shape, [step, 7]) for w in learner().weights()] for step in range(3)]
    moved = {}
    for factor in (1.0, FACTOR, 0.0):
        one = learner(momentum=0.9, backbone_rate=factor)
        one.weight_decay = 0.0
        start = [w.numpy() for w in one.weights()]
        for step in gradients:
            for variable, value in one.update(one.weights(), step, []).assignments:
                variable.assign(value)
        moved[factor] = [w.numpy() - first for w, first in zip(one.weights(), start, strict=True)]
    for full, part, none in zip(*(moved[factor][:-2] for factor in (1.0, FACTOR, 0.0)), strict=True):
        np.testing.assert_allclose(part, FACTOR * full, rtol=1e-4, atol=1e-7)
        assert not none.any() and full.any()
    for factor in (FACTOR, 0.0):
        for full, other in zip(moved[1.0][-2:], moved[factor][-2:], strict=True):
            np.testing.assert_array_equal(full, other)


def log_p(w, x):
    return tf.nn.log_softmax(tf.tanh(x @ w[0] + w[1]) @ w[2] + w[3])


def after_step(one, batch, q, clip_norm):
    """In float64, by hand: (L_l after the student's step by q, the gradient's norm, g_u without decay)."""
    x_u, x_l = (tf.cast(batch[key], tf.float64) for key in ("x_u_strong", "x_l"))
    theta = [tf.cast(w, tf.float64) for w in one.weights()]
    with tf.GradientTape() as tape:
        tape.watch(theta)
        loss = -tf.reduce_mean(tf.reduce_sum(q * log_p(theta, x_u), -1))
    g_u = tape.gradient(loss, theta)
    gradient = [g + DECAY * w for g, w in zip(g_u, theta, strict=True)]
    norm = tf.linalg.global_norm(gradient)
    scale = tf.minimum(1.0, clip_norm / norm) if clip_norm else 1.0
    rates = [RATE * FACTOR, RATE * FACTOR, RATE, RATE]
    new = [w - rate * scale * g for w, g, rate in zip(theta, gradient, rates, strict=True)]
    labels = tf.one_hot(batch["y_l"], tiny.CLASSES, dtype=tf.float64)
    return float(-tf.reduce_mean(tf.reduce_sum(labels * log_p(new, x_l), -1))), float(norm), g_u


def stepped(one, batch, q):
    """(the student's step by q, g_u, grad L_l after it)."""
    theta = one.weights()
    with tf.GradientTape() as tape:
        tape.watch(theta)
        (z,), _ = one.forward(theta, [batch["x_u_strong"]])
        loss = tf.reduce_mean(losses.soft_cross_entropy(q, z))
    g_u = tape.gradient(loss, theta)
    step = one.update(theta, g_u, [])

    def labeled_loss(z):
        return tf.reduce_mean(losses.cross_entropy(batch["y_l"], z))

    return step, g_u, feedback.labeled_gradient(one, labeled_loss, batch["x_l"], step.weights)


@pytest.mark.parametrize("clip", [0.0, 0.3, 1.5])
def test_exact_feedback_is_the_derivative_through_rates_decay_and_clipping(clip):
    """Of bounds that act and that do not; with one rate for all it would be wrong by more than a tenth."""
    batch = tiny.batch(unlabeled=4)
    q = tf.nn.softmax(tiny.network(1)(batch["x_u_strong"]))
    q64 = tf.cast(q, tf.float64)
    bound = clip * after_step(learner(), batch, q64, 0.0)[1]
    one = learner(clip_norm=bound)
    step, _, v = stepped(one, batch, q)
    tables = [
        feedback.exact(one, u, batch["x_u_strong"], one.weights(), step.first_step_coefficient, 4).numpy()
        for u in (step.pulled_back(v), v)
    ]
    expected, width = np.zeros_like(tables[0]), 1e-6
    for place in np.ndindex(expected.shape):
        change = np.zeros(expected.shape)
        change[place] = width
        above, below = (after_step(one, batch, q64 + sign * change, bound)[0] for sign in (1, -1))
        expected[place] = (above - below) / (2 * width)
    errors = [np.linalg.norm(table - expected) / np.linalg.norm(expected) for table in tables]
    assert errors[0] < 1e-4
    assert errors[1] > 0.1


def test_scalar_feedback_counts_each_weight_by_its_own_rate():
    """The dot product is minus the loss' derivative along the step that g_u alone makes; Taylor's is the loss' fall."""
    batch = tiny.batch(unlabeled=4)
    q = tf.one_hot([0, 1, 2, 0], tiny.CLASSES)
    one = learner()
    one.weight_decay = 0.0
    step, g_u, v = stepped(one, batch, q)
    moved = tiny.flat(one.weights()) - tiny.flat(step.weights)
    dot = float(feedback.dot_product(one.rated(v), g_u, step.first_step_coefficient))
    assert dot == pytest.approx(float(tiny.flat(v) @ moved), rel=1e-4)

    def labeled_loss(z):
        return tf.reduce_mean(losses.cross_entropy(batch["y_l"], z))

    h = float(feedback.taylor(one, labeled_loss, batch["x_l"], one.weights(), step.weights))
    assert h == pytest.approx(dot, rel=0.1) and abs(h) > 1e-3


def test_similarities_count_each_weight_by_its_own_rate():
    """Against the two gradients' products, one example at a time."""
    batch, one = tiny.batch(unlabeled=4), learner()
    q = tf.nn.softmax(tiny.network(1)(batch["x_u_strong"]))

    def labeled_loss(z):
        return tf.reduce_mean(losses.cross_entropy(batch["y_l"], z))

    found = feedback.similarities(one, labeled_loss, batch["x_l"], batch["x_u_strong"], q, one.weights())
    v = feedback.labeled_gradient(one, labeled_loss, batch["x_l"], one.weights())
    for number in range(4):
        with tf.GradientTape() as tape:
            z = one.network(batch["x_u_strong"][number : number + 1])
            loss = losses.soft_cross_entropy(q[number : number + 1], z)[0]
        g = tape.gradient(loss, one.network.trainable_variables)
        expected = sum(f * np.vdot(a, b) for f, a, b in zip((FACTOR, FACTOR, 1, 1), v, g, strict=True))
        assert float(found[number]) == pytest.approx(float(expected), rel=1e-4, abs=1e-6)


def test_a_network_that_does_not_end_in_its_classifier_is_refused():
    flat = keras.Sequential([keras.Input((5,)), keras.layers.Dense(3), keras.layers.Activation("linear")])
    with pytest.raises(UsageError, match="^--backbone_rate: expected a network whose last layer is its classifier"):
        rate_factors(flat, 0.5)
    assert rate_factors(flat, 1) is None


def test_rates_reach_all_networks_but_the_reduced_teacher(make_config):
    from mpl_tf import methods

    for method, expected in (("mpl", {"teacher", "student"}), ("uda", {"teacher"})):
        made = methods.make(make_config(method=method, backbone_rate=0.5, model="narrow_cnn"), (8, 8, 3), 10)
        factors = {role: learner.factors for role, learner in made.learners().items()}
        assert factors.keys() == expected
        assert all(sorted(set(found)) == [0.5, 1.0] and found[-2:] == [1.0, 1.0] for found in factors.values())
    reduced = tiny.make("reduced_mpl", compiled={"backbone_rate": 0.5})
    assert reduced.teacher.factors is None and set(reduced.student.factors) == {0.5, 1.0}
    finetuned = methods.make_finetune(made.deployed(), make_config(backbone_rate=0.5))
    assert set(finetuned.student.factors) == {0.5, 1.0}
