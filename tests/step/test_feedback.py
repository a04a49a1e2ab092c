"""The feedback against finite differences, second-order differentiation and the mean of REINFORCE."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.step import feedback, losses
from mpl_tf.step.gradients import logit_gradients
from tests import tiny

RATE = 0.05


class Setting:
    """A student's step on targets q, plain SGD, and the labeled loss after it: all of objective (3)."""

    def __init__(self, unlabeled=4, rate=RATE, momentum=0.0, norm=False):
        self.batch = tiny.batch(unlabeled=unlabeled)
        self.method = tiny.make("mpl", rate=rate, momentum=momentum, norm=norm, label_smoothing=0.0)
        self.student = self.method.student
        self.theta = self.student.weights()
        self.count = unlabeled
        teacher = tiny.network(1, norm=False)
        self.z = teacher(self.batch["x_u_strong"])
        self.q = tf.nn.softmax(self.z)

    def logits(self, weights):
        return self.student.forward(weights, [self.batch["x_u_strong"]])[0][0]

    def loss_of_logits(self, z):
        return tf.reduce_mean(losses.cross_entropy(self.batch["y_l"], z))

    def labeled_loss(self, weights):
        return self.loss_of_logits(self.student.forward(weights, [self.batch["x_l"]])[0][0])

    def student_step(self, q, differentiable=False):
        """theta_S' and g_S for targets q; differentiable in q if asked."""
        with tf.GradientTape() as tape:
            tape.watch(self.theta)
            loss = tf.reduce_mean(losses.soft_cross_entropy(q, self.logits(self.theta)))
        gradient = tape.gradient(loss, self.theta)
        if differentiable:
            coefficient = self.student.optimizer.first_step_coefficient()
            return [w - coefficient * g for w, g in zip(self.theta, gradient, strict=True)], gradient
        return self.student.optimizer.new_values(self.theta, gradient)[0], gradient

    def direction(self, new):
        return feedback.labeled_gradient(self.student, self.loss_of_logits, self.batch["x_l"], new)

    def table(self, q):
        new, _ = self.student_step(q)
        coefficient = self.student.optimizer.first_step_coefficient()
        x_u = self.batch["x_u_strong"]
        return feedback.exact(self.student, self.direction(new), x_u, self.theta, coefficient, self.count)

    def taylor(self, new):
        return feedback.taylor(self.student, self.loss_of_logits, self.batch["x_l"], self.theta, new)

    def dot_product(self, new, gradient, rate):
        return feedback.dot_product(self.direction(new), gradient, rate)


def gradient_at(z, loss):
    """Gradient of a loss at the logits, as the methods take it, numpy."""
    return logit_gradients([z], lambda z: {"feedback": loss(z)})["feedback"][0].numpy()


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_exact_is_second_order_differentiation_of_objective_3(norm, momentum):
    """At the first step, when the velocity is 0; with batch norm too."""
    setting = Setting(norm=norm, momentum=momentum, rate=0.5)
    z = tf.Variable(setting.z)
    with tf.GradientTape() as tape:
        new, _ = setting.student_step(tf.nn.softmax(z), differentiable=True)
        objective = setting.labeled_loss(new)
    expected = tape.gradient(objective, z).numpy()
    table = setting.table(setting.q)
    got = logit_gradients([setting.z], lambda z: {"f": feedback.table_loss(table, z, "sum", setting.count)})["f"][
        0
    ].numpy()
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(got, expected, atol=1e-6 * max(1, np.abs(expected).max()))


def test_exact_table_matches_finite_differences_of_the_labeled_loss():
    """Each entry is the change of the labeled loss after the student's step, per change of that target."""
    setting = Setting(rate=0.5)
    table = setting.table(setting.q).numpy()
    q, width = setting.q.numpy(), 1e-2
    for example, label in itertools.product(range(2), range(tiny.CLASSES)):
        change = np.zeros_like(q)
        change[example, label] = width
        after = [
            float(setting.labeled_loss(setting.student_step(tf.constant(q + sign * change))[0])) for sign in (1, -1)
        ]
        assert table[example, label] == pytest.approx((after[0] - after[1]) / (2 * width), abs=2e-5, rel=0.01)


