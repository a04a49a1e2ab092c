"""Optimizers of Keras as pure functions: the same numbers as Keras' own step; refusals of the others."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.base.errors import UsageError
from mpl_tf.methods.mpl import MetaPseudoLabels
from mpl_tf.step import any_optimizer
from mpl_tf.step.optimizer import SGD
from tests import tiny

pytestmark = pytest.mark.usefixtures("plain_graphs")
KINDS = {
    "adam": lambda: keras.optimizers.Adam(0.01, amsgrad=True, global_clipnorm=0.5),
    "adamw": lambda: keras.optimizers.AdamW(keras.optimizers.schedules.CosineDecay(0.01, 10), weight_decay=0.1),
    "rmsprop": lambda: keras.optimizers.RMSprop(0.01, momentum=0.9, centered=True),
    "adafactor": lambda: keras.optimizers.Adafactor(0.01),
    "lion": lambda: keras.optimizers.Lion(0.01),
    "ftrl": lambda: keras.optimizers.Ftrl(0.01),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_is_keras_own_and_assigns_nothing(kind):
    pure, own = KINDS[kind](), KINDS[kind]()
    start = [np.array([[1.0, -2.0], [0.5, 3.0]], np.float32), np.array([0.3], np.float32)]
    ours, theirs = ([keras.Variable(value) for value in start] for _ in range(2))
    pure.build(ours)
    own.build(theirs)

    @tf.function
    def step(gradients):
        return any_optimizer.new_values(pure, [tf.convert_to_tensor(v) for v in ours], gradients)

    for number in range(3):
        gradients = [tf.constant(np.cos(value + number), tf.float32) for value in start]
        before = [v.numpy() for v in (*ours, *pure.variables)]
        new, assignments = step(gradients)
        for variable, value in zip((*ours, *pure.variables), before, strict=True):
            np.testing.assert_array_equal(variable, value)
        # Inside a tf.function variables come out as their values, in the order of the assignments.
        _, places = any_optimizer.new_values(pure, [tf.convert_to_tensor(v) for v in ours], gradients)
        for (variable, _), (_, value) in zip(places, assignments, strict=True):
            variable.assign(value)
        for variable, value in zip(ours, new, strict=True):
            variable.assign(value)
        own.apply(gradients, theirs)
        for mine, other in zip((*ours, *pure.variables), (*theirs, *own.variables), strict=True):
            np.testing.assert_allclose(mine, other, rtol=2e-6, atol=1e-7)
    assert "assign" not in vars(pure)


def test_mpl_trains_with_adam_and_a_step_that_is_not_finite_leaves_it_as_it_was():
    method = MetaPseudoLabels(tiny.network(1), tiny.network(2), "soft")
    method.compile("adam", keras.optimizers.AdamW(0.01), backbone_rate=0.5)
    history = method.fit(tiny.repeated(tiny.batch()), steps_per_epoch=3, epochs=2, verbose=0).history
    assert history["loss"][1] < history["loss"][0]
    assert int(method.student.optimizer.iterations) == 6 and history["student_learning_rate"][0] == pytest.approx(1e-3)
    before = [v.numpy() for part in ("student", "student_optimizer") for v in method.state()[part]]
    bad = tiny.batch() | {"x_u_strong": tf.fill([8, tiny.FEATURES], np.nan)}
    method.fit(tiny.repeated(bad), steps_per_epoch=1, verbose=0)
    after = [v.numpy() for part in ("student", "student_optimizer") for v in method.state()[part]]
    np.testing.assert_array_equal(tiny.flat(before), tiny.flat(after))


def test_sgd_comes_by_name_and_from_keras_own():
    for given in (None, "sgd", "SGD"):
        found = any_optimizer.chosen(given)
        assert type(found) is SGD and float(found.learning_rate) == pytest.approx(0.1) and found.nesterov
    found = any_optimizer.chosen(keras.optimizers.SGD(0.3, momentum=0.5))
    assert type(found) is SGD and float(found.learning_rate) == pytest.approx(0.3) and found.momentum == 0.5
    assert isinstance(any_optimizer.chosen("adamw"), keras.optimizers.AdamW)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("adm", "or a name of keras.optimizers, got 'adm'"),
        (0.1, "or its name, got float"),
        (keras.optimizers.Nadam(), "Nadam has a step of its own"),
        (keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam()), "LossScaleOptimizer has a step of its own"),
        (keras.optimizers.Adam(use_ema=True), "Adam without use_ema, got True; give the method ema_decay"),
        (SGD(0.1, clipnorm=1.0), r"SGD without clipnorm, got 1.0; give compile\(clip_norm=...\)"),
        (keras.optimizers.SGD(0.1, weight_decay=0.1), r"give compile\(weight_decay=...\)"),
    ],
)
def test_what_a_step_cannot_follow_is_refused(given, told):
    with pytest.raises(UsageError, match=f"^optimizer: expected .*{told}"):
        any_optimizer.chosen(given)


@pytest.mark.parametrize("form", ["exact", "dot_product"])
def test_the_student_of_sgds_own_feedback_takes_sgd_alone(form):
    method = MetaPseudoLabels(tiny.network(1), tiny.network(2), feedback=form)
    with pytest.raises(UsageError, match=f"student of feedback='{form}', .* got Adam; give optimizer='sgd'"):
        method.compile("adam")
    method.compile("sgd", "adam")


def test_one_optimizer_is_not_given_to_two_networks():
    method, one = MetaPseudoLabels(tiny.network(1), tiny.network(2)), keras.optimizers.Adam()
    with pytest.raises(UsageError, match="expected one of its own for .* this Adam trains another network"):
        method.compile(one, one)
