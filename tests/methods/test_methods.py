"""What every method must keep: numbers on two replicas, mixed precision, checkpoints, bad steps; and MPL beside UDA.

Covers: __init__.py, mpl.py, supervised.py, uda.py
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.utils.class_weight import compute_class_weight

from mpl_tf import methods
from mpl_tf.base.errors import UsageError
from mpl_tf.data.source import Dataset, Source
from mpl_tf.methods.mpl import MetaPseudoLabels
from mpl_tf.run.checkpoints import Checkpoints
from mpl_tf.settings.catalogue import METHODS
from tests import tiny
from tests.tiny import run

pytestmark = pytest.mark.usefixtures("plain_graphs")

FORMS = [
    {"feedback": "taylor"},
    {"feedback": "taylor", "feedback_scale": "sum", "baseline": "moving_average"},
    {"feedback": "dot_product", "pseudo_labels": "argmax", "label_view": "weak"},
    {"feedback": "exact"},
    {"feedback": "exact", "pseudo_labels": "soft"},
    {"feedback": "off"},
]
BALANCED = {"balance_weight": 2.0, "class_prior": (0.5, 0.3, 0.2)}
EVERY = [
    ("supervised", {}),
    ("label_smoothing", {}),
    ("randaugment", {}),
    ("pseudo_labels", {}),
    ("pseudo_labels", {"pseudo_labels": "sampled", "with_labels": True}),
    ("noisy_student", {"pseudo_labels": "argmax"}),
    ("mean_teacher", {"uda_ramp_steps": 2}),
    ("fixmatch", {"uda_threshold": 0.5}),
    ("uda", {"uda_ramp_steps": 2}),
    *(("mpl", form | {"uda_ramp_steps": 2}) for form in FORMS),
    ("reduced_mpl", {"feedback": "exact", "feedback_scale": "sum", "pseudo_labels": "soft"}),
    ("reduced_mpl", {"feedback": "taylor", "baseline": "moving_average"}),
    *((name, {"uda_ramp_steps": 2} | BALANCED) for name in ("uda", "fixmatch", "mpl")),
    ("reduced_mpl", {"feedback": "off"} | BALANCED),
    ("meta_semi", {}),
    ("meta_semi", {"reweighting": "signed", "pseudo_labels": "sampled", "with_labels": False}),
    ("meta_semi", {"reweighting": "constant", "pseudo_labels": "argmax", "mixup": "unlabeled", "mixup_alpha": 0.5}),
]
WEIGHTED = {"class_weights": (0.5, 2.0, 0.25)}
EVERY += [
    ("label_smoothing", WEIGHTED),
    ("pseudo_labels", {"with_labels": True} | WEIGHTED),
    ("mpl", {"feedback": "exact"} | WEIGHTED),
    ("meta_semi", {"with_labels": True} | WEIGHTED),
]
# The others as they are, a new one too; tiny networks are sure of little.
EVERY += [
    (name, {"uda_threshold": 0.5} if "uda_threshold" in row.options else {})
    for name, row in METHODS.items()
    if name not in dict(EVERY)
]
# One form of each method, and the feedback that differentiates twice: for the tests that need convolutions.
FEW = [
    *{name: (name, options) for name, options in reversed(EVERY)}.values(),
    ("uda", {"uda_ramp_steps": 2} | BALANCED),
    ("mpl", FORMS[3]),
]


def test_every_method_is_tested():
    assert {name for name, _ in EVERY} == set(METHODS)


def test_flags_name_the_network_of_each_role_and_its_stochastic_depth(make_config):
    names = {"teacher_model": "small_cnn", "model": "narrow_cnn"}
    learners = methods.make(make_config(**names), (8, 8, 3), 10).learners()
    assert {role: learner.network.name for role, learner in learners.items()} == {
        "teacher": "small_cnn",
        "student": "narrow_cnn",
    }
    learners = methods.make(make_config(), (8, 8, 3), 10).learners()
    assert [learner.network.name for learner in learners.values()] == ["small_cnn"] * 2
    config = make_config(model="wide_resnet_28_2", method="supervised", stochastic_depth=0.6, dropout=0.1)
    (learner,) = methods.make(config, (8, 8, 3), 10).learners().values()
    rates = [layer.rate for layer in learner.network.layers if isinstance(layer, keras.layers.Dropout)]
    np.testing.assert_allclose(sorted(rates), sorted([0.1, *(0.05 * number for number in range(1, 13))]))


def halves(strategy, batch):
    """The batch for ever, each of two replicas getting its half."""
    return strategy.distribute_datasets_from_function(lambda _: tiny.halves(batch))


def test_two_replicas_end_with_the_same_bits_in_one_call_and_in_many(two_replicas):
    """Labels are drawn anew at each step, by its number; the recipe for GPUs takes ten steps a call."""
    ends, options = [], {"norm": True, "ema_decay": 0.9, "pseudo_labels": "sampled"}
    for steps in (1, 3):
        with two_replicas.scope():
            method = tiny.make("mpl", **options, compiled={"steps_per_execution": steps})
        ends.append(run(method, halves(two_replicas, tiny.batch(labeled=4, unlabeled=8)), 6))
    (logs, numbers), (logs_of_many, numbers_of_many) = ends
    np.testing.assert_array_equal(numbers_of_many, numbers)
    assert logs_of_many == logs


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options"), EVERY)
def test_two_replicas_give_the_numbers_of_one(name, options, two_replicas):
    one_batch = tiny.batch(labeled=4, unlabeled=8)
    logs, numbers = run(tiny.shared(name, norm=True, **options), tiny.repeated(one_batch), 4)
    with two_replicas.scope():
        method = tiny.make(name, norm=True, ema_decay=0.9, **options)
    two_logs, two_numbers = run(method, halves(two_replicas, one_batch), 4)
    np.testing.assert_allclose(two_numbers, numbers, rtol=1e-4, atol=1e-5)
    assert logs.keys() == two_logs.keys()
    for quantity, value in logs.items():
        assert two_logs[quantity] == pytest.approx(value, rel=2e-3, abs=1e-5), quantity


@pytest.mark.slow
def test_exact_feedback_through_clipping_is_that_of_one_device_and_of_one_part(two_replicas):
    """The gradient's norm is far above the bound, so that clipping acts in each step."""
    one_batch = tiny.batch(labeled=4, unlabeled=8)
    batches = tiny.repeated(one_batch)
    options, clipped = {"feedback": "exact", "feedback_scale": "sum", "ema_decay": 0.9}, {"clip_norm": 0.05}
    logs, numbers = run(tiny.make("mpl", compiled=clipped, **options), batches, 3)
    assert logs["student_gradient_norm"] > 0.1
    in_parts = run(tiny.make("mpl", compiled=clipped | {"accumulate": 2}, **options), batches, 3)
    with two_replicas.scope():
        method = tiny.make("mpl", compiled=clipped, **options)
    for other in (in_parts, run(method, halves(two_replicas, one_batch), 3)):
        np.testing.assert_allclose(other[1], numbers, rtol=1e-4, atol=1e-6)
        assert other[0]["norm_feedback"] == pytest.approx(logs["norm_feedback"], rel=1e-3)


