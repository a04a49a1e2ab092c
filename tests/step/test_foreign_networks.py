"""Networks of other libraries in the step: replicas, seeds, statistics, exact feedback, one precision and the other.

Covers: network.py, purity.py
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.base.errors import UsageError
from mpl_tf.methods.mpl import MetaPseudoLabels
from mpl_tf.methods.uda import UDA
from mpl_tf.step import feedback, losses, purity
from mpl_tf.step.gradients import logit_gradient
from mpl_tf.step.network import Learner
from tests import foreign_miniatures as miniatures
from tests import tiny
from tests.foreign_miniatures import MINIATURES, QUICK, SIDE, TABLE

pytestmark = pytest.mark.usefixtures("plain_graphs")
RATE = 2e-3
RATES = {"keras:DenseNet121": 1e-4}  # Its last norms see one pixel an image, so that a step soon is no straight line.
STEPPED = ("keras:ResNet50", "keras_cv:mobilenet_v3_small")  # With whole steps, where seconds count.


def batch(labeled=4, unlabeled=4):
    random = np.random.default_rng(0)
    sizes = {"x_l": labeled, "x_u_weak": unlabeled, "x_u_strong": unlabeled}
    views = {key: tf.constant(random.uniform(0, 255, (n, SIDE, SIDE, 3)), tf.float32) for key, n in sizes.items()}
    return views | {"y_l": tf.range(labeled) % tiny.CLASSES}


@pytest.fixture
def network(monkeypatch):
    return lambda name, **options: miniatures.network(name, tiny.CLASSES, monkeypatch=monkeypatch, **options)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in STEPPED else pytest.mark.slow) for name in MINIATURES]
)
def test_exact_feedback_is_the_change_of_the_labeled_loss_after_the_step(name, network):
    """Entry by entry against finite differences of the whole student's step, its classifier five times as fast.

    In float32, whose rounding and the step's curvature leave some percent; test_rates.py has the formula in float64.
    """
    data = batch()
    student = Learner(network(name), tiny.sgd(RATES.get(name, RATE), 0.0), 0.0, 0.0, 1, 0.2)
    theta, q = student.weights(), tf.nn.softmax(tf.constant(np.random.default_rng(1).normal(size=(4, 3)), tf.float32))

    def labeled_loss(z):
        return tf.reduce_mean(losses.cross_entropy(data["y_l"], z))

    @tf.function(autograph=False)
    def stepped(q):
        with tf.GradientTape() as tape:
            tape.watch(theta)
            zs, state = student.forward(theta, [data["x_u_strong"]])
        at_logits = logit_gradient(zs, lambda z: tf.reduce_mean(losses.soft_cross_entropy(q, z)))
        update = student.update(theta, student.backward(tape, zs, theta, at_logits), state)
        return labeled_loss(student.forward(update.weights, [data["x_l"]])[0][0]), update.weights

    @tf.function(autograph=False)
    def table(weights):
        v = student.rated(feedback.labeled_gradient(student, labeled_loss, data["x_l"], weights))
        return feedback.exact(student, v, data["x_u_strong"], theta, student.optimizer.first_step_coefficient(), 4)

    found = table(stepped(q)[1]).numpy()
    expected, width = np.zeros_like(found), 0.1
    for place in np.ndindex(expected.shape):
        change = np.zeros_like(found)
        change[place] = width
        expected[place] = (float(stepped(q + change)[0]) - float(stepped(q - change)[0])) / (2 * width)
    assert np.linalg.norm(found - expected) < 0.03 * np.linalg.norm(expected)
    assert np.linalg.norm(expected) > 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("name", [*QUICK, "keras:EfficientNetV2B0", "keras_cv:csp_darknet_tiny"])
def test_two_replicas_give_the_numbers_of_one(name, network, two_replicas):
    """Without dropout, whose masks are a replica's own; the parts of the batch have other statistics."""
    data = batch()

    def made():
        method = UDA(network(name, still=True), ema_decay=0.9, uda_ramp_steps=0, uda_threshold=0.0)
        method.compile(tiny.sgd(RATE, 0.9))
        return method

    logs, expected = tiny.run(made(), tiny.repeated(data), 2)
    with two_replicas.scope():
        method = made()
    halves = two_replicas.distribute_datasets_from_function(lambda _: tiny.halves(data))
    two_logs, found = tiny.run(method, halves, 2)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
    assert two_logs["loss"] == pytest.approx(logs["loss"], rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["keras:EfficientNetV2B0", "keras_cv:efficientnetv2_b0"])
