"""Methods that learn from a fixed teacher's distributions: their steps by hand.

Covers: noisy_student.py, reduced_mpl.py
"""

import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.methods.reduced_mpl import reduced_teacher
from tests import tiny

pytestmark = pytest.mark.usefixtures("plain_graphs")


def cross_entropy(q, z):
    return -np.sum(q * (z - np.log(np.exp(z).sum(axis=1, keepdims=True))), axis=1)


def plain_step(network, x, y, rate):
    """One step of plain gradient descent on the mean cross entropy, by TensorFlow alone: (new weights, loss)."""
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(tf.stop_gradient(y), network(x, training=True)))
    gradients = tape.gradient(loss, network.trainable_variables)
    new = [variable - rate * g for variable, g in zip(network.trainable_variables, gradients, strict=True)]
    return tiny.flat(new), float(loss)


@pytest.mark.parametrize("kind", ["soft", "argmax"])
@pytest.mark.parametrize(
    ("name", "with_labels"), [("pseudo_labels", False), ("pseudo_labels", True), ("noisy_student", True)]
)
def test_one_step_is_gradient_descent_on_the_teachers_labels(name, with_labels, kind):
    batch = tiny.batch(labeled=4, unlabeled=8)
    options = {"with_labels": with_labels} if name == "pseudo_labels" else {}
    method = tiny.make(name, rate=0.5, momentum=0.0, pseudo_labels=kind, **options)
    x_u = batch["x_u_strong" if name == "noisy_student" else "x_u_weak"]
    x_l = batch["x_l_strong" if name == "noisy_student" else "x_l"]
    q = batch["q_u"].numpy()
    y = q if kind == "soft" else np.eye(tiny.CLASSES, dtype=np.float32)[q.argmax(axis=1)]
    x = tf.concat([x_u, x_l], 0) if with_labels else x_u
    y = np.concatenate([y, np.eye(tiny.CLASSES, dtype=np.float32)[batch["y_l"]]]) if with_labels else y
    expected, _ = plain_step(method.student_network, x, y, 0.5)
    z_u = method.student_network(x_u).numpy()
    logs = method.fit(tiny.repeated(batch), epochs=1, steps_per_epoch=1, verbose=0).history
    np.testing.assert_allclose(tiny.flat(method.student_network.trainable_variables), expected, rtol=1e-5, atol=1e-6)
    assert logs["student_loss"][0] == pytest.approx(cross_entropy(y[: len(q)], z_u).mean(), rel=1e-5)
    assert logs["student_agreement"][0] == np.mean(z_u.argmax(axis=1) == q.argmax(axis=1))


def test_the_reduced_teacher_starts_as_the_identity_and_can_move():
    q = tf.nn.softmax(tf.random.stateless_normal([6, 4], [0, 0], stddev=3.0))
    network = reduced_teacher(4)
    np.testing.assert_allclose(tf.nn.softmax(network(q)), q, rtol=1e-4)
    one_hot = tf.one_hot([0, 3], 4)
    np.testing.assert_allclose(tf.nn.softmax(network(one_hot)), one_hot, atol=1e-6)
    assert network.count_params() == 4 * 64 + 64 + 64 * 4 + 4


def test_feedback_alone_moves_the_reduced_teacher():
    """Its first gradient is that of the feedback's table through softmax at its logits, checked at the last bias."""
    batches = tiny.repeated(tiny.batch())
    options = {"feedback": "exact", "feedback_scale": "sum", "pseudo_labels": "soft"}
    moved = {}
    for form in ("exact", "off"):
        method = tiny.make("reduced_mpl", momentum=0.0, **options | {"feedback": form})
        before = tiny.flat(method.teacher.network.variables)
        method.fit(batches, epochs=1, steps_per_epoch=2, verbose=0)
        moved[form] = np.abs(tiny.flat(method.teacher.network.variables) - before).max()
    assert moved["off"] == 0
    assert moved["exact"] > 1e-6


def test_reduced_mpl_that_cannot_move_its_teacher_is_pseudo_labels_on_strong_views():
    """With the identity as reduced teacher and no feedback the student learns the stored distributions."""
    batch = tiny.batch()
    method = tiny.make("reduced_mpl", rate=0.5, momentum=0.0, feedback="off", pseudo_labels="soft", label_smoothing=0.0)
    expected, _ = plain_step(method.student_network, batch["x_u_strong"], batch["q_u"], 0.5)
    method.fit(tiny.repeated(batch), epochs=1, steps_per_epoch=1, verbose=0)
    np.testing.assert_allclose(tiny.flat(method.student_network.trainable_variables), expected, rtol=1e-4, atol=1e-6)
