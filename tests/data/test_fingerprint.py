"""A data set's fingerprint: the same for the same examples, and in words what differs."""

import json

import numpy as np
import pytest

from mpl_tf.data import Dataset, Source, fingerprint

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 4, 4, 3), np.uint8)
LABELS = np.array([0, 0, 1, 1, 2, 2], np.int32)
NAMES = ("cat", "dog", "emu")
OTHERS = "{} examples: {} as before, but others, in another order or with other labels"


def dataset(images=IMAGES, labels=LABELS, names=NAMES, unlabeled=IMAGES[:2], test=IMAGES[4:], order=None):
    return Dataset(
        "folder",
        Source(images, labels),
        None if unlabeled is None else Source(unlabeled, order=order),
        Source(test, np.zeros(len(test), np.int32)),
        names,
    )


def test_it_is_the_same_for_the_same_examples_and_survives_json():
    found = fingerprint.of(dataset())
    assert found == fingerprint.of(dataset(IMAGES.copy(), LABELS.copy(), list(NAMES)))
    assert json.loads(json.dumps(found)) == found
    assert [found[part] and found[part]["examples"] for part in fingerprint.PARTS] == [6, 2, None, 2]
    assert fingerprint.changes(found, found) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"names": ("cat", "hound", "emu")}, ["classes gone: dog", "classes new: hound"]),
        ({"names": ("cat", "dog", "emu", "yak")}, ["classes new: yak"]),
        ({"names": ("dog", "cat", "emu")}, ["classes: cat, dog, emu before, dog, cat, emu now"]),
        ({"images": IMAGES[:5], "labels": LABELS[:5]}, ["labeled examples: 6 before, 5 now"]),
        ({"labels": LABELS[::-1]}, [OTHERS.format("labeled", 6)]),
        ({"unlabeled": None}, ["unlabeled examples: 2 before, 0 now"]),
        ({"unlabeled": IMAGES[1::-1]}, [OTHERS.format("unlabeled", 2)]),
        ({"order": np.array([0, 1, 1], np.int32)}, [OTHERS.format("unlabeled", 2)]),
        ({"test": IMAGES[3:]}, ["test examples: 2 before, 3 now"]),
    ],
)
def test_what_differs_is_told(change, told):
    assert fingerprint.changes(fingerprint.of(dataset()), fingerprint.of(dataset(**change))) == told


def test_parts_that_do_not_count_are_not_told():
    before, now = fingerprint.of(dataset()), fingerprint.of(dataset(test=IMAGES[3:]))
    assert fingerprint.changes(before, now, ("labeled", "unlabeled")) == []


def test_of_many_classes_a_few_are_named():
    many = tuple(f"class{number}" for number in range(20))
    (told,) = fingerprint.changes(fingerprint.of(dataset()), fingerprint.of(dataset(names=NAMES + many)))
    assert told == "classes new: class0, class1, class2, class3, class4 and 15 more"
