"""Paired statistics against hand-computed values and scipy's enumeration."""

import dataclasses
import math

import numpy as np
import pytest
from scipy import stats

from tools._ablation import paired


def test_sign_flip_by_hand():
    assert paired.sign_flip([1, 2, 3]) == pytest.approx(2 / 8)  # Only all plus and all minus are as far.
    assert paired.sign_flip([1, 2, -3]) == 1.0
    assert paired.sign_flip([1, 1, 1, 0]) == pytest.approx(2 / 8)  # A zero has no sign.
    assert paired.sign_flip([0, 0]) == 1.0
    assert paired.sign_flip([7] * 20) == pytest.approx(2 / 2**20)


@pytest.mark.parametrize("seed", range(5))
def test_sign_flip_equals_scipy(seed):
    differences = np.random.default_rng(seed).integers(-4, 6, 9)

    def statistic(a, b, axis):
        return (a - b).sum(axis)

    pair = (differences, np.zeros_like(differences))
    expected = stats.permutation_test(
        pair, statistic, permutation_type="samples", vectorized=True, n_resamples=np.inf
    ).pvalue
    assert paired.sign_flip(differences.tolist()) == pytest.approx(expected, abs=1e-12)


def test_interval_equals_scipy():
    found = paired.compare([90, 95, 91, 99], [88, 90, 92, 91], 100)
    low, high = stats.ttest_rel([90, 95, 91, 99], [88, 90, 92, 91]).confidence_interval(0.95)
    assert found.difference == pytest.approx(0.035)
    assert (found.low, found.high) == pytest.approx((low / 100, high / 100))
    assert found.p == pytest.approx(paired.sign_flip([2, 5, -1, 8]))
    assert math.isnan(paired.compare([3], [2], 10).low)


def test_holm_by_hand():
    """Of p = 0.01, 0.04, 0.03, 0.5: 4 x 0.01; 3 x 0.03; 2 x 0.04 raised to the one before it; 0.5."""
    raw = [paired.Comparison(0, 0, 0, p) for p in (0.01, 0.04, 0.03, 0.5)]
    found = [c.corrected for c in paired.holm(raw)]
    assert found == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert [c.significant for c in paired.holm(raw)] == [True, False, False, False]
    assert paired.holm([dataclasses.replace(raw[0], p=0.7)] * 2)[0].corrected == 1.0
