"""How probable an image has to be to be among the best of its class, found before any id or fingerprint is read.

A candidate is a number here: its class above, its probability below, so that sorted numbers are sorted candidates. The
best of a thousand classes, 12,800 each, take 100 MB, where their ids and fingerprints take gigabytes.
"""

import itertools

import numpy as np

SHIFT = np.uint64(32)
LOW = np.uint64(2**32 - 1)
LEAST = 1 << 20  # Numbers that are worth sorting.
GROUP = 1 << 18  # Candidates of a group of classes: what one worker merges in memory.


def numbers(classes, probabilities):
    """uint64 [N]: candidates by class, and in a class from the most probable down.

    Args:
        classes: int32 [N].
        probabilities: float32 [N], >= 0; their bits rise with them.
    """
    bits = probabilities.astype(np.float32).view(np.uint32)
    return classes.astype(np.uint64) << SHIFT | LOW - bits


def best(found, limits):
    """The best of each class.

    Args:
        found: uint64 [N], `numbers` in any order.
        limits: int [C].
    Returns:
        uint64, sorted.
    """
    found = np.sort(found)
    starts = np.searchsorted(found, np.arange(len(limits) + 1, dtype=np.uint64) << SHIFT).tolist()
    bounds = zip(itertools.pairwise(starts), map(int, limits), strict=True)
    return np.concatenate([found[start : min(start + limit, stop)] for (start, stop), limit in bounds])


def counts(found, classes):
    """int64 [classes]: how many candidates each class has."""
    return np.bincount((found >> SHIFT).astype(np.int64), minlength=classes)


def least(found, limits):
    """float32 [C]: the probability of the last of the best of each class; 0 where a class has fewer than its limit.

    Args:
        found: as `best` returns them.
        limits: int [C].
    """
    limits = np.asarray(limits)
    number = counts(found, len(limits))
    last = found[np.maximum(np.cumsum(number) - 1, 0)] if len(found) else np.zeros([len(limits)], np.uint64)
    probability = (LOW - (last & LOW)).astype(np.uint32).view(np.float32)
    # A class of which nothing is wanted takes nothing.
    return np.where(limits == 0, np.float32(np.inf), np.where(number < limits, np.float32(0), probability))


def groups(number):
    """int64 [C]: the group of each class, neighbours together, about GROUP candidates each.

    Args:
        number: int [C], candidates of each class.
    """
    before = np.cumsum(number) - number
    return np.unique(before // GROUP, return_inverse=True)[1]


class Pool:
    """The best of many candidates, sorted whenever they are twice as many as can be kept.

    Args:
        limits: int [C].
    """

    def __init__(self, limits):
        self.limits, self.parts, self.waiting, self._kept = np.asarray(limits), [], 0, 0

    def add(self, found):
        """Take `numbers`; returns the Pool."""
        self.parts.append(found)
        self.waiting += len(found)
        if self.waiting > max(self._kept, LEAST):
            self.parts, self.waiting = [self.best()], 0
            self._kept = len(self.parts[0])
        return self

    def best(self):
        """The best of all that was added, sorted."""
        return best(np.concatenate([np.zeros([0], np.uint64), *self.parts]), self.limits)