def in_float64(setting, q, weight_decay, clip_norm):
    """L_l after a student's step of weight decay and clipping by q, written out; and the factor of clipping."""
    x_u, x_l = (tf.cast(setting.batch[key], tf.float64) for key in ("x_u_strong", "x_l"))
    theta = [tf.cast(w, tf.float64) for w in setting.theta]

    def log_p(w, x):
        return tf.nn.log_softmax(tf.tanh(x @ w[0] + w[1]) @ w[2] + w[3])

    with tf.GradientTape() as tape:
        tape.watch(theta)
        loss = -tf.reduce_sum(q * log_p(theta, x_u)) / setting.count
    gradient = [g + weight_decay * w for g, w in zip(tape.gradient(loss, theta), theta, strict=True)]
    clipped, norm = tf.clip_by_global_norm(gradient, clip_norm)
    after = log_p([w - RATE * g for w, g in zip(theta, clipped, strict=True)], x_l)
    labels = tf.one_hot(setting.batch["y_l"], tiny.CLASSES, dtype=tf.float64)
    return float(-tf.reduce_mean(tf.reduce_sum(labels * after, -1))), float(clip_norm / norm)


@pytest.mark.parametrize("factor", [0.07, 0.3, 0.6, 1.5])
def test_exact_is_the_derivative_of_the_step_through_clipping_and_weight_decay(factor):
    """Against finite differences in float64; frozen, the factor would be wrong by more than a tenth."""
    setting, decay = Setting(), 0.1
    q = tf.nn.softmax(tf.cast(setting.z, tf.float64))
    bound = factor / in_float64(setting, q, decay, 1.0)[1]
    setting.student.weight_decay, setting.student.clip_norm = decay, bound
    _, gradient = setting.student_step(setting.q)
    step = setting.student.update(setting.theta, gradient, [])
    direction = setting.direction(step.weights)
    tables = [
        feedback.exact(
            setting.student, v, setting.batch["x_u_strong"], setting.theta, step.first_step_coefficient, setting.count
        ).numpy()
        for v in (step.pulled_back(direction), direction)
    ]
    expected, width = np.zeros_like(tables[0]), 1e-6
    for place in np.ndindex(expected.shape):
        change = width * np.eye(expected.size)[np.ravel_multi_index(place, expected.shape)].reshape(expected.shape)
        above, below = (in_float64(setting, q + sign * change, decay, bound)[0] for sign in (1, -1))
        expected[place] = (above - below) / (2 * width)
    errors = [np.linalg.norm(table - expected) / np.linalg.norm(expected) for table in tables]
    assert errors[0] < 1e-4
    if factor < 1:
        assert errors[1] > 0.1
    else:
        np.testing.assert_array_equal(tables[0], tables[1])  # To the bit: clipping does not act.


@pytest.mark.parametrize("form", ["taylor", "dot_product"])
def test_scalar_h_is_old_minus_new_loss_and_reaches_the_teacher(form):
    """The sign and size of h, and a gradient at the teacher's logits that is h (softmax - one hot) / B."""
    setting = Setting()
    helpful = tf.one_hot([0, 1, 2, 0], tiny.CLASSES)
    new, gradient = setting.student_step(helpful)
    change = float(setting.labeled_loss(setting.theta) - setting.labeled_loss(new))
    h = setting.taylor(new) if form == "taylor" else setting.dot_product(new, gradient, RATE)
    assert abs(change) > 1e-3
    assert float(h) == pytest.approx(change, rel=0.1)
    y_u = tf.argmax(helpful, -1, tf.int32)
    for scale, factor in (("sum", 1), ("mean", 1 / setting.count)):
        got = gradient_at(setting.z, lambda z, s=scale: feedback.scalar_loss(h, y_u, z, s, setting.count))
        np.testing.assert_allclose(got, float(h) * factor * (setting.q.numpy() - helpful.numpy()), rtol=1e-4, atol=1e-8)
        assert np.abs(got).max() > 1e-5


