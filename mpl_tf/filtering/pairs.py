"""Pairs of overlapping images, for the report: all are counted by their distances, a few of each are kept."""

import collections
from typing import NamedTuple

SHOWN = 96  # In the page, with two small pictures each: about half a megabyte.
SETS = ("evaluation", "unlabeled")
# How far off an image is, by what it was found by; --distance decides of the first alone.
BITS = (None, "pixels", "hash")
OTHERS = {"smooth": "by their pixels at 8 x 8", "features": "by the cosine of their features"}


class Pair(NamedTuple):
    """An image that was left out, and the one that it overlaps.

    Attributes:
        what: of SETS, the one that the other image is from.
        image, other: (chunk, row) of each.
        distance: of their hashes, bits, or as `measure` says.
        label: number of the left out image's best class.
        measure: as tables.FOUND has it; None within the unlabeled images.
    """

    what: str
    image: tuple
    other: tuple
    distance: int
    label: int
    measure: str | None = None

    @property
    def bits(self):
        """Whether the distance is of hashes."""
        return self.measure in BITS

    @property
    def told(self):
        """The distance in words."""
        if self.measure == "features":
            return f"cosine {1 - self.distance / 1000:.3f}"
        return f"{self.distance} {'bits' if self.bits else 'grey levels'} off"


class Pairs:
    """The pairs of a run.

    Args:
        most: pairs that `shown` gives at most.

    Attributes:
        counts: dict of each of SETS to a Counter of distances of hashes, of all pairs.
        others: Counter of the measures of all pairs that are told by another one.
    """

    def __init__(self, most=SHOWN):
        self.most, self.counts = most, {what: collections.Counter() for what in SETS}
        self.others = collections.Counter()
        self._kept = collections.defaultdict(list)  # Of each measure and distance, the first ones.

    def add(self, pair):
        """Count a Pair."""
        if pair.bits:
            self.counts[pair.what][pair.distance] += 1
        else:
            self.others[pair.measure] += 1
        # Of cosines the hundredths, so that they leave room for the others.
        kept = self._kept["" if pair.bits else pair.measure, pair.distance // (10 if pair.measure == "features" else 1)]
        if len(kept) < self.most:
            kept.append(pair)

    @property
    def total(self):
        """How many there are."""
        return sum(counter.total() for counter in (*self.counts.values(), self.others))

    def shown(self):
        """List of at most `most` Pairs, the farthest first, those of hashes last.

        Each distance gives as many as there is room for, so that any threshold has pairs on both its sides.
        """
        # One of each distance in turn, from the farthest on, until all places are taken.
        distances = sorted(self._kept, reverse=True)
        most, room = collections.Counter(), self.most
        while room and (left := [one for one in distances if most[one] < len(self._kept[one])]):
            most.update(left[:room])
            room -= len(left[:room])
        chosen = [self._kept[one][: most[one]] for one in distances]
        return [pair for some in chosen for pair in sorted(some, key=lambda pair: -pair.distance)]
