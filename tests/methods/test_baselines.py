"""Label smoothing, RandAugment, FixMatch and Mean Teacher: their losses and steps by hand.

Covers: fixmatch.py, label_smoothing.py, mean_teacher.py, randaugment.py
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mpl_tf import data, methods
from mpl_tf.base.errors import UsageError
from mpl_tf.methods.mean_teacher import MeanTeacher
from mpl_tf.step import losses
from mpl_tf.step.optimizer import SGD
from tests import tiny

pytestmark = pytest.mark.usefixtures("plain_graphs")

RATE = 0.3


def softmax(z):
    e = np.exp(z - np.max(z, axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def plain_step(network, loss_of):
    """Flat weights after one step of plain gradient descent on loss_of(network), and the loss; assigns nothing."""
    weights = network.trainable_variables
    with tf.GradientTape() as tape:
        loss = loss_of(network)
    gradients = tape.gradient(loss, weights)
    return tiny.flat([w - RATE * g for w, g in zip(weights, gradients, strict=True)]), float(loss)


def in_training(network, x):
    """Logits with batch statistics; the moving ones stay."""
    return network.stateless_call(network.trainable_variables, network.non_trainable_variables, x, training=True)[0]


def assign(variables, flat):
    """Give variables the numbers of one flat vector."""
    for variable, part in zip(variables, np.split(flat, np.cumsum([np.size(v) for v in variables])[:-1]), strict=True):
        variable.assign(part.reshape(variable.shape))


def fit(method, batch, steps=1):
    history = method.fit(tiny.repeated(batch), epochs=1, steps_per_epoch=steps, verbose=0).history
    return {name: values[-1] for name, values in history.items()}


def test_label_smoothing_steps_on_keras_smoothed_cross_entropy():
    batch = tiny.batch()
    method = tiny.make("label_smoothing", rate=RATE, momentum=0.0, label_smoothing=0.3)
    smoothed = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.3)
    target = tf.one_hot(batch["y_l"], tiny.CLASSES)
    expected, loss = plain_step(method.student_network, lambda f: smoothed(target, f(batch["x_l"])))
    logs = fit(method, batch)
    np.testing.assert_allclose(tiny.flat(method.student_network.trainable_variables), expected, rtol=1e-5, atol=1e-6)
    assert logs["loss"] == pytest.approx(loss, rel=1e-5)


def test_randaugment_steps_on_the_strong_view_alone():
    batch = tiny.batch()
    method = tiny.make("randaugment", rate=RATE, momentum=0.0)
    plain = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    expected, loss = plain_step(method.student_network, lambda f: plain(batch["y_l"], f(batch["x_l_strong"])))
    right = np.mean(method.student_network(batch["x_l_strong"]).numpy().argmax(axis=1) == batch["y_l"])
    logs = fit(method, {key: batch[key] for key in ("x_l_strong", "y_l")})
    np.testing.assert_allclose(tiny.flat(method.student_network.trainable_variables), expected, rtol=1e-5, atol=1e-6)
    assert (logs["loss"], logs["accuracy"]) == (pytest.approx(loss, rel=1e-5), pytest.approx(right))


def test_fixmatch_loss_by_hand():
    """Three examples: sure of class 0, unsure, sure of class 1; two classes, threshold 0.8."""
    z_weak = tf.constant([[2.0, 0.0], [1.0, 0.0], [-3.0, 0.0]])  # sigmoid: 0.881, 0.731, 0.047
    z_strong = tf.constant([[0.5, 0.0], [0.0, 1.0], [1.0, 0.0]])
    with tf.GradientTape() as tape:
        tape.watch([z_weak, z_strong])
        loss, mask = losses.fixmatch(z_weak, z_strong, 0.8)
    np.testing.assert_array_equal(mask, [1, 0, 1])
    np.testing.assert_allclose(loss, [np.log(1 + np.exp(-0.5)), 0, np.log(1 + np.exp(1.0))], rtol=1e-6)
    weak, strong = tape.gradient(loss, [z_weak, z_strong])
    assert weak is None
    p = softmax(z_strong.numpy())
    np.testing.assert_allclose(strong, [p[0] - [1, 0], [0, 0], p[2] - [0, 1]], rtol=1e-5)


def test_fixmatch_is_the_limit_of_uda_at_temperature_0():
    """Where all count: fully sharpened, UDA is sure of everything, whatever its threshold is."""
    z_weak, z_strong = tf.random.stateless_normal([2, 50, 4], [3, 3], stddev=2.0)
    loss, _ = losses.fixmatch(z_weak, z_strong, 0.0)
    limit, mask = losses.uda(z_weak, z_strong, temperature=1e-5, threshold=0.6)
    np.testing.assert_allclose(loss, limit, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(mask, tf.ones(50))


def test_fixmatch_step_by_hand_with_its_mean_over_all_unlabeled():
    batch, weight, threshold = tiny.batch(), 2.0, 0.7
    method = tiny.make(
        "fixmatch", rate=RATE, momentum=0.0, norm=True, uda_weight=weight, uda_threshold=threshold, label_smoothing=0.1
    )
    x = tf.concat([batch[key] for key in ("x_l", "x_u_weak", "x_u_strong")], 0)
    smoothed = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)
    masks = []

    def objective(f):
        z_l, z_w, z_s = tf.split(in_training(f, x), [4, 8, 8])
        p, log_s = softmax(z_w.numpy()), tf.nn.log_softmax(z_s)
        masks.append(p.max(axis=1) >= threshold)
        unlabeled = -sum(log_s[i, p[i].argmax()] for i in np.flatnonzero(masks[0])) / 8
        return smoothed(tf.one_hot(batch["y_l"], tiny.CLASSES), z_l) + weight * unlabeled

    expected, loss = plain_step(method.student_network, objective)
    logs = fit(method, batch)
    assert 0 < np.mean(masks[0]) < 1
    assert logs["uda_mask"] == pytest.approx(np.mean(masks[0]))
    assert logs["loss"] + weight * logs["uda_loss"] == pytest.approx(loss, rel=1e-5)
    np.testing.assert_allclose(tiny.flat(method.student_network.trainable_variables), expected, rtol=1e-4, atol=1e-6)


def test_mean_teacher_consistency_and_ramp_by_hand():
    q, z = tf.constant([[0.7, 0.2, 0.1]]), tf.math.log([[0.5, 0.3, 0.2]])
    assert float(losses.squared_error(q, z)[0]) == pytest.approx((0.04 + 0.01 + 0.01) / 3, rel=1e-5)
    values = [float(losses.sigmoid_ramp(t, 10)) for t in (0, 5, 8, 10, 30)]
    np.testing.assert_allclose(values, [np.exp(-5), np.exp(-1.25), np.exp(-0.2), 1, 1], rtol=1e-5)
    assert float(losses.sigmoid_ramp(0, 0)) == 1


def test_mean_teacher_steps_by_hand():
    """Three steps: student and average by plain gradients, the teacher with batch statistics of its own."""
    batch, weight, ramp_steps, decay = tiny.batch(), 5.0, 4, 0.15
    options = {"uda_weight": weight, "uda_ramp_steps": ramp_steps, "ema_decay": decay}
    method = tiny.make("mean_teacher", rate=RATE, momentum=0.0, norm=True, **options)
    student, teacher = (tiny.network(tiny.SEEDS["network"], norm=True) for _ in range(2))
    x, plain = (
        tf.concat([batch["x_l"], batch["x_u_weak"]], 0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    consistencies = []
    for t in range(3):
        q = softmax(in_training(teacher, batch["x_u_weak_2"]).numpy())
        w = weight * np.exp(-5 * (1 - t / ramp_steps) ** 2)

        def objective(f, q=q, w=w):
            z_l, z_u = tf.split(f(x, training=True), [4, 8])
            consistencies.append(tf.reduce_mean(tf.square(tf.nn.softmax(z_u) - q)))  # Over examples and classes.
            return plain(batch["y_l"], z_l) + w * consistencies[-1]

        assign(student.trainable_variables, plain_step(student, objective)[0])
        used = min(decay, (1 + t) / (10 + t))
        assign(teacher.weights, used * tiny.flat(teacher.weights) + (1 - used) * tiny.flat(student.weights))
    logs = fit(method, batch, 3)
    np.testing.assert_allclose(
        tiny.flat(method.student_network.weights), tiny.flat(student.weights), rtol=1e-4, atol=1e-6
    )
    np.testing.assert_allclose(tiny.flat(method.deployed().weights), tiny.flat(teacher.weights), rtol=1e-4, atol=1e-6)
    assert method.deployed() is method.averaged
    assert logs["consistency_loss"] == pytest.approx(np.mean(consistencies), rel=1e-4)
    assert np.abs(tiny.flat(teacher.weights) - tiny.flat(student.weights)).max() > 1e-3


@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_mean_teachers_networks_draw_dropout_masks_of_their_own(rate):
    """The same view and, at step 0, the same weights: they differ by their masks alone."""
    inputs = keras.Input((tiny.FEATURES,))
    hidden = keras.layers.Dropout(rate)(keras.layers.Dense(16, "tanh", kernel_initializer=tiny.glorot(3))(inputs))
    network = keras.Model(inputs, keras.layers.Dense(tiny.CLASSES, kernel_initializer=tiny.glorot(4))(hidden))
    method = MeanTeacher(network, uda_ramp_steps=0)
    method.compile(SGD(0.1))
    batch = tiny.batch()
    logs = fit(method, batch | {"x_u_weak_2": batch["x_u_weak"]})
    assert logs["consistency_loss"] > 1e-3 if rate else logs["consistency_loss"] == pytest.approx(0, abs=1e-12)
    assert logs["teacher_agreement"] < 1 if rate else logs["teacher_agreement"] == 1


def test_mean_teacher_without_an_average_or_without_random_views_is_refused(make_config):
    with pytest.raises(UsageError, match="ema_decay: expected more than 0, got 0"):
        MeanTeacher(tiny.network(1), ema_decay=0.0)
    points = data.load(make_config("two_moons", method="mean_teacher"))
    with pytest.raises(UsageError, match="--method: mean_teacher needs two weak views that differ.*two_moons"):
        methods.check_data("mean_teacher", points)
    methods.check_data("fixmatch", points)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("label_smoothing", {"label_smoothing": 0.15}),
        ("fixmatch", {"weight": 1, "threshold": 0.95, "ramp_steps": 0, "label_smoothing": 0}),
        ("mean_teacher", {"weight": 50, "ramp_steps": 100, "ema_decay": 0.999}),
    ],
)
def test_methods_get_the_values_of_their_flagfiles(make_config, name, options):
    config = make_config(method=name)
    method = methods.make(config, (8, 8, 3), 10)
    holder = getattr(method, "objective", method)
    assert {option: getattr(holder, option) for option in options} == options
