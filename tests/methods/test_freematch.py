"""FreeMatch: averages, thresholds and fairness by hand; whole steps; replicas, bad steps and resuming."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mpl_tf import methods
from mpl_tf.methods import freematch
from mpl_tf.methods.freematch import Averages
from tests import tiny
from tests.devices.mesh import test_mesh
from tests.run import test_resume

pytestmark = pytest.mark.usefixtures("plain_graphs")

RATE, WEIGHT, FAIRNESS, DECAY = 0.1, 2.0, 3.0, 0.6
AVERAGES = Averages(tf.constant(0.8), tf.constant([0.5, 0.3, 0.2]), tf.constant([0.6, 0.2, 0.2]))


# ---- Thresholds and fairness ----------------------------------------------------------------------------------------


def test_thresholds_by_hand():
    np.testing.assert_allclose(freematch.thresholds(AVERAGES), [0.8, 0.48, 0.32], rtol=1e-6)


def test_fairness_by_hand():
    """p~ / h~ is 5/6, 3/2, 1, in all 10/3; p-bar / h-bar is 4/5, 1 and, of the class without examples, nothing."""
    found = freematch.fairness(AVERAGES, tf.constant([0.4, 0.1, 0.05]), tf.constant([0.5, 0.1, 0.0]))
    assert float(found) == pytest.approx(0.25 * np.log(0.8 / 1.8) + 0.45 * np.log(1 / 1.8), rel=1e-6)
    assert float(freematch.fairness(AVERAGES, tf.zeros([3]), tf.zeros([3]))) == 0


def test_the_gradient_of_fairness_is_the_released_codes_and_0_where_nothing_counts():
    """There a class without examples adds the constant a log(1e-12)."""
    p_bar, h_bar = tf.constant([0.4, 0.1, 0.05]), tf.constant([0.5, 0.1, 0.0])
    a = np.array([0.25, 0.45, 0.3])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(p_bar)
        ours = freematch.fairness(AVERAGES, p_bar, h_bar)
        ratio = p_bar * [2.0, 10.0, 0.0]
        released = tf.reduce_sum(a * tf.math.log(ratio / tf.reduce_sum(ratio) + 1e-12))
        none = freematch.fairness(AVERAGES, p_bar * 0, h_bar * 0)
    assert float(released) == pytest.approx(float(ours) + 0.3 * np.log(1e-12), rel=1e-5)
    np.testing.assert_allclose(tape.gradient(ours, p_bar), tape.gradient(released, p_bar), rtol=1e-5)
    np.testing.assert_array_equal(tape.gradient(none, p_bar), [0, 0, 0])


# ---- Whole steps ----------------------------------------------------------------------------------------------------


class ByHand:
    """Equations 5 to 12 example by example, the steps by plain gradients of the tiny network."""

    def __init__(self):
        self.network, classes = tiny.network(tiny.SEEDS["network"]), tiny.CLASSES
        self.tau, self.p, self.h = 1 / classes, np.full(classes, 1 / classes), np.full(classes, 1 / classes)
        self.thresholds, self.masks, self.unlabeled, self.fair = [], [], [], []

    def step(self, batch):
        q, classes = tf.nn.softmax(self.network(batch["x_u_weak"])).numpy(), range(tiny.CLASSES)
        labels = q.argmax(axis=1)
        self.tau = DECAY * self.tau + (1 - DECAY) * q.max(axis=1).mean()
        self.p = DECAY * self.p + (1 - DECAY) * q.mean(axis=0)
        self.h = DECAY * self.h + (1 - DECAY) * np.array([np.mean(labels == c) for c in classes])
        thresholds = self.p / self.p.max() * self.tau
        counted = [j for j in range(len(q)) if q[j].max() >= thresholds[labels[j]]]

        with tf.GradientTape() as tape:
            z_s = self.network(batch["x_u_strong"])
            log_s = tf.nn.log_softmax(z_s)
            unlabeled = -tf.add_n([log_s[j, labels[j]] for j in counted]) / len(q)
            # Fairness: of the classes that a counted strong view is given.
            given = [int(tf.argmax(z_s[j])) for j in counted]
            p_bar = [tf.add_n([tf.nn.softmax(z_s[j])[c] for j in counted]) for c in classes]
            ratio = {c: p_bar[c] / given.count(c) for c in classes if c in given}
            a = self.p / self.h / (self.p / self.h).sum()
            fair = tf.add_n([a[c] * tf.math.log(r / tf.add_n(list(ratio.values()))) for c, r in ratio.items()])
            supervised = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            loss = supervised(batch["y_l"], self.network(batch["x_l"])) + WEIGHT * unlabeled + FAIRNESS * fair
        weights = self.network.trainable_variables
        for variable, gradient in zip(weights, tape.gradient(loss, weights), strict=True):
            variable.assign_sub(RATE * gradient)
        self.thresholds.append(thresholds)
        self.masks.append(len(counted) / len(q))
        self.unlabeled.append(float(unlabeled))
        self.fair.append(float(fair))


def made(**options):
    options = {"uda_weight": WEIGHT, "fairness_weight": FAIRNESS, "threshold_decay": DECAY} | options
    return tiny.make("freematch", rate=RATE, momentum=0.0, **options)


def averages(method):
    return [np.asarray(variable).tolist() for variable in method.objective.averages]


def test_six_steps_are_the_equations_by_hand():
    method, expected = made(), ByHand()
    for count in range(6):
        batch = tiny.batch(seed=count)
        expected.step(batch)
        history = method.fit(tiny.repeated(batch), steps_per_epoch=1, verbose=0).history
        for found, value in zip(averages(method), (expected.tau, expected.p, expected.h), strict=True):
            np.testing.assert_allclose(found, value, rtol=1e-5)
        assert history["threshold"][-1] == pytest.approx(np.mean(expected.thresholds[-1]), rel=1e-5)
        assert history["uda_mask"][-1] == pytest.approx(expected.masks[-1])
        assert history["uda_loss"][-1] == pytest.approx(expected.unlabeled[-1], rel=1e-4)
        assert history["fairness_loss"][-1] == pytest.approx(expected.fair[-1], rel=1e-4)
        np.testing.assert_allclose(
            tiny.flat(method.student_network.weights), tiny.flat(expected.network.weights), rtol=1e-4, atol=1e-6
        )
    assert 0 < min(expected.masks) < 1
    assert min(abs(value) for value in expected.fair) > 0.1


def test_two_replicas_have_the_averages_and_the_fairness_of_the_whole_batch(two_replicas):
    """Fairness outweighs all else here, and is no mean over examples: each replica's own would be another."""
    batch, options = tiny.batch(), {"fairness_weight": 50.0}
    one, parts = made(**options), made(compiled={"accumulate": 2}, **options)
    one.fit(tiny.repeated(batch), steps_per_epoch=4, verbose=0)
    parts.fit(tiny.repeated(batch), steps_per_epoch=4, verbose=0)

    def halves(_):
        split = {key: tf.reshape(value, [2, -1, *value.shape[1:]]) for key, value in batch.items()}
        return tf.data.Dataset.from_tensor_slices(split).repeat()

    with two_replicas.scope():
        both = made(compiled={"steps_per_execution": 2}, **options)
    both.fit(two_replicas.distribute_datasets_from_function(halves), steps_per_epoch=4, verbose=0)
    start = tiny.flat(tiny.network(tiny.SEEDS["network"]).weights)
    expected = tiny.flat(one.student_network.weights)
    assert np.abs(expected - start).max() > 0.1
    for other in (parts, both):
        np.testing.assert_allclose(tiny.flat(other.student_network.weights), expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(tiny.flat(averages(other)), tiny.flat(averages(one)), rtol=1e-5)


@pytest.mark.parametrize("key", ["x_u_weak", "x_u_strong", "x_l"])
def test_a_step_with_a_view_that_is_not_finite_leaves_the_averages(key):
    """Of the weak view no gradient is taken: what it would do to the averages is enough to refuse the step."""
    method, batch = made(), tiny.batch()
    method.fit(tiny.repeated(batch), steps_per_epoch=1, verbose=0)
    before, weights = averages(method), tiny.flat(method.student_network.weights)
    history = method.fit(tiny.repeated(batch | {key: batch[key] * np.nan}), steps_per_epoch=1, verbose=0).history
    assert history["skipped_steps"] == [1]
    assert averages(method) == before
    np.testing.assert_array_equal(tiny.flat(method.student_network.weights), weights)


# ---- The program ----------------------------------------------------------------------------------------------------


def test_a_run_gets_the_papers_values_and_starts_from_uniform_averages(make_config):
    method = methods.make(make_config(method="freematch"), (8, 8, 3), 10)
    held = {name: getattr(method.objective, name) for name in ("weight", "ramp_steps", "fairness_weight", "decay")}
    assert held == {"weight": 1, "ramp_steps": 0, "fairness_weight": 0.01, "decay": 0.999}
    np.testing.assert_allclose(tiny.flat(averages(method)), [0.1] * 21, rtol=1e-6)


@pytest.mark.slow
def test_a_run_that_dies_and_goes_on_ends_with_the_bits_of_one_that_did_not(tmp_path, monkeypatch):
    flags = ("--method=freematch", "--model=narrow_cnn")
    workdirs = test_resume.died_and_undisturbed(tmp_path, monkeypatch, *flags)
    died, undisturbed = (test_resume.table(workdir) for workdir in workdirs)
    assert died == undisturbed
    assert len({row[undisturbed[0].index("threshold")] for row in undisturbed}) == len(undisturbed)
    np.testing.assert_array_equal(*(test_resume.weights(workdir) for workdir in workdirs))


@pytest.mark.slow
def test_a_mesh_has_the_averages_and_the_losses_of_one_device(tmp_path):
    flags = ("--method=freematch", "--mu=2", "--fairness_weight=1")
    on_mesh = test_mesh.train(tmp_path / "mesh", "dtensor", "--mesh=replica:1,core:2", *flags)
    on_one = test_mesh.train(tmp_path / "one", "one", *flags)
    for process in (on_mesh, on_one):
        test_mesh.finish(process)
    names, *expected = test_resume.table(tmp_path / "one")
    found_names, *found = test_resume.table(tmp_path / "mesh")
    assert found_names == names and {"threshold", "fairness_loss", "norm_fairness"} <= set(names)
    np.testing.assert_allclose(np.array(found, float), np.array(expected, float), rtol=1e-4, atol=1e-6)