@pytest.mark.parametrize(("name", "options"), FEW)
def test_accumulation_gives_the_numbers_of_the_large_batch(name, options):
    """Without batch norm, whose statistics are those of a part."""
    batches = tiny.repeated(tiny.batch(labeled=4, unlabeled=8))
    logs, numbers = run(tiny.shared(name, **options), batches, 4)
    method = tiny.make(name, ema_decay=0.9, compiled={"accumulate": 4}, **options)
    part_logs, part_numbers = run(method, batches, 4)
    np.testing.assert_allclose(part_numbers, numbers, rtol=1e-4, atol=1e-5)
    for quantity, value in logs.items():
        assert part_logs[quantity] == pytest.approx(value, rel=2e-3, abs=1e-5), quantity


def test_split_passes_equal_joint_ones_without_batch_norm_and_not_with_it():
    batches = tiny.repeated(tiny.batch())
    for norm in (False, True):
        both = tiny.shared("uda", norm=norm), tiny.make("uda", norm=norm, ema_decay=0.9, teacher_passes="split")
        joint, split = (run(method, batches, 3)[1] for method in both)
        assert np.allclose(joint, split, rtol=1e-4, atol=1e-6) != norm


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options"), FEW)
def test_mixed_precision_is_close_to_float32_and_keeps_float32_weights(name, options):
    results = []
    for policy in ("float32", "mixed_bfloat16", "mixed_float16"):
        keras.config.set_dtype_policy(policy)
        try:
            keras.utils.set_random_seed(0)
            networks = {role: tiny.convolutional() for role in METHODS[name].networks}
        finally:
            keras.config.set_dtype_policy("float32")
        kind = METHODS[name].resolve()
        method = kind(**networks, **tiny.told(kind), **options)
        method.compile(tiny.sgd(0.01, 0.9))
        logs, _ = run(method, tiny.repeated(tiny.images()), 3)
        results.append(logs)
        assert {variable.dtype for variable in method.deployed().trainable_variables} == {"float32"}
    full, *others = results
    for mixed in others:
        for loss in {"loss", "student_loss"} & set(full):
            assert mixed[loss] == pytest.approx(full[loss], rel=0.05)
        assert mixed["skipped_steps"] == 0


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options"), FEW)
def test_a_checkpoint_restores_every_number(name, options, tmp_path):
    """Training on from a restored method gives the bits of training on from the original."""
    batches = tiny.repeated(tiny.batch())
    first = tiny.shared(name, norm=True, **options)
    run(first, batches, 3)
    Checkpoints(first, tmp_path, keep=2).save(3, 1.5)
    second = tiny.make(name, norm=True, ema_decay=0.9, **options)
    checkpoints = Checkpoints(second, tmp_path, keep=2)
    assert checkpoints.restore() == 3
    assert float(checkpoints.seconds) == 1.5
    (logs, numbers), (again, restored) = run(first, batches, 2), run(second, batches, 2)
    np.testing.assert_array_equal(numbers, restored)
    assert logs == again
    for a, b in zip(first.averaged.variables, second.averaged.variables, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(("name", "options"), FEW[:-1])
def test_a_step_that_is_not_finite_changes_nothing_and_is_counted(name, options):
    good = tiny.batch()
    bad = {key: value * np.nan if value.dtype == tf.float32 else value for key, value in good.items()}
    data = tf.data.Dataset.from_generator(
        lambda: iter([good, bad, bad]),
        output_signature={key: tf.TensorSpec(value.shape, value.dtype) for key, value in good.items()},
    )
    method = tiny.shared(name, **options)
    logs, numbers = run(method, data, 3)
    after, _ = run(method, tiny.repeated(good), 1)
    expected_logs, expected = run(tiny.shared(name, **options), tiny.repeated(good), 1)
    np.testing.assert_array_equal(numbers, expected)
    assert (logs["skipped_steps"], logs["skipped_in_a_row"]) == (2, 2)
    assert all(logs[key] == expected_logs[key] for key in method.log_names)
    assert (after["skipped_steps"], after["skipped_in_a_row"]) == (2, 0)


@pytest.mark.parametrize("form", FORMS[:4])
def test_feedback_of_weight_0_leaves_the_teacher_as_uda_bit_for_bit(form):
    batches = tiny.repeated(tiny.batch())
    mpl = tiny.make("mpl", norm=True, feedback_weight=0.0, **form)
    uda = tiny.shared("uda", norm=True)
    run(mpl, batches, 4)
    run(uda, batches, 4)
    for a, b in zip(mpl.teacher.network.variables, uda.teacher.network.variables, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("form", FORMS[:5])
def test_feedback_reaches_the_teachers_weights_and_is_logged(form):
    batches = tiny.repeated(tiny.batch())
    changes = []
    for weight in (0.0, 1.0):
        method = tiny.make("mpl", feedback_weight=weight, **form)
        logs, _ = run(method, batches, 2)
        changes.append(tiny.flat(method.teacher.weights()))
    assert np.abs(changes[1] - changes[0]).max() > 1e-6
    assert logs["norm_feedback"] > 0
    parts = logs["norm_feedback"], logs["norm_supervised"], logs["norm_uda"]
    assert 0 < logs["feedback_share"] < 1
    if form["feedback"] != "taylor" or "baseline" not in form:
        assert logs["h"] != 0
    assert all(value > 0 for value in parts)


def test_one_mpl_step_is_algorithm_1_by_hand():
    """Every new value of one step, recomputed from the paper with plain gradients (no momentum, argmax labels)."""
    batch, rate, smoothing = tiny.batch(), 0.2, 0.15
    method = tiny.make("mpl", rate=rate, momentum=0.0, pseudo_labels="argmax", uda_ramp_steps=0, uda_threshold=0.0)
    teacher, student = method.teacher.network, method.student.network
    y_u = tf.argmax(teacher(batch["x_u_strong"]), axis=-1)

    def ce(target, z):
        return -tf.reduce_mean(tf.reduce_sum(target * tf.nn.log_softmax(z), axis=-1))

    def smooth(labels):
        return tf.one_hot(labels, tiny.CLASSES) * (1 - smoothing) + smoothing / tiny.CLASSES

    old_student = [tf.identity(w) for w in student.trainable_variables]
    with tf.GradientTape() as tape:
        loss = ce(smooth(y_u), student(batch["x_u_strong"]))
    new_student = [
        w - rate * g for w, g in zip(old_student, tape.gradient(loss, student.trainable_variables), strict=True)
    ]
    labels = tf.one_hot(batch["y_l"], tiny.CLASSES)
    old = float(ce(labels, student(batch["x_l"])))
    z_new, _ = student.stateless_call(new_student, [], batch["x_l"])
    h = old - float(ce(labels, z_new))
    with tf.GradientTape() as tape:
        z_l, z_w, z_s = (teacher(batch[key]) for key in ("x_l", "x_u_weak", "x_u_strong"))
        sharpened = tf.stop_gradient(tf.nn.softmax(z_w / 0.7))
        loss = ce(smooth(batch["y_l"]), z_l) + 8 * ce(sharpened, z_s) + h * ce(tf.one_hot(y_u, tiny.CLASSES), z_s)
    old_teacher = [tf.identity(w) for w in teacher.trainable_variables]
    new_teacher = [
        w - rate * g for w, g in zip(old_teacher, tape.gradient(loss, teacher.trainable_variables), strict=True)
    ]

    logs, _ = run(method, tiny.repeated(batch), 1)
    assert abs(h) > 1e-3
    assert logs["h"] == pytest.approx(h, rel=1e-3)
    np.testing.assert_allclose(tiny.flat(student.trainable_variables), tiny.flat(new_student), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(tiny.flat(teacher.trainable_variables), tiny.flat(new_teacher), rtol=1e-4, atol=1e-6)


def test_the_objective_is_balanced_and_weight_0_is_none_to_the_bit():
    """One step of UDA at rate 1: the last bias moves by minus the balance's gradient, summed over x_u, besides."""
    batch = tiny.batch()
    plain, none, balanced = (
        tiny.make("uda", rate=1.0, momentum=0.0, uda_weight=0.0, **options)
        for options in ({}, {"balance_weight": 0.0}, BALANCED)
    )
    z = plain.teacher_network(batch["x_u_strong"]).numpy()
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    prior, m = np.array(BALANCED["class_prior"]), 0.1 / 3 + 0.9 * p.mean(axis=0)  # Step 0: momentum 0.1.
    logs = [run(method, tiny.repeated(batch), 1)[0] for method in (plain, none, balanced)]
    np.testing.assert_array_equal(*(tiny.flat(method.teacher.weights()) for method in (plain, none)))
    assert (logs[0]["balance_loss"], logs[0]["norm_balance"]) == (0, 0)
    assert logs[2]["balance_loss"] == pytest.approx(np.sum(prior * np.log(prior / m)), rel=1e-4)
    ratio = prior / m
    gradient = -2 * 0.9 / len(p) * p * (ratio - (p @ ratio)[:, None])  # dKL/dz_jk = -(1 - momentum) / b p (r_k - p r).
    moved = balanced.teacher.weights()[-1] - plain.teacher.weights()[-1]
    np.testing.assert_allclose(moved, -gradient.sum(axis=0), rtol=1e-4, atol=1e-6)
    assert logs[2]["norm_balance"] == pytest.approx(np.linalg.norm(gradient), rel=1e-4)
    np.testing.assert_allclose(balanced.balance.mean.variable, m, rtol=1e-5)


# One of each method, the labeled batch taking part where it may, and all forms of the feedback.
LABELED = {name: {} for name in METHODS} | {"pseudo_labels": {"with_labels": True}}
LABELED["meta_semi"] = {"mixup": "none", "with_labels": True}
LABELED["mpl"] = FORMS[0]
LABELED = [*LABELED.items(), *(("mpl", form) for form in FORMS[2:5])]
LABELED.append(("meta_semi", {"mixup": "none", "with_labels": False}))


@pytest.mark.parametrize(("name", "options"), LABELED)
def test_a_class_of_weight_2_counts_as_if_its_examples_came_twice_and_one_of_weight_0_not_at_all(name, options):
    """In every labeled loss: the network's own, the one that the feedback is of, Meta-Semi's meta gradient."""
    batch, labels = tiny.batch(labeled=4), np.array([0, 1, 2, 2], np.int32)
    keys = [key for key in ("x_l", "x_l_strong") if key in batch]
    weighted = batch | {"y_l": tf.constant(labels)}
    twice = [0, 0, 2, 3]
    repeated = batch | {key: tf.gather(batch[key], twice) for key in keys} | {"y_l": tf.constant(labels[twice])}
    logs, numbers = run(tiny.make(name, class_weights=(2.0, 0.0, 1.0), **options), tiny.repeated(weighted), 2)
    again, expected = run(tiny.make(name, **options), tiny.repeated(repeated), 2)
    np.testing.assert_allclose(numbers, expected, rtol=1e-5, atol=1e-6)
    for quantity in {"loss", "h"} & set(logs):
        assert logs[quantity] == pytest.approx(again[quantity], rel=1e-3, abs=1e-6), quantity
    without = run(tiny.make(name, **options), tiny.repeated(weighted), 2)[1]
    if options.get("with_labels", True):  # Else Meta-Semi's labels do no more than to choose among the others.
        assert np.abs(without - numbers).max() > 1e-5


def test_weights_of_another_number_of_classes_are_refused():
    for weights in ((1.0, 1.0), (1.0, 1.0, -1.0)):
        with pytest.raises(UsageError, match="^class_weights: expected 3 numbers >= 0, got "):
            tiny.make("supervised", class_weights=weights)


def test_the_flags_weigh_the_classes_and_say_what_is_balanced_to(make_config):
    labels = np.array([0, 0, 0, 0, 2, 2, 3, 3], np.int32)
    prior = {"class_prior": (np.bincount(labels) / 8).tolist()}
    expected = np.zeros([4])
    expected[[0, 2, 3]] = compute_class_weight("balanced", classes=np.unique(labels), y=labels)
    given = make_config(method="fixmatch", balance_weight=1, class_weights="balanced", class_prior="uniform")
    method = methods.make(given, (8, 8, 3), 4, **prior)
    np.testing.assert_allclose(method.class_weights, expected, rtol=1e-6)
    assert method.objective.class_weights is method.class_weights
    np.testing.assert_array_equal(method.balance.prior, [0.25] * 4)
    finetuned = methods.make_finetune(method.deployed(), given, **prior)
    np.testing.assert_allclose(finetuned.class_weights, expected, rtol=1e-6)
    assert methods.make(make_config(method="uda"), (8, 8, 3), 4, **prior).class_weights is None
    # Noisy Student makes its classes alike, unless it is asked for the labeled shares.
    assert methods.make(make_config(method="noisy_student"), (8, 8, 3), 4, **prior).prior is None
    asked = methods.make(make_config(method="noisy_student", class_prior="labeled"), (8, 8, 3), 4, **prior)
    np.testing.assert_array_equal(asked.prior, prior["class_prior"])


def test_the_program_tells_a_method_the_classes_of_the_labeled_set(make_config):
    """Images of three of four classes, unevenly; one whose labels are read while it trains is taken for even."""
    labeled = Source(np.zeros([8, 8, 8, 3], np.uint8), np.array([0, 0, 0, 0, 2, 2, 3, 3], np.int32))
    dataset = Dataset("some", labeled, None, labeled, ("a", "b", "c", "d"))
    assert dataset.class_prior == [0.5, 0, 0.25, 0.25]
    config = make_config(method="uda", balance_weight=1)
    method = methods.make(config, (8, 8, 3), 4, **dataset.facts)
    np.testing.assert_array_equal(method.balance.prior, dataset.class_prior)
    assert Dataset("some", object(), None, labeled, ("a",)).class_prior is None
    np.testing.assert_array_equal(methods.make(config, (8, 8, 3), 4).balance.prior, [0.25] * 4)


def test_exact_h_is_the_dot_products_h():
    """Which is minus sum q dL/dq once label smoothing is off and nothing is clipped."""
    batches = tiny.repeated(tiny.batch())
    values = [
        run(tiny.make("mpl", feedback=form, compiled={"clip_norm": 0.5}), batches, 1)[0]["h"]
        for form in ("exact", "dot_product")
    ]
    assert values[0] == pytest.approx(values[1], rel=1e-6)


def test_students_statistics_move_by_its_own_pass_alone():
    """The passes for the feedback leave the moving statistics of batch norm alone."""
    batches = tiny.repeated(tiny.batch())
    statistics = []
    for form in FORMS[::-1]:  # Off is the first.
        method = tiny.shared("mpl", norm=True, uda_ramp_steps=2, **form)
        run(method, batches, 1)
        statistics.append(tiny.flat(method.student.network.non_trainable_variables))
    assert np.abs(statistics[0] - np.repeat([0.0, 1.0], 6)).max() > 1e-3
    for other in statistics[1:]:
        np.testing.assert_array_equal(other, statistics[0])


def test_as_in_a_notebook():
    """The words of the README: compile() and fit() with nothing else given."""
    method = MetaPseudoLabels(teacher=tiny.network(1), student=tiny.network(2))
    method.compile()
    history = method.fit(tiny.repeated(tiny.batch()), steps_per_epoch=3, epochs=2, verbose=0).history
    assert history["student_loss"][1] < history["student_loss"][0]
    assert method.predict(tiny.batch()["x_l"], verbose=0).shape == (4, tiny.CLASSES)


@pytest.mark.parametrize(("name", "options"), FEW)
def test_batches_of_unknown_size_give_the_same_numbers(name, options):
    """As a distributed iterator gives them where one call makes several steps."""
    batch = tiny.batch()
    signature = {key: tf.TensorSpec([None, *value.shape[1:]], value.dtype) for key, value in batch.items()}
    unknown = tf.data.Dataset.from_generator(lambda: iter([batch] * 3), output_signature=signature)
    known = run(tiny.shared(name, norm=True, **options), tiny.repeated(batch), 3)
    again = run(tiny.make(name, norm=True, ema_decay=0.9, **options), unknown, 3)
    np.testing.assert_allclose(again[1], known[1], rtol=1e-5, atol=1e-6)
