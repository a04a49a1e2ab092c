"""Meta-Semi: its meta gradient against differentiating the virtual step, its weights, MixUp and whole steps by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.base.errors import UsageError
from mpl_tf.settings import flags
from mpl_tf.step import feedback, losses, mixup
from tests import tiny

pytestmark = pytest.mark.usefixtures("plain_graphs")

ALPHA = 0.3  # Rate of the virtual step.
LAMBDA = 0.7
RATE = 0.2
PAPER = {"reweighting": "sign", "mixup": "both", "pseudo_labels": "soft", "with_labels": True}


def logits(weights, x):
    """The tiny network in training mode, in the weights' precision; with batch norm where they hold its parameters."""
    h = tf.tanh(x @ weights[0] + weights[1])
    if len(weights) == 6:
        mean, variance = tf.nn.moments(h, axes=[0])
        h = (h - mean) / tf.sqrt(variance + 1e-3) * weights[2] + weights[3]
    return h @ weights[-2] + weights[-1]


class Setting:
    """Labeled and pseudo-labeled examples with soft targets, and the labeled loss after a virtual step, in float64."""

    def __init__(self, norm):
        batch = tiny.batch()
        self.student = tiny.make("meta_semi", norm=norm).student
        self.x_l, self.x_u = batch["x_l"], batch["x_u_weak"]
        random = np.random.default_rng(1)
        self.y_l, self.y_u = (
            tf.nn.softmax(tf.constant(2 * random.normal(size=(len(x), tiny.CLASSES)), tf.float32))
            for x in (self.x_l, self.x_u)
        )
        self.theta = [tf.cast(weight, tf.float64) for weight in self.student.weights()]

    def examples(self, weights, x, y):
        return losses.soft_cross_entropy(tf.cast(y, tf.float64), logits(weights, tf.cast(x, tf.float64)))

    def after_step(self, w):
        """Sum of the labeled losses at theta - alpha grad sum w_j L_j, differentiable in w (lines 7 to 9)."""
        with tf.GradientTape() as tape:
            tape.watch(self.theta)
            loss = tf.reduce_sum(w * self.examples(self.theta, self.x_u, self.y_u))
        gradient = tape.gradient(loss, self.theta)
        stepped = [value - ALPHA * g for value, g in zip(self.theta, gradient, strict=True)]
        return tf.reduce_sum(self.examples(stepped, self.x_l, self.y_l))

    def meta_gradient(self):
        """-alpha times the number of labeled examples times the products, as L_l is their mean."""

        def mean_loss(z):
            return tf.reduce_mean(losses.soft_cross_entropy(self.y_l, z))

        theta = self.student.weights()
        products = feedback.similarities(self.student, mean_loss, self.x_l, self.x_u, self.y_u, theta)
        return -ALPHA * len(self.x_l) * products.numpy()


