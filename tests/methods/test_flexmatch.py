"""FlexMatch: learning status, thresholds and what is remembered of each example, by hand; whole steps; resuming."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mpl_tf import data, main, methods
from mpl_tf.base.errors import UsageError
from mpl_tf.methods import flexmatch
from mpl_tf.run.checkpoints import Checkpoints
from tests import tiny
from tests.devices import test_workers
from tests.run import test_resume

pytestmark = pytest.mark.usefixtures("plain_graphs")

RATE, WEIGHT, TAU = 0.1, 1.0, 0.55


# ---- Learning status and thresholds ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("last_labels", "beta"),
    [
        ([-1] * 8, [0, 0, 0]),
        ([0, -1, -1, -1, -1, -1, 1, 0], [2 / 5, 1 / 5, 0]),  # Five unused examples are more than any class has.
        ([0, 0, 0, 1, -1, -1, 2, 2], [1, 1 / 3, 2 / 3]),  # Class 0 has more than the two unused ones.
        ([0, 0, -1, -1], [1, 0, 0]),
        ([1, 1, 1, 1], [0, 1, 0]),
    ],
)
def test_learning_status_by_hand(last_labels, beta):
    np.testing.assert_allclose(flexmatch.learning_status(tf.constant(last_labels), 3), beta, rtol=1e-6)


def test_the_mapping_by_hand():
    """x / (2 - x): below the identity between 0 and 1, and convex."""
    np.testing.assert_allclose(flexmatch.mapped(tf.constant([0.0, 0.4, 0.5, 1.0])), [0, 0.25, 1 / 3, 1], rtol=1e-6)


def test_the_last_sure_place_of_an_example_is_remembered():
    before = tf.constant([2, 0, -1, 1, -1, 2])
    numbers, labels = tf.constant([4, 1, 4, 5, 0, 4]), tf.constant([0, 1, 2, -1, -1, -1])
    after = flexmatch.remembered(before, numbers, labels)
    np.testing.assert_array_equal(after, [2, 1, -1, 1, 2, 2])  # 4: sure of 0, then of 2, then not sure.
    compiled = tf.function(flexmatch.remembered, jit_compile=True)
    np.testing.assert_array_equal(compiled(before, numbers, labels), after)


# ---- Whole steps ----------------------------------------------------------------------------------------------------


class ByHand:
    """Algorithm 1 example by example, its steps by plain gradients of the tiny network."""

    def __init__(self, num_unlabeled):
        self.network = tiny.network(tiny.SEEDS["network"])
        self.last_labels = [-1] * num_unlabeled
        self.thresholds, self.masks, self.losses = [], [], []

    def step(self, batch):
        sigma = [self.last_labels.count(c) for c in range(tiny.CLASSES)]
        beta = [count / max(*sigma, self.last_labels.count(-1)) for count in sigma]
        thresholds = [b / (2 - b) * TAU for b in beta]
        p = tf.nn.softmax(self.network(batch["x_u_weak"])).numpy()
        counted = [j for j in range(len(p)) if p[j].max() >= thresholds[p[j].argmax()]]
        for j, number in enumerate(batch["i_u"].numpy()):
            if p[j].max() >= TAU:
                self.last_labels[number] = int(p[j].argmax())

        with tf.GradientTape() as tape:
            log_s = tf.nn.log_softmax(self.network(batch["x_u_strong"]))
            unlabeled = -tf.add_n([log_s[j, p[j].argmax()] for j in counted]) / len(p)
            supervised = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            loss = supervised(batch["y_l"], self.network(batch["x_l"])) + WEIGHT * unlabeled
        for variable, gradient in zip(
            self.network.trainable_variables, tape.gradient(loss, self.network.trainable_variables), strict=True
        ):
            variable.assign_sub(RATE * gradient)
        self.thresholds.append(thresholds)
        self.masks.append(len(counted) / len(p))
        self.losses.append(float(unlabeled))


def made(**options):
    return tiny.make(
        "flexmatch", rate=RATE, momentum=0.0, uda_weight=WEIGHT, uda_threshold=TAU, label_smoothing=0.0, **options
    )


def of(*batches):
    """A data set of these batches, once."""
    signature = {key: tf.TensorSpec(value.shape, value.dtype) for key, value in batches[0].items()}
    return tf.data.Dataset.from_generator(lambda: iter(batches), output_signature=signature)


def last_labels(method):
    return np.asarray(method.objective.last_labels).tolist()


def test_eight_steps_are_algorithm_1_by_hand():
    """Thresholds start at 0 and rise, at last above some confidences."""
    method, expected = made(), ByHand(tiny.UNLABELED)
    for count in range(8):
        batch = tiny.batch(seed=count)
        expected.step(batch)
        history = method.fit(of(batch), steps_per_epoch=1, verbose=0).history
        assert last_labels(method) == expected.last_labels, count
        assert history["threshold"][-1] == pytest.approx(np.mean(expected.thresholds[-1]), rel=1e-5)
        assert history["uda_mask"][-1] == pytest.approx(expected.masks[-1])
        assert history["uda_loss"][-1] == pytest.approx(expected.losses[-1], rel=1e-4)
        np.testing.assert_allclose(
            tiny.flat(method.student_network.weights), tiny.flat(expected.network.weights), rtol=1e-4, atol=1e-6
        )
    assert expected.thresholds[0] == [0] * 3 and expected.masks[0] == 1
    assert max(len(set(thresholds)) for thresholds in expected.thresholds) == 3 and 0 < min(expected.masks) < 1
    assert -1 in expected.last_labels and len(set(expected.last_labels)) > 2


def test_two_replicas_and_parts_remember_what_one_device_does(two_replicas):
    """The first example's last place in the batch is on the other replica; sizes are unknown within a compiled loop."""
    batches = [tiny.batch(seed=seed) for seed in range(4)]
    one, parts = made(), made(compiled={"accumulate": 2})
    one.fit(of(*batches), steps_per_epoch=4, verbose=0)
    parts.fit(of(*batches), steps_per_epoch=4, verbose=0)

    def halves(_):
        return of(*batches).map(lambda batch: {key: tf.split(x, 2) for key, x in batch.items()}).unbatch()

    with two_replicas.scope():
        both = made(compiled={"steps_per_execution": 2})
    both.fit(two_replicas.distribute_datasets_from_function(halves), steps_per_epoch=4, verbose=0)
    assert last_labels(one) == last_labels(parts) == last_labels(both)
    for local in two_replicas.experimental_local_results(both.objective.last_labels.value):
        assert local.numpy().tolist() == last_labels(one)
    assert len(set(last_labels(one))) > 2