def test_released_codes_target_gives_exactly_no_feedback():
    """CE(stop_grad(softmax(z)), z) has a zero gradient: what must not be used."""
    z = Setting().z
    got = gradient_at(z, lambda z: tf.reduce_sum(losses.soft_cross_entropy(tf.stop_gradient(tf.nn.softmax(z)), z)))
    assert np.abs(got).max() < 1e-6


def test_taylor_and_dot_product_agree_to_first_order():
    """Their relative difference falls in proportion to the rate."""
    differences = []
    for rate in (0.025, 0.0125, 0.00625):
        setting = Setting(rate=rate)
        new, gradient = setting.student_step(tf.one_hot([0, 1, 2, 0], tiny.CLASSES))
        dot = float(setting.dot_product(new, gradient, rate))
        differences.append(abs(float(setting.taylor(new)) / dot - 1))
    assert differences[-1] < 0.05
    assert differences[0] / differences[1] == pytest.approx(2, rel=0.1)
    assert differences[1] / differences[2] == pytest.approx(2, rel=0.1)


def test_labels_that_help_are_made_more_likely():
    """Gradient descent on the feedback raises P(y_u) where h > 0 and lowers it where h < 0."""
    setting = Setting()
    y_u = tf.constant([0, 1, 2, 0])
    for h in (0.5, -0.5):
        step = -gradient_at(setting.z, lambda z, h=h: feedback.scalar_loss(h, y_u, z, "sum", 4))
        before = tf.gather(setting.q, y_u, batch_dims=1)
        after = tf.gather(tf.nn.softmax(setting.z + step), y_u, batch_dims=1)
        assert np.all(np.sign((after - before).numpy()) == np.sign(h))


def all_outcomes(setting, h_of):
    """For every vector of hard labels: its probability, its h and the gradient of its CE at the logits."""
    q = setting.q.numpy()
    labels = np.array(list(itertools.product(range(tiny.CLASSES), repeat=setting.count)))  # [C^B, B]
    probability = np.prod(q[np.arange(setting.count), labels], axis=1)
    one_hot = np.eye(tiny.CLASSES)[labels]
    h = np.array([float(h_of(tf.constant(y, tf.float32))) for y in one_hot])
    return probability, h, q[None] - one_hot


def test_mean_of_reinforce_over_many_draws_is_the_exact_gradient():
    """Sampled hard labels with the SUM over the batch: cosine at least 0.99, size within 2 %; with the mean 1 / B."""
    setting = Setting(unlabeled=3, rate=0.02)

    def h_of(one_hot):
        new, _ = setting.student_step(one_hot)
        return setting.taylor(new)

    probability, h, gradient = all_outcomes(setting, h_of)
    table = setting.table(setting.q)
    exact = gradient_at(setting.z, lambda z: feedback.table_loss(table, z, "sum", setting.count)).ravel()
    draws = np.random.default_rng(0).choice(len(h), size=400_000, p=probability / probability.sum())
    counts = np.bincount(draws, minlength=len(h)) / len(draws)
    for weights, tolerance in ((counts, 0.02), (probability, 0.01)):  # Many draws, then their expectation.
        mean = np.einsum("n,n,nbc->bc", weights, h, gradient).ravel()
        cosine = mean @ exact / np.linalg.norm(mean) / np.linalg.norm(exact)
        assert cosine > 0.99
        assert np.linalg.norm(mean) / np.linalg.norm(exact) == pytest.approx(1, abs=tolerance)
