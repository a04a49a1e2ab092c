"""Methods that learn from a fixed teacher's distributions: their steps by hand.

Covers: noisy_student.py, reduced_mpl.py
"""

import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.base.errors import UsageError
from mpl_tf.methods.reduced_mpl import reduced_teacher
from tests import tiny

pytestmark = pytest.mark.usefixtures("plain_graphs")


def cross_entropy(q, z):
    return -np.sum(q * (z - np.log(np.exp(z).sum(axis=1, keepdims=True))), axis=1)


def plain_step(network, x, y, rate, w=1.0):
    """One step of plain gradient descent on the mean cross entropy, by TensorFlow alone: (new weights, loss)."""
    with tf.GradientTape() as tape:
        each = tf.nn.softmax_cross_entropy_with_logits(tf.stop_gradient(y), network(x, training=True))
        loss = tf.reduce_mean(w * each)
    gradients = tape.gradient(loss, network.trainable_variables)
    new = [variable - rate * g for variable, g in zip(network.trainable_variables, gradients, strict=True)]
    return tiny.flat(new), float(loss)


@pytest.mark.parametrize("kind", ["soft", "argmax"])
@pytest.mark.parametrize(
    ("name", "with_labels"), [("pseudo_labels", False), ("pseudo_labels", True), ("noisy_student", True)]
)
def test_one_step_is_gradient_descent_on_the_teachers_labels(name, with_labels, kind):
    batch = tiny.batch(labeled=4, unlabeled=8)
    all_alike = {"label_confidence": 0.0, "balance_classes": False}
    options = {"with_labels": with_labels} if name == "pseudo_labels" else all_alike
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


def student_of(q, shares=None, confidence=0.3, balance=True, prior=None):
    """(w, new shares) of Noisy Student for a batch of distributions, from these shares of the classes before."""
    method = tiny.make("noisy_student", label_confidence=confidence, balance_classes=balance, class_prior=prior)
    if shares is not None:
        method.shares.variable.assign(shares)
    w, remembered, logs = method.counted(tf.constant(q, tf.float32), 10_000)
    return w.numpy(), [value.numpy() for _, value in remembered], float(logs["selected"])


Q = [[0.8, 0.1, 0.1], [0.6, 0.2, 0.2], [0.1, 0.5, 0.4], [0.34, 0.33, 0.33]]  # Classes 0, 0, 1 and, least sure, 0.


def test_labels_below_the_confidence_do_not_count_and_the_others_make_up_for_them():
    """Three of four count: 4 / 3 each, so that the mean is 1; at 0.3 all four do, at 0.9 none."""
    for confidence, expected in ((0.4, [4 / 3, 4 / 3, 4 / 3, 0]), (0.3, [1] * 4), (0.9, [0] * 4)):
        w, remembered, selected = student_of(Q, confidence=confidence, balance=False)
        np.testing.assert_allclose(w, expected, rtol=1e-6)
        assert (remembered, selected) == ([], np.mean(np.array(expected) > 0))


def test_classes_are_made_alike_by_their_shares():
    """By hand: n = 0.99 (0.6, 0.15, 0.05) + 0.01 (0.5, 0.25, 0); w is 1 / (3 n_c), and 0 where left out."""
    w, (n,), _ = student_of(Q, shares=[0.6, 0.15, 0.05], confidence=0.4)
    np.testing.assert_allclose(n, [0.599, 0.151, 0.0495], rtol=1e-5)
    np.testing.assert_allclose(w, [0.556483, 0.556483, 2.207506, 0], rtol=1e-5)


def test_classes_are_made_as_large_as_a_prior_has_them():
    """With n as above w is pi_c / n_c: 0.5 / 0.599 and 0.3 / 0.151."""
    w, _, _ = student_of(Q, shares=[0.6, 0.15, 0.05], confidence=0.4, prior=[0.5, 0.3, 0.2])
    np.testing.assert_allclose(w, [0.834725, 0.834725, 1.986755, 0], rtol=1e-5)
    with pytest.raises(UsageError, match="^class_prior: expected 3 shares of sum 1, got "):
        student_of(Q, prior=[0.5, 0.5])


def test_a_rare_class_counts_at_most_ten_times():
    """n of class 1 is 0.01 / 4 with one example of it, 0.0025: it would count 1 / (3 x 0.0025) = 133 times."""
    w, (n,), _ = student_of(Q, shares=[1.0, 0.0, 0.0], confidence=0.4)
    np.testing.assert_allclose(n, [0.995, 0.0025, 0.0], atol=1e-6)
    np.testing.assert_allclose(w, [1 / 2.985, 1 / 2.985, 10, 0], rtol=1e-5)


def test_weights_make_the_stream_as_balanced_as_the_repeated_images_would_be():
    """Over many batches the weighted classes are alike, whatever the labels' shares are."""
    method, random, total = tiny.make("noisy_student"), np.random.default_rng(0), np.zeros(3)
    for step in range(300):
        classes = random.choice(3, 64, p=[0.7, 0.2, 0.1])
        w, ((variable, n),), _ = method.counted(tf.constant(np.eye(3)[classes], tf.float32), step)
        variable.assign(n)
        if step >= 100:
            total += [w.numpy()[classes == c].sum() for c in range(3)]
    np.testing.assert_allclose(total / (200 * 64), [1 / 3] * 3, rtol=0.03)  # So that w is 1 in the mean.


def test_one_step_of_noisy_student_by_hand():
    """Weights of the unlabeled examples, 1 for the labeled, the mean over both batches."""
    batch = tiny.batch(labeled=4, unlabeled=8)
    q = batch["q_u"].numpy()
    method = tiny.make("noisy_student", rate=0.5, momentum=0.0, label_confidence=0.6)
    sure = q.max(axis=1) >= 0.6
    assert 0 < sure.sum() < 8
    share = np.array([np.mean(sure & (q.argmax(axis=1) == c)) for c in range(3)])
    n = 0.1 / 3 + 0.9 * share  # Early in the run the batch counts for more.
    w = np.concatenate([sure * np.minimum(1 / (3 * n), 10)[q.argmax(axis=1)], np.ones(4)]).astype("float32")
    x = tf.concat([batch["x_u_strong"], batch["x_l_strong"]], 0)
    y = np.concatenate([q, np.eye(3, dtype=np.float32)[batch["y_l"]]])
    expected, _ = plain_step(method.student_network, x, y, 0.5, w)
    logs = method.fit(tiny.repeated(batch), epochs=1, steps_per_epoch=1, verbose=0).history
    np.testing.assert_allclose(tiny.flat(method.student_network.trainable_variables), expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(method.shares.variable, n, rtol=1e-6)
    assert logs["selected"] == [sure.mean()]
