"""Statistics of runs paired by seed: differences, their confidence interval, an exact test, several comparisons."""

import dataclasses
import statistics

import numpy as np
from scipy import stats

CONFIDENCE, LEVEL = 0.95, 0.05  # Of the intervals; of the tests after correction.


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A row of runs against another: mean difference with its interval, and p before and after correction."""

    difference: float
    low: float
    high: float
    p: float
    corrected: float = 1.0

    @property
    def significant(self):
        """Whether the corrected p is below LEVEL."""
        return self.corrected < LEVEL


def compare(correct, reference, examples):
    """Compare the runs of two rows, the same seeds in the same order.

    Args:
        correct, reference: test examples that each run has right, lists of int of the same length.
        examples: test examples of every run.
    Returns:
        Comparison in shares of the test examples: the t interval of the mean difference (nan for one run), and the
        p of `sign_flip`.
    """
    differences = [a - b for a, b in zip(correct, reference, strict=True)]
    mean, low, high = statistics.mean(differences), float("nan"), float("nan")
    if len(differences) > 1:
        error = statistics.stdev(differences) / len(differences) ** 0.5
        reach = stats.t.ppf((1 + CONFIDENCE) / 2, len(differences) - 1) * error
        low, high = mean - reach, mean + reach
    return Comparison(mean / examples, low / examples, high / examples, sign_flip(differences))


def sign_flip(differences):
    """The exact two-sided p of the sign-flip permutation test of mean zero.

    Where neither row is better, each difference is as likely with the other sign: p is the share of all 2^n choices of
    signs whose sum is as far from zero as the one found. The sums of whole numbers are counted by convolution;
    scipy.stats.permutation_test goes through the choices one by one, for 20 differences in some 20 s.

    Args:
        differences: list of int.
    """
    sizes = np.abs(np.asarray(differences, np.int64))
    chances = np.ones(1)
    for size in sizes:
        signs = np.zeros(2 * size + 1)
        signs[0] += 0.5
        signs[-1] += 0.5
        chances = np.convolve(chances, signs)
    sums = np.arange(len(chances)) - sizes.sum()
    return float(min(1.0, chances[np.abs(sums) >= abs(sum(differences))].sum()))


def holm(comparisons):
    """The same comparisons with p corrected by Holm's step-down procedure (Holm 1979) for all of them together."""
    order = sorted(range(len(comparisons)), key=lambda place: comparisons[place].p)
    corrected, least = list(comparisons), 0.0
    for rank, place in enumerate(order):
        least = max(least, min(1.0, (len(order) - rank) * comparisons[place].p))
        corrected[place] = dataclasses.replace(comparisons[place], corrected=least)
    return corrected