@pytest.mark.parametrize("norm", [False, True])
def test_the_meta_gradient_is_the_finite_difference_of_the_labeled_loss_after_the_virtual_step(norm):
    setting, width = Setting(norm), 1e-4
    expected = [
        float(setting.after_step(width * unit) - setting.after_step(-width * unit)) / (2 * width) for unit in np.eye(8)
    ]
    assert min(expected) < -0.01 and max(expected) > 0.01
    np.testing.assert_allclose(setting.meta_gradient(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("norm", [False, True])
def test_the_meta_gradient_is_that_of_differentiating_through_the_virtual_step(norm):
    setting = Setting(norm)
    w = tf.zeros([8], tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(w)
        loss = setting.after_step(w)
    np.testing.assert_allclose(setting.meta_gradient(), tape.gradient(loss, w), rtol=1e-4, atol=1e-5)


def test_the_meta_gradient_through_dropout_sees_the_masks_of_the_step():
    """The products are those of the gradients of the very pass that the step differentiates."""
    batch, setting = tiny.batch(), Setting(norm=False)
    keras.utils.set_random_seed(0)
    inputs = keras.Input((tiny.FEATURES,))
    h = keras.layers.Dropout(0.5)(keras.layers.Dense(6, "tanh", kernel_initializer=tiny.glorot(1))(inputs))
    setting.student.network = keras.Model(inputs, keras.layers.Dense(tiny.CLASSES)(h))
    theta = setting.student.weights()

    def gradient(x, y, weights):
        with tf.GradientTape() as tape:
            tape.watch(theta)
            (z,), _ = setting.student.forward(theta, [x])
            loss = tf.reduce_sum(weights * losses.soft_cross_entropy(y, z))
        return tiny.flat(tape.gradient(loss, theta))

    labeled = gradient(batch["x_l"], setting.y_l, tf.ones([4]))
    each = [gradient(batch["x_u_weak"], setting.y_u, tf.one_hot(j, 8)) for j in range(8)]
    np.testing.assert_allclose(setting.meta_gradient(), -ALPHA * np.stack(each) @ labeled, rtol=1e-4, atol=1e-5)


@pytest.fixture
def fixed_lambda(monkeypatch):
    """Every coefficient is LAMBDA."""
    monkeypatch.setattr(mixup, "symmetric_beta", lambda alpha, count, seed: tf.fill([count], LAMBDA))


# ---- Steps --------------------------------------------------------------------------------------------------------


def mixed(x, q):
    """MixUp with LAMBDA, written out."""
    order = [i ^ 1 for i in range(len(x))]
    return [LAMBDA * v + (1 - LAMBDA) * tf.gather(v, order) for v in (x, q)]


def by_hand(method, batch, reweighting, mixup, pseudo_labels, with_labels):
    """(new weights, w, logs) of one step without momentum, by gradients of single examples."""
    network = method.student.network
    theta = network.trainable_variables
    z_hat = logits([tf.convert_to_tensor(v) for v in method.deployed().trainable_variables], batch["x_u_weak"])
    y_u = tf.nn.softmax(z_hat) if pseudo_labels == "soft" else tf.one_hot(tf.argmax(z_hat, -1), tiny.CLASSES)
    x_u, x_l, y_l = batch["x_u_weak"], batch["x_l"], tf.one_hot(batch["y_l"], tiny.CLASSES)
    if mixup in ("both", "labeled"):
        x_l, y_l = mixed(x_l, y_l)
    if mixup in ("both", "unlabeled"):
        x_u, y_u = mixed(x_u, y_u)

    def gradient(x, y, weights):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(weights * losses.soft_cross_entropy(y, logits(theta, x)))
        return loss, tape.gradient(loss, theta)

    loss, labeled = gradient(x_l, y_l, 1 / len(x_l))
    if with_labels:
        x_u, y_u = tf.concat([x_u, x_l], 0), tf.concat([y_u, y_l], 0)
    products = [tiny.flat(gradient(x_u, y_u, tf.one_hot(j, len(x_u)))[1]) @ tiny.flat(labeled) for j in range(len(x_u))]
    w = {
        "sign": np.where(np.array(products) > 0, 1.0, 0.0),
        "signed": np.where(np.array(products) > 0, 1.0, -1.0),
        "constant": np.ones(len(x_u)),
    }[reweighting]
    meta, gradients = gradient(x_u, y_u, tf.constant(w / np.abs(w).sum(), tf.float32))
    new = [value - RATE * g for value, g in zip(theta, gradients, strict=True)]
    agreement = np.mean(tf.argmax(logits(theta, x_u), -1).numpy() == tf.argmax(y_u, -1).numpy())
    similarity = 0 if reweighting == "constant" else np.mean(products)
    logs = {"loss": loss, "student_loss": meta, "student_agreement": agreement, "selected": np.mean(w > 0)}
    return new, w, logs | {"similarity": similarity, "learning_rate": RATE}


@pytest.mark.parametrize(
    ("options", "ema_decay"),
    [
        ({}, 0.9),
        ({}, 0.0),
        ({"reweighting": "signed"}, 0.9),
        ({"reweighting": "constant"}, 0.9),
        ({"mixup": "labeled"}, 0.9),
        ({"mixup": "unlabeled"}, 0.9),
        ({"mixup": "none"}, 0.9),
        ({"pseudo_labels": "argmax"}, 0.9),
        ({"with_labels": False}, 0.9),
    ],
    ids=str,
)
def test_one_step_is_algorithm_1_by_hand(options, ema_decay, fixed_lambda):
    """Every new value of one step, with the average away from the network, as after many steps."""
    batch = tiny.batch()
    method = tiny.make("meta_semi", rate=RATE, momentum=0.0, ema_decay=ema_decay, **options)
    if ema_decay:
        method.averaged.set_weights(tiny.network(7).get_weights())
    old_average = [tf.convert_to_tensor(v) for v in method.deployed().trainable_variables]
    new, w, expected = by_hand(method, batch, **(PAPER | options))
    assert len(w) == (8 if options == {"with_labels": False} else 12)
    assert len(set(w)) == (1 if options == {"reweighting": "constant"} else 2)

    history = method.fit(tiny.repeated(batch), steps_per_epoch=1, verbose=0).history
    np.testing.assert_allclose(tiny.flat(method.student.weights()), tiny.flat(new), rtol=1e-4, atol=1e-6)
    for name, value in expected.items():
        assert history[name][-1] == pytest.approx(float(value), rel=1e-4, abs=1e-6), name
    if ema_decay:  # min(0.9, (1 + 0) / (10 + 0)) at the first step.
        average = [0.1 * old + 0.9 * value for old, value in zip(old_average, new, strict=True)]
        np.testing.assert_allclose(tiny.flat(method.averaged.trainable_variables), tiny.flat(average), rtol=1e-4)


def test_the_average_labels_by_its_own_moving_statistics():
    """The network learns from its batch's statistics."""
    batch = tiny.batch()
    method = tiny.make(
        "meta_semi", norm=True, ema_decay=0.9, reweighting="constant", mixup="none", with_labels=False, rate=0.0
    )
    method.averaged.set_weights([2 * value + 0.1 for value in method.averaged.get_weights()])
    w_1, b_1, scale, offset, mean, variance, w_2, b_2 = (tf.convert_to_tensor(v) for v in method.averaged.weights)
    assert (float(mean[0]), float(variance[0])) == pytest.approx((0.1, 2.1))
    h = (tf.tanh(batch["x_u_weak"] @ w_1 + b_1) - mean) / tf.sqrt(variance + 1e-3) * scale + offset
    y_hat = tf.nn.softmax(h @ w_2 + b_2)
    expected = tf.reduce_mean(losses.soft_cross_entropy(y_hat, logits(method.student.weights(), batch["x_u_weak"])))
    history = method.fit(tiny.repeated(batch), steps_per_epoch=1, verbose=0).history
    assert history["student_loss"][-1] == pytest.approx(float(expected), rel=1e-4)


def test_no_example_that_helps_means_no_gradient(monkeypatch):
    monkeypatch.setattr(feedback, "similarities", lambda *args: -tf.ones([12]))
    method = tiny.make("meta_semi", momentum=0.0)
    before = tiny.flat(method.student.weights())
    history = method.fit(tiny.repeated(tiny.batch()), steps_per_epoch=2, verbose=0).history
    np.testing.assert_array_equal(tiny.flat(method.student.weights()), before)
    assert [history[name][-1] for name in ("student_loss", "selected", "gradient_norm", "skipped_steps")] == [0] * 4


def test_a_labeled_batch_that_is_not_finite_skips_the_step_even_where_it_is_not_learned():
    """Its gradient gives the weights alone, and a product that is no number selects nothing."""
    batch = tiny.batch()
    method = tiny.make("meta_semi", with_labels=False)
    before = tiny.flat(method.student.weights())
    bad = batch | {"x_l": batch["x_l"] * np.nan}
    history = method.fit(tiny.repeated(bad), steps_per_epoch=2, verbose=0).history
    assert history["skipped_steps"] == [2]
    np.testing.assert_array_equal(tiny.flat(method.student.weights()), before)


def test_labels_and_mixtures_are_drawn_anew_each_step_and_with_each_seed(monkeypatch):
    """Four draws of lambda, of two batches in two steps; none alike, and the same again with the same seed."""
    batch, draws = tiny.batch(labeled=8), []
    original = mixup.symmetric_beta

    def recorded(alpha, count, seed):
        values = original(alpha, count, seed)
        draws.append(values.numpy())
        return values

    monkeypatch.setattr(mixup, "symmetric_beta", recorded)
    for seed in (0, 0, 1):
        method = tiny.make("meta_semi", seed=seed, pseudo_labels="sampled", compiled={"run_eagerly": True})
        method.fit(tiny.repeated(batch), steps_per_epoch=2, verbose=0)
    first, again, other = draws[:4], draws[4:8], draws[8:]
    np.testing.assert_array_equal(first, again)
    assert len(np.unique(first + other)) == 8 * 8


# ---- Flags --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dataset", ["digits_50", "cifar10_4k", "two_moons"])
def test_the_methods_flagfile_is_the_papers_algorithm_over_every_data_set(dataset):
    config = flags.parse([f"--dataset={dataset}", "--method=meta_semi"])
    paper = {"pseudo_labels": "soft", "reweighting": "sign", "mixup": "both", "with_labels": True, "feedback": "off"}
    assert {name: getattr(config, name) for name in paper} == paper


def test_without_weights_and_without_the_labeled_batch_no_label_would_be_seen():
    arguments = ["--dataset=digits_50", "--method=meta_semi", "--reweighting=constant", "--nowith_labels"]
    with pytest.raises(UsageError, match="^--with_labels: .*--reweighting=constant"):
        flags.parse(arguments)
    assert not flags.parse([*arguments[:2], arguments[3]]).with_labels


@pytest.mark.parametrize("argument", ["--reweighting=ones", "--mixup=all", "--mixup_alpha=0"])
def test_values_out_of_range_are_refused(argument):
    name, given = argument.split("=")
    with pytest.raises(UsageError, match=f"^{name}: expected .* got .*{given}"):
        flags.parse(["--dataset=digits_50", "--method=meta_semi", argument])
