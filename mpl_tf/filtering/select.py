"""Exact top-k per class, the same however the images are cut into chunks.

The order within a class is: probability downwards, then id upwards (bytes of UTF-8), then place. An image competes for
its --top_classes best classes, each time with that class's probability, and may be kept for several.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mpl_tf.filtering import tables

ORDER = [
    *(("class", "ascending"), ("probability", "descending")),
    *(("id", "ascending"), ("chunk", "ascending"), ("row", "ascending")),
]


def rows(scores, place, least, barred):
    """Which images of a chunk may be kept for their `place`-th best class.

    Args:
        scores: table with usable and, of that place, class and probability.
        place: from 1.
        least: float32, least probability that counts, or [C] of them, one a class.
        barred: bool [N], images that overlap an evaluation set.
    Returns:
        (rows, classes, probabilities): int64, int32 and float32 [n].
    """
    assert len(scores) == len(barred)
    usable = ~barred & scores["usable"].to_numpy(zero_copy_only=False)
    probability = scores[f"probability_{place}"].fill_null(-1.0).to_numpy()
    classes, least = scores[f"class_{place}"].fill_null(0).to_numpy(), np.asarray(least, np.float32)
    found = np.flatnonzero(usable & (probability >= (least[classes] if least.ndim else least)))
    return found, classes[found], probability[found]


def candidates(scores, chunk, top_classes, least, barred, fingerprint=""):
    """What of a chunk may be kept.

    Args:
        scores: table of tables.scores_schema.
        chunk: its number.
        top_classes: classes that an image competes for.
        least, barred: as in `rows`.
        fingerprint: what goes along for --dedup: hash or sha256; empty: nothing.
    Returns:
        Table of tables.CANDIDATES.
    """
    # For each of its best classes an image is a candidate of its own, with that class's probability.
    parts = []
    for place in range(1, top_classes + 1):
        found, classes, probability = rows(scores, place, least, barred)
        taken = scores.take(pa.array(found))
        prints = taken[fingerprint] if fingerprint else pa.nulls(len(found), tables.BYTES)
        columns = [taken["id"], taken["source"], classes, probability]
        columns += [np.full(len(found), chunk, np.int32), taken["row"], prints]
        parts.append(pa.table(columns, schema=tables.CANDIDATES))
    return pa.concat_tables(parts)


def best(table, limits):
    """The best of each class.

    Args:
        table: of tables.CANDIDATES, in any order.
        limits: int [C], how many of each class.
    Returns:
        Table in ORDER.
    """
    order = pc.sort_indices(table, sort_keys=ORDER).to_numpy()
    classes = table["class"].to_numpy()[order]
    order = order[ranks(classes) < np.asarray(limits)[classes]]
    # `take` copies all chunks into one, `filter` none: only what is left is put in order.
    left = np.zeros([len(table)], bool)
    left[order] = True
    return table.filter(pa.array(left)).take(pa.array((np.cumsum(left) - 1)[order]))


def ranks(classes):
    """int32 [N]: place of each candidate within its class, where `classes` (int [N]) is sorted."""
    if not len(classes):
        return np.zeros([0], np.int32)
    # Where each class begins; a candidate's rank is its distance from there.
    starts = np.flatnonzero(np.r_[True, classes[1:] != classes[:-1]])
    lengths = np.diff(np.r_[starts, len(classes)])
    return (np.arange(len(classes)) - np.repeat(starts, lengths)).astype(np.int32)


def copies(classes, limits):
    """How often each kept image counts so that every class has its number (Noisy Student's up-sampling).

    Args:
        classes: int [N], sorted; a class has at most its limit of them.
        limits: int [C].
    Returns:
        int32 [N], >= 1: of n images for k places each gets k // n, and the first k % n one more.
    """
    limits, present = np.asarray(limits), np.bincount(classes, minlength=len(limits))
    wanted, here = limits[classes], present[classes]
    return (wanted // here + (ranks(classes) < wanted % here)).astype(np.int32)


class Pool:
    """Candidates of many chunks, reduced to the best of each class whenever they are twice as many as can be kept.

    Args:
        limits: int [C].
    """

    def __init__(self, limits):
        self.limits, self.parts, self.waiting = np.asarray(limits), [], 0

    def add(self, table):
        """Take a table of candidates; returns the Pool."""
        self.parts.append(table)
        self.waiting += len(table)
        if self.waiting > 2 * self.limits.sum() or len(self.parts) > 1000:
            self.parts = [self.best()]
            self.waiting = 0
        return self

    def best(self):
        """The best of all that was added, in ORDER."""
        return best(pa.concat_tables([tables.CANDIDATES.empty_table(), *self.parts]), self.limits)
