"""Seeded splits: exact counts a class, disjoint and complete, and what is refused."""

import numpy as np
import pytest

from mpl_tf.base.errors import UsageError
from mpl_tf.data.splits import balanced, hold_out, hold_out_of_each, thinned, training_split

COUNTS = (20, 7, 40)  # Members of classes 0, 1 and 2.
LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(3), COUNTS))


def refusal(total, class_names=None):
    with pytest.raises(UsageError) as caught:
        balanced(LABELS, total, 3, seed=0, class_names=class_names)
    message = str(caught.value)
    assert message.startswith("--num_labels:") and str(total) in message and "\n" not in message
    return message


@pytest.mark.parametrize("total", [3, 12, 21])
def test_balanced_draws_equally_many_of_each_class_and_leaves_the_others(total):
    chosen, rest = balanced(LABELS, total, 3, seed=0)
    assert np.bincount(LABELS[chosen], minlength=3).tolist() == [total // 3] * 3
    np.testing.assert_array_equal(np.sort(np.concatenate([chosen, rest])), np.arange(len(LABELS)))
    for part in (chosen, rest):
        assert (np.diff(part) > 0).all() and part.dtype == np.int64


def test_balanced_depends_on_the_seed_alone():
    first, second, other = (balanced(LABELS, 12, 3, seed)[0] for seed in (4, 4, 5))
    np.testing.assert_array_equal(first, second)
    assert set(first) != set(other)


def test_balanced_draws_every_member_of_a_class_equally_often():
    drawn = np.bincount(np.concatenate([balanced(LABELS, 12, 3, seed)[0] for seed in range(600)]), minlength=67)
    for label, count in enumerate(COUNTS):
        expected = 600 * 4 / count
        np.testing.assert_allclose(drawn[label == LABELS], expected, atol=5 * np.sqrt(expected))


@pytest.mark.parametrize("total", [0, 1, 2, 4])
def test_balanced_refuses_a_total_that_is_no_positive_multiple_of_the_classes(total):
    assert "multiple of the 3 classes" in refusal(total)


def test_a_class_that_is_too_small_is_named():
    assert "class 1 has 7" in refusal(24)
    assert "class horse has 7" in refusal(24, ("cat", "horse", "dog"))


@pytest.mark.parametrize("total", [24, 90])  # One class is too small, then two are.
def test_the_total_that_a_refusal_advises_is_taken(total):
    message = refusal(total)
    assert message.endswith("at most 21")
    assert len(balanced(LABELS, 21, 3, seed=0)[0]) == 21


@pytest.mark.parametrize(("count", "held"), [(10, 0), (10, 3), (10, 10), (50_000, 5000)])
def test_hold_out_is_exact_disjoint_and_complete(count, held):
    out, rest = hold_out(count, held, seed=1)
    assert (len(out), len(rest)) == (held, count - held)
    np.testing.assert_array_equal(np.sort(np.concatenate([out, rest])), np.arange(count))
    assert (np.diff(out) > 0).all() and (np.diff(rest) > 0).all()


def test_hold_out_depends_on_the_seed_alone():
    first, second, other = (hold_out(100, 20, seed)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, second)
    assert set(first) != set(other)


def test_hold_out_of_each_takes_one_in_so_many_of_each_class():
    held, rest = hold_out_of_each(LABELS, 6, seed=0)
    assert np.bincount(LABELS[held], minlength=3).tolist() == [3, 1, 6]  # 20, 7 and 40 // 6
    np.testing.assert_array_equal(np.sort(np.concatenate([held, rest])), np.arange(len(LABELS)))
    for part in (held, rest):
        assert (np.diff(part) > 0).all()
    np.testing.assert_array_equal(hold_out_of_each(LABELS, 6, seed=0)[0], held)
    assert not np.array_equal(hold_out_of_each(LABELS, 6, seed=1)[0], held)
    assert len(hold_out_of_each(np.array([4, 4, 9]), 3, seed=0)[0]) == 0  # A class of fewer gives none.


def test_a_long_tail_keeps_the_share_of_each_class_that_its_ratio_says():
    labels = np.repeat(np.arange(3), 200)
    kept, left_out = thinned(labels, 16, 3, seed=0)
    assert np.bincount(labels[kept]).tolist() == [200, 50, 13]  # 200, 200 / 4, 200 / 16 rounded.
    np.testing.assert_array_equal(np.sort(np.concatenate([kept, left_out])), np.arange(600))
    assert set(kept) != set(thinned(labels, 16, 3, seed=1)[0])
    assert np.bincount(labels[thinned(labels, 1e6, 3, seed=0)[0]]).tolist() == [200, 1, 1]


def test_labeled_and_unlabeled_examples_are_thinned_alike_and_the_others_are_in_neither(make_config):
    labels = np.repeat(np.arange(10), 130)
    parts = training_split(labels, make_config(num_labels=300, imbalance=20), 10)
    labeled, unlabeled, left_out = (np.bincount(labels[part], minlength=10).tolist() for part in parts)
    assert labeled == [30, 22, 15, 11, 8, 6, 4, 3, 2, 2]  # 30 * 20^(-c / 9), rounded.
    assert unlabeled == [100, 72, 51, 37, 26, 19, 14, 10, 7, 5]
    assert np.sum([labeled, unlabeled, left_out], axis=0).tolist() == [130] * 10
    chosen, rest, nothing = training_split(labels, make_config(num_labels=300), 10)
    assert len(chosen) == 300 and len(rest) == 1000 and not len(nothing)