def test_seeds_move_with_the_step_and_statistics_with_its_first_pass_alone(name, network):
    data = batch()
    teacher, student = network(name), network(name, dropout=0.2)
    method = MetaPseudoLabels(teacher, student, "soft", feedback="exact", ema_decay=0.0, uda_ramp_steps=0)
    method.compile(tiny.sgd(RATE, 0.9))
    learner = method.student
    # The masks are those of the state: the same again, others after a step.
    first, again = (learner.forward(learner.weights(), [data["x_u_strong"]]) for _ in range(2))
    np.testing.assert_array_equal(first[0][0], again[0][0])
    kinds = [variable.path.split("/")[-1] for variable in student.non_trainable_variables]
    before = [variable.numpy() for variable in student.non_trainable_variables]
    tiny.run(method, tiny.repeated(data), 1)
    # The labeled passes and the directional derivative leave what the pass of the unlabeled images made.
    moved = set()
    for kind, variable, value, old in zip(kinds, student.non_trainable_variables, first[1], before, strict=True):
        np.testing.assert_allclose(variable, value, rtol=1e-4, atol=1e-5)
        moved |= set() if np.array_equal(variable, old) else {kind}
    assert moved == {"moving_mean", "moving_variance", "seed_generator_state"}
    after, _ = learner.forward(learner.weights(), [data["x_u_strong"]])
    assert np.abs(after[0] - first[0][0]).max() > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("name", ["keras:EfficientNetV2B0", "keras_cv:yolo_v8_xs_backbone"])
def test_a_step_whose_graph_tensorflow_rewrites_has_the_same_numbers(name, network):
    """As the program runs it: TensorFlow 2.21 rewrites some graphs of YOLO's split to wrong ones, not the step's."""
    found = []
    for plain in (True, False):
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": plain})
        teacher, student = network(name, still=True), network(name, still=True)
        method = MetaPseudoLabels(
            teacher, student, "soft", feedback="exact", feedback_weight=30.0, ema_decay=0.9, uda_ramp_steps=0
        )
        method.compile(tiny.sgd(RATE, 0.9), teacher_optimizer=tiny.sgd(RATE, 0.9))
        found.append(tiny.run(method, tiny.repeated(batch()), 1))  # After more the rounding has grown.
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    (logs, numbers), (other_logs, others) = found
    assert logs["feedback_share"] > 1e-3
    np.testing.assert_allclose(others, numbers, rtol=1e-3, atol=1e-4 * np.abs(numbers).max())
    for key in ("norm_feedback", "h", "student_loss"):
        assert other_logs[key] == pytest.approx(logs[key], rel=2e-3, abs=1e-6), key


@pytest.mark.parametrize("name", TABLE)
def test_their_layers_need_nothing_but_the_state(name, network):
    purity.check(network(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", QUICK)
def test_a_step_in_bfloat16_is_near_that_in_float32(name, network):
    found = []
    for policy in ("float32", "mixed_bfloat16"):
        keras.config.set_dtype_policy(policy)
        try:
            method = UDA(network(name, still=True), ema_decay=0.9, uda_ramp_steps=0, uda_threshold=0.0)
        finally:
            keras.config.set_dtype_policy("float32")
        method.compile(tiny.sgd(1e-3, 0.9))
        found.append(tiny.run(method, tiny.repeated(batch()), 2)[0])
        assert {variable.dtype for variable in method.deployed().trainable_variables} == {"float32"}
    assert found[1]["loss"] == pytest.approx(found[0]["loss"], rel=0.1)
    assert found[1]["skipped_steps"] == 0


def test_groups_of_replicas_are_for_norms_that_can_be_grouped(make_config, network, monkeypatch):
    from mpl_tf import methods, models

    monkeypatch.setattr(models, "build", lambda name, *_, **__: network(name))
    config = make_config("cifar10_4k", model="keras:ResNet50", method="uda", batch_norm_groups=2)
    methods.make(config, (SIDE, SIDE, 3), 10)
    with pytest.raises(
        UsageError, match="^--batch_norm_groups: expected 1 with keras_cv:efficientnetv2_b0, whose layer"
    ):
        methods.make(config.replace(model="keras_cv:efficientnetv2_b0"), (SIDE, SIDE, 3), 10)
