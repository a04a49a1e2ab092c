"""Draws of all classes alike: each class once a round, each of its examples once an epoch of its own, by seed and step.

tests/data/test_pipeline.py has the draws of all examples alike.
"""

import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.data import pipeline
from mpl_tf.data.draws import Draw
from mpl_tf.data.source import Source
from tests.data.test_pipeline import NO_CHANGE, batches, noisy, replica_batches

LABELS = np.random.default_rng(0).permutation(np.repeat([0, 1, 2, 4], (50, 3, 1, 7))).astype(np.int32)


def drawn(count, seed=5, batch=16, replicas=1, start=0):
    """The numbers of the examples of `count` batches, [count, batch]."""
    source = Source(np.zeros([len(LABELS), 1, 1, 3], np.uint8), LABELS)
    draw = Draw(source, seed, pipeline.LABELED, pipeline.LABELED_CROP, batch, replicas, even=True)
    counters = tf.data.Dataset.range(start * replicas, (start + count) * replicas)
    return np.concatenate(list(counters.map(draw.index).as_numpy_iterator())).reshape(count, batch)


def test_classes_come_alike_and_each_example_once_an_epoch_of_its_class():
    numbers = drawn(100).ravel()  # 1,600 draws are 400 rounds of the four classes.
    labels = LABELS[numbers]
    assert np.bincount(labels).tolist() == [400, 400, 400, 0, 400]
    assert (np.sort(labels.reshape(400, 4), axis=1) == [0, 1, 2, 4]).all()
    for label in (0, 1, 2, 4):
        members = np.flatnonzero(label == LABELS)
        turns = numbers[labels == label]
        epochs = turns[: len(turns) // len(members) * len(members)].reshape(-1, len(members))
        assert (np.sort(epochs, axis=1) == members).all()


def test_orders_differ_from_epoch_to_epoch_from_class_to_class_and_from_seed_to_seed():
    numbers = drawn(100).ravel()
    rounds = LABELS[numbers].reshape(400, 4)
    assert len({tuple(one) for one in rounds}) == 24  # All orders of four classes.
    large = numbers[LABELS[numbers] == 0].reshape(8, 50)
    assert len({tuple(one) for one in large}) == 8
    in_place = (large == np.flatnonzero(LABELS == 0)).sum(axis=1)
    assert in_place.mean() < 4  # Expected: 1, with a standard deviation of 0.35.
    assert not np.array_equal(drawn(2, seed=6), drawn(2, seed=5))


def test_a_step_depends_on_no_other_and_replicas_take_its_parts():
    whole = drawn(20)
    np.testing.assert_array_equal(drawn(5, start=15), whole[15:])
    np.testing.assert_array_equal(drawn(20, replicas=2), whole)


@pytest.mark.parametrize("balanced", [False, True])
def test_the_flag_draws_labeled_batches_so(make_config, two_replicas, balanced):
    """Ten labeled examples, nine of one class: in 20 draws it comes 18 times, or 10."""
    dataset = noisy()
    dataset.labeled.labels[:] = [0] * 9 + [7]
    config = make_config(mu=1, balanced_batches=balanced, **NO_CHANGE)
    found = batches(dataset, config, ("y_l", "i_l"), batch=4, steps=5)
    labels = np.concatenate([one["y_l"] for one in found])
    assert np.bincount(labels)[[0, 7]].tolist() == ([10, 10] if balanced else [18, 2])
    for one, parts in zip(found, replica_batches(dataset, config, ("y_l", "i_l"), steps=5), strict=True):
        np.testing.assert_array_equal(one["y_l"], dataset.labeled.labels[one["i_l"]])
        for key in ("y_l", "i_l"):
            np.testing.assert_array_equal(np.concatenate([part[key] for part in parts]), one[key])
