"""What a run leaves: the tables of kept, rejected and odd images, and the counts."""

import collections
import dataclasses
import functools

import numpy as np
import pyarrow as pa

from mpl_tf.filtering import pipeline, select, tables
from mpl_tf.filtering.pairs import Pair, Pairs
from mpl_tf.filtering.parts import Parts

BINS = 20  # Of the probability histograms.
ROWS = 1 << 20  # Of kept.parquet that lie together.
READ = ("id", "source", "problem", "detail", "usable")  # Of the scores, to tell what became of an image.


@dataclasses.dataclass
class Selected:
    """What was chosen.

    Attributes:
        kept: table of parts.NUMBERS in select.ORDER.
        copies: int32 [N], how often each counts.
        limits: int64 [C].
        duplicates: table of tables.DUPLICATES in the order of chunks and rows, of images left out as such.
        parts: parts.Parts, the candidates, in whose files ids and sources are.
        mask: bool, which of them are kept.
    """

    kept: pa.Table
    copies: np.ndarray
    limits: np.ndarray
    duplicates: pa.Table
    parts: Parts
    mask: np.ndarray

    @functools.cached_property
    def images(self):
        """Kept images, each once: table of tables.SHARD in the order of chunks and rows.

        Class and probability are those of its most probable class, copies those of all its classes together.
        """
        # An image's classes stand side by side, the most probable first.
        image = self.kept["chunk"].to_numpy().astype(np.int64) << 32 | self.kept["row"].to_numpy()
        order = np.lexsort([-self.kept["probability"].to_numpy(), image])
        first = np.unique(image[order], return_index=True)[1]
        found = self.kept.select(tables.SHARD.names[:-1]).take(pa.array(order[first]))
        copies = np.add.reduceat(self.copies[order], first) if len(first) else self.copies
        return found.append_column(tables.SHARD.field("copies"), pa.array(copies, pa.int32()))


@dataclasses.dataclass
class Counts:
    """What was counted while the tables were written.

    Attributes:
        classes: C.
        min_probability: of the selection.
        images: all.
        reasons: Counter of the reasons for leaving out.
        problems: Counter of (problem, whether the image was used).
        predicted: int64 [C], images by best class.
        histogram: int64 [C, BINS], the same by probability, bins of equal width over [0, 1].
        overlaps: Pairs of the images left out and those that they overlap.
    """

    classes: int
    min_probability: float
    images: int = 0
    reasons: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    problems: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    overlaps: Pairs = dataclasses.field(default_factory=Pairs)

    def __post_init__(self):
        self.predicted = np.zeros([self.classes], np.int64)
        self.histogram = np.zeros([self.classes, BINS], np.int64)

    def add(self, table):
        """Count the images of a chunk's scores."""
        self.images += len(table)
        flags = zip(table["problem"].to_pylist(), table["usable"].to_pylist(), strict=True)
        self.problems.update(flag for flag in flags if flag[0])
        scored = table.filter(table["usable"])
        classes, probability = scored["class_1"].to_numpy(), scored["probability_1"].to_numpy()
        self.predicted += np.bincount(classes, minlength=self.classes)
        self.histogram += histogram(classes, probability, self.classes)

    def summary(self, chosen, names):
        """The counts as summary.json has them.

        Args:
            chosen: Selected.
            names: of the classes.
        """
        classes, probability = chosen.kept["class"].to_numpy(), chosen.kept["probability"].to_numpy()
        kept = np.bincount(classes, minlength=self.classes)
        least, shown = np.full([self.classes], np.nan), np.zeros([self.classes], np.int64)
        np.fmin.at(least, classes, probability)
        np.add.at(shown, classes, chosen.copies)
        reasons = ("unreadable", "overlaps", "below_threshold", "beyond_top_k")
        return {
            "images": self.images,
            "kept_images": len(chosen.images),
            "images_an_epoch": int(chosen.copies.sum()),
            "rejected": {reason: self.reasons[reason] for reason in reasons},
            "problems": {
                problem: {"count": count, "used": used} for (problem, used), count in sorted(self.problems.items())
            },
            "classes": [
                {
                    "class": number,
                    "name": name,
                    "wanted": int(chosen.limits[number]),
                    "predicted": int(self.predicted[number]),
                    "kept": int(kept[number]),
                    "copies": int(shown[number]),
                    "least_probability": None if np.isnan(least[number]) else float(least[number]),
                }
                for number, name in enumerate(names)
            ],
        }


def histogram(labels, probability, classes):
    """int64 [classes, BINS]: how many of the images [N] of each class have such a probability."""
    counts = np.zeros([classes, BINS], np.int64)
    np.add.at(counts, (labels, np.minimum((probability * BINS).astype(int), BINS - 1)), 1)
    return counts