def test_a_bad_step_leaves_what_is_remembered(tmp_path):
    """And a checkpoint holds it."""
    method, batch = made(), tiny.batch()
    method.fit(of(batch), steps_per_epoch=1, verbose=0)
    before = last_labels(method)
    bad = {key: x * np.nan if key == "x_l" else x for key, x in tiny.batch(seed=1).items()}
    history = method.fit(of(bad), steps_per_epoch=1, verbose=0).history
    assert (history["skipped_steps"], last_labels(method)) == ([1], before)
    assert len(set(before)) > 1
    Checkpoints(method, tmp_path, keep=2).save(1, 0.0)
    restored = made()
    assert Checkpoints(restored, tmp_path, keep=2).restore() == 1
    assert last_labels(restored) == before


# ---- The program ----------------------------------------------------------------------------------------------------


def test_methods_are_told_how_many_unlabeled_examples_there_are(make_config):
    config = make_config(method="flexmatch")
    dataset = data.load(config)
    method = methods.make(config, dataset.shape, dataset.num_classes, dataset.num_unlabeled)
    assert last_labels(method) == [-1] * 1298
    assert {name: getattr(method.objective, name) for name in ("weight", "threshold", "ramp_steps")} == {
        "weight": 1,
        "threshold": 0.95,
        "ramp_steps": 0,
    }
    with pytest.raises(UsageError, match="num_unlabeled: expected at least 1 unlabeled example, got 0"):
        methods.make(config, dataset.shape, dataset.num_classes)


@pytest.mark.slow
def test_a_run_that_dies_and_goes_on_ends_with_the_bits_of_one_that_did_not(tmp_path, monkeypatch):
    workdirs = test_resume.died_and_undisturbed(
        tmp_path, monkeypatch, "--method=flexmatch", "--uda_threshold=0.2", "--mu=10", "--model=narrow_cnn"
    )
    died, undisturbed = (test_resume.table(workdir) for workdir in workdirs)
    assert died == undisturbed
    thresholds = [float(row[undisturbed[0].index("threshold")]) for row in undisturbed[1:]]
    assert thresholds[-1] > thresholds[0] >= 0
    np.testing.assert_array_equal(*(test_resume.weights(workdir) for workdir in workdirs))


@pytest.mark.slow
def test_two_workers_remember_what_one_device_does(tmp_path):
    each = ("--method=flexmatch", "--uda_threshold=0.3")
    processes = test_workers.start_two_workers(tmp_path / "two", (each, each))
    assert main.main([*test_workers.FLAGS, *each, "--strategy=one", f"--workdir={tmp_path / 'one'}"]) == 0
    assert [status for status, _ in test_workers.ends(processes)] == [0, 0]
    one, two = (test_workers.losses(tmp_path / name) for name in ("one", "two"))
    np.testing.assert_allclose(two, one, rtol=2e-3, atol=1e-5)
    names, *rows = test_resume.table(tmp_path / "one")
    thresholds = [float(row[names.index("threshold")]) for row in rows]
    assert thresholds == sorted(set(thresholds)) and thresholds[-1] > 0.005
