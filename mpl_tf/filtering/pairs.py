"""Pairs of overlapping images, for the report: all are counted by their distances, a few of each are kept."""

import collections
from typing import NamedTuple

SHOWN = 96  # In the page, with two small pictures each: about half a megabyte.
SETS = ("evaluation", "unlabeled")


class Pair(NamedTuple):
    """An image that was left out, and the one that it overlaps.

    Attributes:
        what: of SETS, the one that the other image is from.
        image, other: (chunk, row) of each.
        distance: of their hashes, bits.
        label: number of the left out image's best class.
    """

    what: str
    image: tuple
    other: tuple
    distance: int
    label: int


class Pairs:
    """The pairs of a run.

    Args:
        most: pairs that `shown` gives at most.

    Attributes:
        counts: dict of each of SETS to a Counter of distances, of all pairs.
    """

    def __init__(self, most=SHOWN):
        self.most, self.counts = most, {what: collections.Counter() for what in SETS}
        self._kept = collections.defaultdict(list)  # Of each distance, the first ones.

    def add(self, pair):
        """Count a Pair."""
        self.counts[pair.what][pair.distance] += 1
        if len(self._kept[pair.distance]) < self.most:
            self._kept[pair.distance].append(pair)

    @property
    def total(self):
        """How many there are."""
        return sum(counter.total() for counter in self.counts.values())

    def shown(self):
        """List of at most `most` Pairs, the farthest first.

        Each distance gives as many as there is room for, so that any threshold has pairs on both its sides.
        """
        # One of each distance in turn, from the farthest on, until all places are taken.
        distances = sorted(self._kept, reverse=True)
        most, room = collections.Counter(), self.most
        while room and (left := [one for one in distances if most[one] < len(self._kept[one])]):
            most.update(left[:room])
            room -= len(left[:room])
        return [pair for one in distances for pair in self._kept[one][: most[one]]]
