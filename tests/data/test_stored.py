"""Stored features in the place of a Source."""

import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.data.stored import Stored

VIEWS = {"plain": np.arange(12, dtype=np.float16).reshape(4, 1, 3), "weak": np.arange(40, 64).reshape(4, 2, 3)}


@pytest.fixture
def source():
    rows = np.array([3, 0, 2], np.int32)
    weak = VIEWS["weak"].astype(np.float16)
    return Stored(rows, np.array([1, 0, 1], np.int32), views=VIEWS | {"weak": weak}, key="k")


def test_it_has_the_plain_features_of_its_rows_in_order(source):
    assert (len(source), source.shape, source.epoch) == (3, (3,), 3)
    (first, labels), (second, _) = source.pieces(2)
    np.testing.assert_array_equal(np.concatenate([first, second]), [[9, 10, 11], [0, 1, 2], [6, 7, 8]])
    assert first.dtype == np.float32 and labels.tolist() == [1, 0]
    ((rest, _),) = source.pieces(2, start=2)
    np.testing.assert_array_equal(rest, second)
    part = source.take([2, 0], with_labels=False)
    assert part.labels is None and part.images.tolist() == [2, 3] and part.shape == (3,)


def test_a_pick_is_one_of_an_examples_views_each_as_often_and_of_the_seed_alone(source):
    rows = tf.constant([3, 0] * 200)
    found, again = (source.pick(rows, tf.constant([1, 2]), "weak").numpy() for _ in range(2))
    np.testing.assert_array_equal(found, again)
    which = (found[:, 0] - np.where(rows == 3, 58, 40)) / 3
    assert set(which) == {0, 1} and 150 < which.sum() < 250
    np.testing.assert_array_equal(found[:, 2], found[:, 0] + 2)
    assert not np.array_equal(found, source.pick(rows, tf.constant([1, 3]), "weak"))


def test_the_fingerprint_is_of_the_rows_the_labels_and_what_was_computed(source):
    import dataclasses

    changes = ({}, {"key": "other"}, {"images": source.images[::-1]}, {"labels": source.labels[::-1] * 2})
    assert len({dataclasses.replace(source, **change).fingerprint() for change in changes}) == 4
