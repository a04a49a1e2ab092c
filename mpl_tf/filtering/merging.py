"""The best of each class of all chunks, merged by groups of classes: no worker holds more than a group's candidates.

What goes from worker to worker is numbers and names of files. First each chunk gives the probabilities of its best
(survey.py), from which follows which images may be among the best of all. Of these a batch of chunks leaves ids, places
and fingerprints in a file with a part a group of classes, and a group is merged from such parts.
"""

import dataclasses
import functools
import itertools

import numpy as np
import pyarrow as pa

from mpl_tf.base import storage
from mpl_tf.filtering import pipeline, runner, select, settings, survey, tables, tally
from mpl_tf.filtering.overlap import EXACT
from mpl_tf.filtering.runner import beam

BATCH = 1 << 20  # Images of a batch of chunks: a hundred files of candidates for a hundred million images.


@dataclasses.dataclass(frozen=True, eq=False)
class Choice:
    """What is asked for, and where it is found and left.

    Attributes:
        scores: folder of the scores.
        selection: settings.Selection.
        limits: int [C], how many of each class.
        work: folder for overlaps with evaluation images.
        folder: for candidates and the best of each group.
        evaluation: tuple of files of fingerprints; empty: nothing to compare with.
        tallies: folder for what is counted; empty: nobody reads it.
    """

    scores: str
    selection: settings.Selection
    limits: np.ndarray
    work: str
    folder: str
    evaluation: tuple = ()
    tallies: str = ""

    @property
    def fingerprint(self):
        """What --dedup compares: a column of the scores; empty where nothing is compared."""
        if not self.selection.dedup:
            return ""
        return "sha256" if self.selection.distance == EXACT else "hash"

    def read(self, chunk, *columns):
        """(scores, barred): table of a chunk with these columns and its best classes; bool [N], who is no candidate."""
        # Overlapping images are none, so that the next best take their places.
        schema = tables.scores_schema(self.selection.top_classes, ("usable", *columns))
        table = tables.read(pipeline.scores_path(self.scores, chunk), schema, only=True)
        about = (self.work, self.evaluation, self.selection.distance, chunk)
        return table, pipeline.overlapping(self.scores, *about, len(table))


def survey_path(folder):
    """Where the table of tables.SURVEY is."""
    return storage.path(folder) / "survey.parquet"


def candidates_path(folder, batch):
    """Where the candidates of a batch of chunks are, a part a group of classes."""
    return storage.path(folder) / f"candidates-{batch:05d}.parquet"


def best_path(folder, group):
    """Where the best of a group of classes are."""
    return storage.path(folder) / f"best-{group:05d}.parquet"


def best_paths(folder):
    """list of those that are there, in the order of the classes."""
    folder = storage.path(folder)
    return [folder / name for name in sorted(storage.names(folder)) if name.startswith("best-")]