def write_tables(chunks, scores, work, chosen, min_probability, output):
    """Write kept.parquet, rejected.parquet and problems.parquet; one chunk in memory at a time.

    Args:
        chunks: list of inputs.Chunk.
        scores: folder of their scores.
        work: folder of their overlaps; None where nothing was compared.
        chosen: Selected.
        min_probability: of the selection.
        output: folder of the tables.
    Returns:
        Counts.
    """
    read = _Reading(chosen, min_probability)
    # What the two other tables need is noted while the chunks go by for the first.
    rejected = (read.rejected(chunk, scores, work) for chunk in chunks)
    tables.write_parts(output / "rejected.parquet", tables.REJECTED, rejected)
    tables.write_parts(output / "problems.parquet", tables.PROBLEMS, read.problems)
    tables.write_parts(output / "kept.parquet", tables.KEPT, tables.cut(_kept(chosen), tables.KEPT, ROWS))
    return read.counts


def _kept(chosen):
    """Tables of tables.KEPT, a group of classes each."""
    ranks, start = select.ranks(chosen.kept["class"].to_numpy()), 0
    for first, candidates in chosen.parts.tables(*tables.KEPT.names[:4]):
        found = candidates.filter(pa.array(chosen.mask[first : first + len(candidates)]))
        stop = start + len(found)
        yield pa.table([*found, ranks[start:stop], chosen.copies[start:stop]], schema=tables.KEPT)
        start = stop


class _Reading:
    """One pass over the chunks' scores.

    Args:
        chosen: Selected.
        min_probability: of the selection.

    Attributes:
        counts: Counts of the chunks that were read.
        problems: list of tables of tables.PROBLEMS, one a chunk.
    """

    def __init__(self, chosen, min_probability):
        self.counts, self.problems = Counts(len(chosen.limits), min_probability), []
        # Kept images by chunk: the places of chunk c are order[first:stop] where chunks[first:stop] == c.
        chunks, self._rows = (chosen.kept[name].to_numpy() for name in ("chunk", "row"))
        self._order = np.argsort(chunks, kind="stable")
        self._chunks, self._duplicates = chunks[self._order], chosen.duplicates
        self._duplicate_chunks = chosen.duplicates["chunk"].to_numpy()

    def rejected(self, chunk, scores, work):
        """Table of tables.REJECTED of a chunk; arguments as in `write_tables`."""
        table = tables.read(pipeline.scores_path(scores, chunk), tables.scores_schema(1, READ), only=True)
        self.counts.add(table)
        odd = table.filter(pa.array([bool(problem) for problem in table["problem"].to_pylist()], pa.bool_()))
        self.problems.append(odd.select(tables.PROBLEMS.names))
        own = [chunk.number, chunk.number + 1]
        rows = self._rows[self._order[slice(*np.searchsorted(self._chunks, own))]]
        first, stop = np.searchsorted(self._duplicate_chunks, own)
        duplicates = self._duplicates.slice(first, stop - first).select(tables.OVERLAPS.names)
        overlaps = tables.FOUND.empty_table()
        if work:
            overlaps = tables.read(pipeline.overlaps_path(work, chunk), tables.FOUND)
        return _rejected(table, chunk.number, rows, overlaps, duplicates, self.counts)


def _rejected(table, chunk, kept, overlaps, duplicates, counts):
    """The images of a chunk that are not kept; their reasons are counted.

    Args:
        table: scores of the chunk.
        chunk: its number.
        kept: int [k], rows of its kept images.
        overlaps: table of tables.FOUND, its overlaps with the evaluation images.
        duplicates: table of tables.OVERLAPS, those with kept ones.
        counts: Counts.
    Returns:
        Table of tables.REJECTED.
    """
    count = len(table)
    usable = table["usable"].to_numpy(zero_copy_only=False)
    is_kept = np.zeros([count], bool)
    is_kept[kept] = True
    # One reason an image, the first that holds: unreadable, overlaps, below_threshold, beyond_top_k.
    reason = np.where(usable, "", "unreadable").astype(object)
    other, distance, measure = (np.full([count], None, object) for _ in range(3))
    found = [("evaluation", *one.values()) for one in overlaps.to_pylist()]
    found += [("unlabeled", *one.values(), None) for one in duplicates.to_pylist()]
    labels = table["class_1"].to_pylist() if found else ()
    for what, row, name, other_chunk, other_row, bits, by in found:
        if is_kept[row]:  # As another of its classes.
            continue
        reason[row], other[row], distance[row], measure[row] = "overlaps", name, bits, by
        counts.overlaps.add(Pair(what, (chunk, row), (other_chunk, other_row), bits, labels[row], by))
    left = (reason == "") & ~is_kept
    low = table["probability_1"].fill_null(1.0).to_numpy() < np.float32(counts.min_probability)
    reason[left] = np.where(low[left], "below_threshold", "beyond_top_k")
    # The rows that are left, as columns of the table.
    rows = np.flatnonzero(~is_kept)
    counts.reasons.update(reason[rows].tolist())
    taken = table.take(pa.array(rows))
    columns = [taken["id"], taken["source"], taken["class_1"], taken["probability_1"], pa.nulls(len(rows), pa.int32())]
    columns += [pa.array(values[rows], kind) for values, kind in ((reason, tables.TEXT), (other, tables.TEXT))]
    columns += [pa.array(distance[rows], pa.int32()), pa.array(measure[rows], tables.TEXT), taken["detail"]]
    return pa.table(columns, schema=tables.REJECTED)
