"""evaluate() and fit(validation_data=...) of a method, and Keras' callbacks that go by what they say."""

import csv

import keras
import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.base.errors import UsageError
from mpl_tf.methods.mpl import MetaPseudoLabels
from tests import tiny

pytestmark = pytest.mark.usefixtures("plain_graphs")
X = np.random.default_rng(7).normal(size=(10, tiny.FEATURES)).astype("float32")
Y = np.random.default_rng(8).integers(0, tiny.CLASSES, 10)  # int64


def by_hand(network):
    """(cross entropy, accuracy) of X and Y."""
    z = network.predict(X, verbose=0).astype("float64")
    log = z - np.log(np.exp(z).sum(axis=-1, keepdims=True))
    return -log[np.arange(10), Y].mean(), (z.argmax(axis=-1) == Y).mean()


def test_evaluate_after_compile_alone_is_loss_and_accuracy_of_the_deployed_network():
    method = tiny.make("uda", ema_decay=0.9)
    expected = by_hand(method.averaged)
    assert method.evaluate(X, Y, batch_size=4, verbose=0) == pytest.approx(expected, rel=1e-5)
    batches = tf.data.Dataset.from_tensor_slices({"x_l": X, "y_l": Y}).batch(3)
    assert method.evaluate(batches, verbose=0) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("steps", [1, 4])
def test_fit_validates_and_its_own_logs_stay_as_they_are(steps, tmp_path):
    batches = tiny.repeated(tiny.batch())
    plain, validated = (tiny.make("mpl", compiled={"steps_per_execution": steps}) for _ in range(2))
    plain.fit(batches, steps_per_epoch=4, epochs=2, verbose=0)
    validated.compile(
        tiny.sgd(0.1, 0.9),
        tiny.sgd(0.1, 0.9),
        weight_decay=0.0,
        steps_per_execution=steps,
        metrics=["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(2, name="top2")],
    )
    table = keras.callbacks.CSVLogger(tmp_path / "log.csv")
    pairs = tf.data.Dataset.from_tensor_slices((X, Y)).batch(4)
    validated.fit(batches, steps_per_epoch=4, epochs=2, verbose=0, validation_data=pairs, callbacks=[table])
    for name, values in plain.history.history.items():
        assert validated.history.history[name] == values, name
    # The last epoch's are those of the network as it is left.
    loss, accuracy = by_hand(validated.deployed())
    with open(tmp_path / "log.csv", newline="") as file:
        last = list(csv.DictReader(file))[-1]
    assert float(last["val_loss"]) == pytest.approx(loss, rel=1e-5)
    assert float(last["val_accuracy"]) == pytest.approx(accuracy)
    assert accuracy <= float(last["val_top2"]) <= 1
    assert validated.evaluate(X, Y, verbose=0, return_dict=True).keys() == {"loss", "accuracy", "top2"}


def test_early_stopping_on_val_accuracy_and_two_rates_by_one_schedule():
    method = tiny.make("mpl", rate=0.0)
    stop = keras.callbacks.EarlyStopping("val_accuracy", patience=2, restore_best_weights=True)
    halve = keras.callbacks.LearningRateScheduler(lambda epoch, rate: 0.1 * 0.5**epoch)
    history = method.fit(
        tiny.repeated(tiny.batch()),
        steps_per_epoch=1,
        epochs=9,
        verbose=0,
        validation_data=(X, Y),
        callbacks=[stop, halve],
    ).history
    assert len(history["val_accuracy"]) <= 9
    assert history["student_learning_rate"][:2] == pytest.approx([0.1, 0.05])
    assert history["learning_rate"][:2] == pytest.approx([0.1, 0.05])


def test_an_evaluation_within_an_epoch_leaves_its_means():
    method = tiny.make("supervised")
    tiny.run(method, tiny.repeated(tiny.batch()), 2)
    method.within_epoch, before = True, method.sums.numpy()
    method.evaluate(X, Y, verbose=0)
    np.testing.assert_array_equal(method.sums, before)
    assert method.within_epoch


def test_x_and_y_train_a_method_of_labeled_data_alone():
    batch, ends = tiny.batch(), []
    for data in (tiny.repeated(batch), tiny.repeated((batch["x_l"], tf.cast(batch["y_l"], tf.int64)))):
        ends.append(tiny.run(tiny.make("supervised"), data, 2)[1])
    np.testing.assert_array_equal(*ends)
    mixed = ({key: value for key, value in batch.items() if key != "y_l"}, batch["y_l"])
    assert np.isfinite(tiny.run(tiny.make("mpl"), tiny.repeated(mixed), 1)[1]).all()


def test_what_is_no_evaluation_or_batch_is_one_line():
    method = tiny.make("supervised")
    with pytest.raises(UsageError, match="^evaluate: expected .* got examples without labels$"):
        method.evaluate(X, verbose=0)
    with pytest.raises(UsageError, match="^y_l: expected labels of classes 0 to 2.* got 0 to 3"):
        method.evaluate(X, np.where(Y == 2, 3, 0), verbose=0)
    with pytest.raises(UsageError, match="^batch: expected no sample weights"):
        method.fit(X, Y, class_weight={0: 1.0, 1: 2.0, 2: 1.0}, verbose=0)
    with pytest.raises(UsageError, match="^batch: expected the keys x_l, y_l, x_u_weak, x_u_strong, got x_l, y_l$"):
        tiny.make("mpl").fit(X, Y, verbose=0)


@pytest.mark.parametrize(
    ("teacher", "student", "told"),
    [
        (lambda: tiny.network(1), lambda: keras.Sequential([keras.layers.Dense(3)], name="bare"), "student: .* bare"),
        (lambda: keras.Sequential([keras.Input((5,)), keras.layers.Dense(7)]), lambda: tiny.network(1), "3, got 7"),
        (lambda: tiny.network(1), lambda: "resnet", "student: expected a keras.Model, got str"),
        (lambda: keras.Sequential([keras.Input((5, 2)), keras.layers.Dense(3)]), lambda: tiny.network(1), "teacher: "),
    ],
)
def test_networks_that_do_not_do_are_one_line(teacher, student, told):
    with pytest.raises(UsageError, match=told) as caught:
        MetaPseudoLabels(teacher(), student())
    assert "\n" not in str(caught.value)
