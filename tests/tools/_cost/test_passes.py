"""The passes of each method."""

import types

import pytest

from mpl_tf.settings.catalogue import METHODS
from tools._cost.passes import DERIVATIVE, FORWARD, GRADIENT, PASSES, Pass, passes

LABELED, UNLABELED = 3, 21
TEACHER = Pass("teacher", GRADIENT, LABELED + 2 * UNLABELED)
STUDENT = Pass("student", GRADIENT, UNLABELED)


def method(teacher_passes="joint", **values):
    return types.SimpleNamespace(objective=types.SimpleNamespace(passes=teacher_passes), **values)


def test_every_method_has_its_passes():
    assert set(PASSES) == set(METHODS)


@pytest.mark.parametrize(
    ("feedback", "told"),
    [
        ("off", []),
        ("taylor", [Pass("student", FORWARD, LABELED), Pass("student", FORWARD, LABELED)]),
        ("dot_product", [Pass("student", GRADIENT, LABELED)]),
        ("exact", [Pass("student", GRADIENT, LABELED), Pass("student", DERIVATIVE, UNLABELED)]),
    ],
)
def test_meta_pseudo_labels(feedback, told):
    assert passes("mpl", method(feedback=feedback), LABELED, UNLABELED) == [TEACHER, STUDENT, *told]


def test_views_that_are_targets_alone_have_no_gradient():
    strong = Pass("teacher", GRADIENT, LABELED + UNLABELED)
    assert passes("uda", method(), LABELED, UNLABELED) == [TEACHER]
    assert passes("uda", method("split"), LABELED, UNLABELED) == [Pass("teacher", FORWARD, UNLABELED), strong]
    weak = method("split", feedback="off", label_view="weak")
    assert passes("mpl", weak, LABELED, UNLABELED) == [Pass("teacher", GRADIENT, UNLABELED), strong, STUDENT]


def test_methods_of_one_network():
    assert passes("supervised", method(), LABELED, UNLABELED) == [Pass("student", GRADIENT, LABELED)]
    both = Pass("student", GRADIENT, LABELED + UNLABELED)
    assert passes("noisy_student", method(with_labels=True), LABELED, UNLABELED) == [both]
    assert passes("pseudo_labels", method(with_labels=False), LABELED, UNLABELED) == [STUDENT]
    assert passes("mean_teacher", method(), LABELED, UNLABELED) == [both, Pass("average", FORWARD, UNLABELED)]
    weighed = [Pass("student", GRADIENT, LABELED), Pass("student", DERIVATIVE, LABELED + UNLABELED)]
    found = passes("meta_semi", method(with_labels=True, reweighting="sign"), LABELED, UNLABELED)
    assert found == [Pass("average", FORWARD, UNLABELED), *weighed, both]
