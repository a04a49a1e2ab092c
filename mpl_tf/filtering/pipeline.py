"""The work on chunks, as Apache Beam pipelines: any runner of Beam's, the local one by default.

An element is a chunk of images, not an image: it is scored at the model's full speed, its scores go into a file, and
what it hands on is a table of its best candidates a class. Image bytes never pass between workers: who writes a shard
reads its images itself. Workers and the launching program see the same files (a shared file system).
"""

import functools
import threading

import numpy as np
import pyarrow as pa

from mpl_tf.base import storage
from mpl_tf.filtering import overlap, runner, score, select, tables, tally
from mpl_tf.filtering.runner import beam

_lock = threading.Lock()


def scores_path(folder, chunk):
    """Where the scores of a chunk are."""
    return storage.path(folder) / f"scores-{chunk.number:05d}.parquet"


def evaluation_path(folder, chunk):
    """Where the fingerprints of a chunk of evaluation images are."""
    return storage.path(folder) / f"fingerprints-{chunk.number:05d}.parquet"


def overlaps_path(folder, chunk):
    """Where the overlaps of a chunk with the evaluation images are."""
    return storage.path(folder) / f"overlaps-{chunk.number:05d}.parquet"


@functools.lru_cache(maxsize=1)
def _scorer(*arguments):
    return score.Scorer(*arguments)


def scorer(scoring):
    """The Scorer of these settings, one a process."""
    with _lock:
        about = (scoring.model, scoring.image_size, scoring.batch, scoring.precision, scoring.outputs)
        return _scorer(*about, scoring.resize or "crop")


@functools.lru_cache(maxsize=1)
def _evaluation(folder, paths, distance):
    return overlap.Evaluation(pa.concat_tables(tables.read(path, tables.EVALUATION) for path in paths), distance)


class Score(runner.Told):
    """Scores of a chunk into their file, unless it is there; hands the chunk on.

    Args:
        scoring: settings.Scoring.
        folder: of the scores.
        tallies: folder for what is counted; empty: nobody reads it.
    """

    def __init__(self, scoring, folder, tallies=""):
        self.scoring, self.folder, self.tallies = scoring, folder, tallies

    def work(self, chunk):
        """Chunk -> the same chunk."""
        path = scores_path(self.folder, chunk)
        if not storage.exists(path):
            own = self.scoring
            tell = tally.of(self.tallies).begin(chunk.number)
            table = score.score(chunk, scorer(own), own.top_classes, own.fingerprints, tell)
            tables.write(path, table)
            beam.metrics.Metrics.counter("filter", "images").inc(len(table))
        yield chunk


class Fingerprint(runner.Told):
    """Fingerprints of a chunk of evaluation images into their file, unless it is there."""

    def __init__(self, folder):
        self.folder = folder

    def work(self, chunk):
        """Chunk -> the same chunk."""
        path = evaluation_path(self.folder, chunk)
        if not storage.exists(path):
            tables.write(path, score.fingerprint(chunk))
        yield chunk


class Candidates(runner.Told):
    """The best of each class of a chunk that has been scored; its overlaps go into their file.

    Args:
        scores: folder of the scores.
        selection: settings.Selection.
        limits: int [C].
        work: folder for overlaps.
        evaluation: tuple of files of fingerprints; empty: nothing to compare with.
        tallies: folder for what is counted; empty: nobody reads it.
    """

    def __init__(self, scores, selection, limits, work, evaluation, tallies=""):
        self.tallies = tallies
        self.scores, self.selection, self.limits = scores, selection, limits
        self.folder, self.evaluation = work, evaluation

    def work(self, chunk):
        """Chunk -> table of tables.CANDIDATES."""
        # Overlapping images are no candidates, so that the next best take their places.
        own = self.selection
        table = tables.read(scores_path(self.scores, chunk), tables.scores_schema(own.top_classes))
        barred = overlapping(self.folder, self.evaluation, own.distance, chunk, table)
        found = select.candidates(table, chunk.number, own.top_classes, own.min_probability, barred, own.dedup)
        tally.of(self.tallies).select(chunk.number, found["class"].to_numpy(), len(self.limits))
        yield select.best(found, self.limits)


def overlapping(folder, evaluation, distance, chunk, table):
    """bool [N]: the images of a chunk that overlap the evaluation images; found once, then read from their file."""
    barred = np.zeros([len(table)], bool)
    if evaluation:
        path = overlaps_path(folder, chunk)
        if not storage.exists(path):
            # Threads of a worker share one index of the evaluation images.
            with _lock:
                known = _evaluation(folder, evaluation, distance)
            tables.write(path, known.overlaps(table))
        barred[tables.read(path, tables.OVERLAPS)["row"].to_numpy()] = True
    return barred


class Best(beam.CombineFn):
    """Tables of candidates -> the best of each class."""

    def __init__(self, limits):
        self.limits = limits

    def create_accumulator(self):
        """A select.Pool."""
        return select.Pool(self.limits)

    def add_input(self, accumulator, element):
        """Pool and table -> Pool."""
        return accumulator.add(element)

    def merge_accumulators(self, accumulators):
        """Pools -> Pool."""
        merged = self.create_accumulator()
        for pool in accumulators:
            merged.add(pool.best())
        return merged

    def extract_output(self, accumulator):
        """Pool -> table in select.ORDER."""
        return accumulator.best()


class _Keep(beam.DoFn):
    """Puts the one result of a pipeline where `run` finds it: a file, as a worker may be another machine."""

    def __init__(self, path):
        self.path = path

    def process(self, table):
        """Table -> nothing."""
        tables.write(self.path, table)


def fingerprint(chunks, folder, arguments):
    """Fingerprint evaluation images: a file a chunk in `folder`."""
    runner.run(arguments, lambda p: p | beam.Create(chunks) | beam.ParDo(Fingerprint(folder)))


def select_best(chunks, scoring, scores, candidates, output, arguments):
    """Score what has not been scored and find the best of each class.

    Args:
        chunks: list of inputs.Chunk.
        scoring: settings.Scoring; None where all are scored.
        scores: folder of the scores.
        candidates: the DoFn Candidates.
        output: file for the best, a table in select.ORDER.
        arguments: list of str, Beam's own flags.
    """

    # Chunks are spread over the workers; each gives a small table, and these are joined two by two.
    def build(p):
        found = p | beam.Create(chunks) | beam.Reshuffle()
        if scoring:
            found = found | beam.ParDo(Score(scoring, scores, candidates.tallies))
        best = found | beam.ParDo(candidates) | beam.CombineGlobally(Best(candidates.limits)).without_defaults()
        return best | beam.ParDo(_Keep(output))

    runner.run(arguments, build)
