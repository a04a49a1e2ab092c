"""How much an example of each class counts, as scikit-learn has it, and what is told of it."""

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight

from mpl_tf import data
from mpl_tf.data import imbalance


@pytest.mark.parametrize("counts", [(20, 1), (5, 5, 5), (1, 2, 3, 100)])
def test_weights_are_those_of_scikit_learn(counts):
    labels = np.repeat(np.arange(len(counts)), counts)
    weights = imbalance.balanced_weights((np.array(counts) / sum(counts)).tolist())
    expected = compute_class_weight("balanced", classes=np.arange(len(counts)), y=labels)
    np.testing.assert_allclose(weights, expected, rtol=1e-12)
    np.testing.assert_allclose(np.array(weights)[labels], compute_sample_weight("balanced", labels), rtol=1e-12)
    assert np.mean(np.array(weights)[labels]) == pytest.approx(1)


def test_a_class_without_labels_counts_nothing_and_is_no_class_of_the_others():
    assert imbalance.balanced_weights([0.75, 0, 0.25]) == [1 / 1.5, 0, 2.0]


def test_what_is_made_of_the_classes_is_told(make_config):
    told = data.load(make_config(class_weights="balanced")).notes[-1]
    assert told.startswith("labeled examples count 0 1, 1 1, ") and told.endswith("9 1")
    assert data.load(make_config(balanced_batches=True)).notes[-1].startswith("labeled batches: one in 10 of each")
    assert not any("labeled batches" in line or "count 0" in line for line in data.load(make_config()).notes)


def test_a_long_tail_is_made_and_told_and_the_test_stays_as_it_is(make_config):
    thin, whole = (data.load(make_config(num_labels=200, labeled_batch=10, imbalance=ratio)) for ratio in (20, 1))
    assert np.bincount(thin.labeled.labels).tolist() == [20, 14, 10, 7, 5, 4, 3, 2, 1, 1]
    assert any("0 20 + " in line and "9 1 + " in line for line in thin.notes)
    assert len(thin.labeled) + len(thin.unlabeled) + len(thin.unused) == len(whole.labeled) + len(whole.unlabeled)
    np.testing.assert_array_equal(thin.test.images, whole.test.images)
    assert whole.unused is None
