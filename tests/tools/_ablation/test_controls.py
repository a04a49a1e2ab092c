"""Controls of exact feedback: what each leaves of the table, and that the rest of the step is as it was."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.base.errors import UsageError
from mpl_tf.methods.mpl import MetaPseudoLabels
from tests import tiny
from tools import sweep
from tools._ablation.control_names import CONTROLS
from tools._ablation.controls import FORMS

pytestmark = pytest.mark.usefixtures("plain_graphs")

EXACT = {"feedback": "exact", "feedback_scale": "sum", "pseudo_labels": "soft", "label_smoothing": 0.0}
TABLE = tf.constant(np.random.default_rng(1).normal(size=(8, tiny.CLASSES)) + [1, 0, -2], tf.float32)
Z = tf.constant(np.random.default_rng(2).normal(size=(8, tiny.CLASSES)), tf.float32)


def made(kind, seed=0, **options):
    keras.utils.set_random_seed(0)
    networks = {role: tiny.network(tiny.SEEDS[role]) for role in ("teacher", "student")}
    method = kind(**networks, ema_decay=0.0, seed=seed, **EXACT | options)
    method.compile(tiny.sgd(0.1, 0.0), teacher_optimizer=tiny.sgd(0.1, 0.0), weight_decay=0.0)
    return method


def told(name, seed=0):
    return made(FORMS[name], seed).told(TABLE, Z).numpy()


def rows(table):
    """A table's rows in a fixed order."""
    return np.array(sorted(np.asarray(table).tolist()))


def test_every_control_is_named_and_helped():
    assert set(FORMS) == set(CONTROLS) == set(sweep.Flags.__dataclass_fields__["control"].metadata["choices"]) - {""}


def test_shuffled_rows_are_the_same_rows_in_another_order_by_the_seed():
    found = [told("shuffled_rows", seed) for seed in (0, 0, 1)]
    for table in found:
        np.testing.assert_array_equal(rows(table), rows(TABLE))
        assert (table != TABLE.numpy()).any()
    np.testing.assert_array_equal(found[0], found[1])
    assert (found[0] != found[2]).any()


def test_without_the_mean_the_mean_is_0_and_the_differences_stay():
    found = told("minus_mean")
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(found[1:] - found[0], TABLE[1:] - TABLE[0], atol=1e-6)
    shuffled = told("minus_mean_shuffled")
    np.testing.assert_allclose(rows(shuffled), rows(found), atol=1e-7)
    assert np.abs(shuffled - found).max() > 0.1
    np.testing.assert_allclose(told("batch_mean"), [TABLE.numpy().mean(axis=0)] * 8, rtol=1e-6)


def gradient(table):
    with tf.GradientTape() as tape:
        tape.watch(Z)
        loss = tf.reduce_sum(table * tf.nn.softmax(Z))
    return tape.gradient(loss, Z).numpy()


def test_a_random_direction_has_the_norm_of_the_feedback_at_the_logits():
    table = told("random_direction")
    expected, found = gradient(TABLE), gradient(tf.constant(table))
    assert np.linalg.norm(found) == pytest.approx(np.linalg.norm(expected), rel=1e-5)
    assert abs(np.sum(found * expected)) < 0.8 * np.linalg.norm(found) * np.linalg.norm(expected)


def test_shuffled_labels_are_the_same_labels():
    method, labels = made(FORMS["shuffled_labels"]), tf.constant([0, 0, 1, 1, 2, 2, 0, 1])
    found = method.feedback_labels(labels).numpy()
    assert (np.bincount(found) == [3, 3, 2]).all() and (found != labels.numpy()).any()
    np.testing.assert_array_equal(method.told(TABLE, Z), TABLE)


@pytest.mark.parametrize("name", FORMS)
def test_the_student_steps_as_it_would_and_the_teacher_does_not(name):
    """One step: the student's is mpl's, as are the parts of the teacher's objective; the feedback alone is another."""
    batches, found = tiny.repeated(tiny.batch(labeled=4, unlabeled=8)), []
    for kind in (MetaPseudoLabels, FORMS[name]):
        method = made(kind)
        logs = method.fit(batches, epochs=1, steps_per_epoch=1, verbose=0).history
        found.append((tiny.flat(method.student.weights()), tiny.flat(method.teacher.weights()), logs))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    assert np.abs(found[0][1] - found[1][1]).max() > 1e-6
    for column in ("norm_uda", "norm_supervised", "student_loss"):
        assert found[0][2][column] == found[1][2][column]
    if name == "random_direction":
        assert found[1][2]["norm_feedback"][0] == pytest.approx(found[0][2]["norm_feedback"][0], rel=1e-4)


def test_controls_are_of_exact_feedback_of_mpl(make_config):
    with pytest.raises(UsageError, match="^--control: controls are of --feedback=exact, got --feedback=off"):
        made(FORMS["minus_mean"], feedback="off")
    with pytest.raises(UsageError, match="^--control: controls are of --method=mpl, got --method=uda"):
        sweep.Traced("minus_mean")(make_config(method="uda"), (8, 8, 3), 10, ())
    method = sweep.Traced("minus_mean")(make_config(), (8, 8, 3), 10, (), num_unlabeled=8)
    assert type(method) is FORMS["minus_mean"]


def test_a_folder_of_runs_is_of_one_control(tmp_path):
    sweep._mark(tmp_path / "a", "minus_mean")
    assert (tmp_path / "a" / "control.txt").read_text() == "minus_mean\n"
    (tmp_path / "a" / "seed0").mkdir()
    sweep._mark(tmp_path / "a", "minus_mean")
    with pytest.raises(UsageError, match="runs of the control minus_mean; give another --output, or --control=minus_"):
        sweep._mark(tmp_path / "a", "")
    (tmp_path / "b" / "seed0").mkdir(parents=True)
    with pytest.raises(UsageError, match="runs of mpl itself; give another --output, or no --control"):
        sweep._mark(tmp_path / "b", "batch_mean")