def batches(chunks):
    """list of (number, list of inputs.Chunk): chunks side by side, of about BATCH images together."""
    ends = np.cumsum([len(chunk) for chunk in chunks])
    cuts = np.flatnonzero(np.diff(ends // BATCH)) + 1
    starts = [0, *cuts.tolist(), len(chunks)]
    return [(number, chunks[start:stop]) for number, (start, stop) in enumerate(itertools.pairwise(starts))]


@functools.lru_cache(maxsize=2)
def _surveyed(path):
    return tables.read(path, tables.SURVEY)


class Survey(runner.Told):
    """How probable the candidates of a chunk are; its overlaps with evaluation images go into their file."""

    def __init__(self, choice):
        self.choice = choice

    def work(self, chunk):
        """Chunk that is scored -> uint64 [n], survey.numbers of its best."""
        own, (table, barred), found = self.choice.selection, self.choice.read(chunk), []
        for place in range(1, own.top_classes + 1):
            found.append(survey.numbers(*select.rows(table, place, own.min_probability, barred)[1:]))
        found = np.concatenate(found)
        classes = (found >> survey.SHIFT).astype(np.int64)
        tally.of(self.choice.tallies).survey(chunk.number, classes, len(self.choice.limits))
        yield survey.best(found, self.choice.limits)


class Numbers(beam.CombineFn):
    """survey.numbers of chunks -> those of the best of each class."""

    def __init__(self, limits):
        self.limits = limits

    def create_accumulator(self):
        """A survey.Pool."""
        return survey.Pool(self.limits)

    def add_input(self, accumulator, element):
        """Pool and numbers -> Pool."""
        return accumulator.add(element)

    def merge_accumulators(self, accumulators):
        """Pools -> Pool."""
        merged = self.create_accumulator()
        for pool in accumulators:
            merged.add(pool.best())
        return merged

    def extract_output(self, accumulator):
        """Pool -> uint64, sorted."""
        return accumulator.best()


class Cut(runner.Told):
    """Writes down how probable a candidate has to be, and the groups of classes; hands on the batches of chunks.

    Args:
        choice: Choice.
        found: list of `batches`.
    """

    def __init__(self, choice, found):
        self.choice, self.found = choice, found

    def work(self, numbers):
        """survey.numbers of the best of all -> batches."""
        limits = self.choice.limits
        groups = survey.groups(survey.counts(numbers, len(limits)))
        least = survey.least(numbers, limits)
        tables.write(survey_path(self.choice.folder), pa.table([least, groups.astype(np.int32)], schema=tables.SURVEY))
        yield from self.found


class Candidates(runner.Told):
    """The candidates of a batch of chunks into a file, a part a group of classes."""

    def __init__(self, choice):
        self.choice = choice

    def work(self, element):
        """Batch -> (group, (number of the batch, number of the part)) of each."""
        (number, chunks), choice = element, self.choice
        about, own = _surveyed(str(survey_path(choice.folder))), choice.selection
        least = np.maximum(about["least"].to_numpy(), np.float32(own.min_probability))
        pool = select.Pool(choice.limits)
        for chunk in chunks:
            table, barred = choice.read(chunk, "id", "source", "row", choice.fingerprint)
            pool.add(select.candidates(table, chunk.number, own.top_classes, least, barred, choice.fingerprint))
            tally.of(choice.tallies).select(chunk.number)
        best = pool.best()
        groups = about["group"].to_numpy()[best["class"].to_numpy()]
        present, starts = np.unique(groups, return_index=True)
        bounds = itertools.pairwise([*starts, len(best)])  # None where nothing is left.
        parts = (best.slice(start, stop - start) for start, stop in bounds)
        tables.write_parts(candidates_path(choice.folder, number), tables.CANDIDATES, parts)
        yield from ((int(group), (number, part)) for part, group in enumerate(present))


class Merge(runner.Told):
    """The best of a group of classes into their file."""

    def __init__(self, choice):
        self.choice = choice

    def work(self, element):
        """(group, its parts as Candidates tells them) -> group."""
        (group, parts), folder = element, self.choice.folder
        groups = _surveyed(str(survey_path(folder)))["group"].to_numpy()
        pool = select.Pool(np.where(groups == group, self.choice.limits, 0))
        for batch, part in sorted(parts):
            pool.add(tables.read(candidates_path(folder, batch), tables.CANDIDATES, part=part))
        tables.write(best_path(folder, group), pool.best())
        yield group


def select_best(chunks, scoring, choice, arguments):
    """Score what has not been scored and find the best of each class: a file a group of classes.

    Args:
        chunks: list of inputs.Chunk.
        scoring: settings.Scoring; None where all are scored.
        choice: Choice.
        arguments: list of str, Beam's own flags.
    """

    # Chunks are spread over the workers; how probable the best are is known before any id is read. Then batches of
    # chunks are spread, each of which leaves its candidates in a file, and groups of classes, whose parts are merged.
    def build(p):
        found = p | beam.Create(chunks) | beam.Reshuffle()
        if scoring:
            found = found | beam.ParDo(pipeline.Score(scoring, choice.scores, choice.tallies))
        best = found | beam.ParDo(Survey(choice)) | beam.CombineGlobally(Numbers(choice.limits)).without_defaults()
        cut = best | beam.ParDo(Cut(choice, batches(chunks))) | "Spread" >> beam.Reshuffle()
        return cut | beam.ParDo(Candidates(choice)) | beam.GroupByKey() | beam.ParDo(Merge(choice))

    runner.run(arguments, build)
