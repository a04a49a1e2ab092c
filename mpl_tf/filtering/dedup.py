"""The best of each class of which no two overlap, among tens of millions of images.

The images are gone through from the most probable down, whatever their class; one is kept if its class has room and no
image kept before overlaps it. That is one long chain of decisions, of which few depend on others: an image that
overlaps no other is kept wherever there is room. So the images go by in batches, what overlaps what is looked for among
those of the batch and those kept before, by arrays, and only those that overlap something are gone through one by one.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mpl_tf.filtering import near

FIRST, GROWTH = 1 << 18, 8  # Images of the first batch, and how much longer each next one is.
MOST_PAIRS = 1 << 24  # That a batch may have; of one that has more each half is a batch.
BLOCK = 1 << 16  # Images that are Python's objects at a time.


@dataclasses.dataclass
class Pool:
    """Candidates in select.ORDER.

    Attributes:
        classes: int32 [N].
        probability: float32 [N].
        image: int64 [N], chunk and row in one number; the same where an image stands for several classes.
        groups: int32 [N], images with equal fingerprints have equal numbers, from 0.
        words: uint64 [W, G], the fingerprint of each group, as near.spread gives it.
        ids: function of places (int64 [n], sorted) that returns their ids, an Arrow array.
    """

    classes: np.ndarray
    probability: np.ndarray
    image: np.ndarray
    groups: np.ndarray
    words: np.ndarray
    ids: Callable


@dataclasses.dataclass
class Dropped:
    """Images that overlap a kept one, each once.

    Attributes:
        place, other: int64 [D], theirs in the pool, and that of the nearest one kept before.
        bits: int64 [D], how far off that is.
    """

    place: np.ndarray
    other: np.ndarray
    bits: np.ndarray


def grouped(words):
    """(groups, words) as a Pool has them, of fingerprints uint64 [W, N]."""
    order = np.lexsort(words)
    new = np.ones([len(order)], bool)
    for column in words:
        new[1:] &= column[order[1:]] == column[order[:-1]]
    new[1:] = ~new[1:]
    groups = np.empty([len(order)], np.int32)
    groups[order] = np.cumsum(new, dtype=np.int32) - 1
    return groups, near.spread(words[:, order[new]])


def without_duplicates(pool, limits, distance, first=FIRST, most=MOST_PAIRS, each=near.of_lists):
    """Choose; exact, whatever the batches.

    Args:
        pool: Pool.
        limits: int [C].
        distance: largest Hamming distance that overlaps, bits; 0 and less: equal fingerprints alone.
        first: images of the first batch.
        most: pairs of a batch.
        each: function as near.of_lists.
    Returns:
        (kept, dropped): bool [N]; Dropped.
    """
    choice, count = _Choice(pool, limits, distance, each), len(pool.classes)
    stop = 0
    while stop < count:
        start, stop = stop, choice.end(min(max(first, GROWTH * stop), count))
        waiting = [(start, stop)]
        while waiting:
            begin, end = waiting.pop()
            middle = choice.end((begin + end) // 2)
            try:
                choice.go(begin, end, most if begin < middle < end else None)
            except near.TooManyError:
                waiting += [(middle, end), (begin, middle)]
    return choice.kept, choice.dropped()


class _Choice:
    """What is chosen so far; arguments as `without_duplicates` has them."""

    def __init__(self, pool, limits, distance, each):
        self._pool, self._distance, self._each, self._room = pool, distance, each, np.array(limits, np.int64)
        self.kept = np.zeros([len(pool.classes)], bool)
        # Of equal probabilities the order by ids is found out where it matters, within a batch.
        self._order = np.argsort(-pool.probability, kind="stable")
        self._falling = -pool.probability[self._order]
        # Of each group, the place of its kept image, the first of them where that stands for several classes; -1: none.
        self._holder = np.full([pool.words.shape[1]], -1, np.int64)
        self._dropped, self._ties = [], []

    def end(self, at):
        """Where a batch may end, at `at` or beyond: not within images of one probability."""
        return int(np.searchsorted(self._falling, self._falling[at - 1], side="right")) if at else 0

    def dropped(self):
        """The Dropped so far; an image that was for several classes is told once."""
        found = np.array(self._dropped, np.int64).reshape(-1, 3)
        first = np.sort(np.unique(self._pool.image[found[:, 0]], return_index=True)[1])
        return Dropped(*found[first].T)

    def go(self, start, stop, most):
        """Decide on the images from `start` to `stop`, all those before being decided on.

        Raises:
            near.TooManyError: more than `most` pairs overlap; nothing was decided.
        """
        # In the order of their places, that is by class, and in a class from the best down.
        rows = np.sort(self._order[start:stop])
        rows = rows[self._room[self._pool.classes[rows]] > 0]
        groups = self._pool.groups[rows]
        pairs = _Neighbours(*self._pairs(groups, most))
        alone = ~(self._holder >= 0)[groups] & ~pairs.has(groups) & (np.bincount(groups)[groups] == 1)
        # Those that overlap something, one by one; then the others, wherever their class has room.
        stays = alone.copy()
        stays[~alone] = self._one_by_one(rows, alone, pairs)
        stays &= _before(stays, self._pool.classes[rows]) < self._room[self._pool.classes[rows]]
        self.kept[rows[stays]] = True
        self._holder[groups[stays & alone]] = rows[stays & alone]
        self._room -= np.bincount(self._pool.classes[rows[stays]], minlength=len(self._room))

    def _pairs(self, groups, most):
        """(one, other, bits): groups of a batch, and of what is kept, that overlap, but are not equal."""
        fresh = np.unique(groups[self._holder[groups] < 0])
        if self._distance <= 0 or not len(fresh):
            return (np.zeros([0], np.int64),) * 3
        known = np.flatnonzero(self._holder >= 0)
        members = np.concatenate([known, fresh])
        one, other, bits = near.pairs(self._pool.words[:, members], len(known), self._distance, most, self._each)
        return members[one], members[other], bits

    def _one_by_one(self, rows, alone, pairs):
        """bool: which of the images that are not alone stay, in the order of their places; arguments as in `go`."""
        pool, places = self._pool, rows[~alone]
        ids = pool.ids(places)
        falling = pa.table([-pool.probability[places], ids, pool.image[places], places], names=["p", "id", "i", "at"])
        order = pc.sort_indices(falling, sort_keys=[(name, "ascending") for name in falling.column_names]).to_numpy()
        before = _before(alone, pool.classes[rows])[~alone]
        columns = (places, pool.classes[places], pool.groups[places], pool.image[places], before)
        more, stays = np.zeros([len(self._room)], np.int64), np.zeros([len(places)], bool)
        for at, place, label, group, image, ahead in _rows(order, *(column[order] for column in columns)):
            if ahead + more[label] >= self._room[label]:
                continue
            nearest = self._nearest(group, image, pairs)
            if nearest:
                self._drop(place, *nearest)
                continue
            stays[at] = True
            more[label] += 1
            holder = self._holder[group]
            self._holder[group] = place if holder < 0 else min(holder, place)
        self._settle()
        return stays

    def _nearest(self, group, image, pairs):
        """(bits, places) of the nearest kept images that overlap one, but are not itself; None where there is none."""
        holder = self._holder[group]
        if holder >= 0:
            # What is kept overlaps nothing else that is kept.
            return None if self._pool.image[holder] == image else (0, [int(holder)])
        others = [(bits, int(self._holder[other])) for other, bits in pairs.of(group) if self._holder[other] >= 0]
        others = [(bits, other) for bits, other in others if self._pool.image[other] != image]
        least = min(others, default=(None,))[0]
        return (least, [other for bits, other in others if bits == least]) if others else None

    def _drop(self, place, bits, others):
        if len(others) > 1:
            self._ties.append((len(self._dropped), sorted(others)))
        self._dropped.append((place, others[0], bits))

    def _settle(self):
        """Of kept images that are equally near the first by id is told."""
        if self._ties:
            places = np.unique(np.concatenate([others for _, others in self._ties]))
            ids = dict(zip(places.tolist(), self._pool.ids(places).to_pylist(), strict=True))
            for at, others in self._ties:
                place, _, bits = self._dropped[at]
                self._dropped[at] = place, min(others, key=lambda other: (ids[other], other)), bits
        self._ties = []


class _Neighbours:
    """Which groups overlap which; arguments as _Choice._pairs returns them."""

    def __init__(self, one, other, bits):
        source = np.concatenate([one, other])
        order = np.argsort(source, kind="stable")
        self._source, self._found = source[order], np.concatenate([other, one])[order]
        self._bits = np.concatenate([bits, bits])[order]

    def has(self, groups):
        """bool [N]: whether each group overlaps another."""
        return np.isin(groups, self._source)

    def of(self, group):
        """(other group, bits) of each that a group overlaps."""
        first, stop = np.searchsorted(self._source, [group, group + 1])
        return zip(self._found[first:stop].tolist(), self._bits[first:stop].tolist(), strict=True)


def _before(marked, classes):
    """int64 [N]: how many marked ones of its class stand before each; `classes` are sorted."""
    count = np.cumsum(marked) - marked
    return count - count[np.searchsorted(classes, classes)]


def _rows(*columns):
    """The rows of arrays as Python's numbers, some at a time."""
    for start in range(0, len(columns[0]), BLOCK):
        yield from zip(*(column[start : start + BLOCK].tolist() for column in columns), strict=True)
