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
from mpl_tf.filtering import embedding, features, overlap, runner, score, smooth, tables, tally
from mpl_tf.filtering.runner import beam

_lock = threading.Lock()


def scores_path(folder, chunk):
    """Where the scores of a chunk are."""
    return storage.path(folder) / f"scores-{chunk.number:05d}.parquet"


def is_scored(folder, chunk, embedded, there=None):
    """Whether all that is noted of a chunk is there: its scores, and its features, which a user may have removed.

    Args:
        folder: of the scores.
        chunk: inputs.Chunk.
        embedded: whether features are noted.
        there: names of what lies in the folder, where these are known.
    """
    paths = [scores_path(folder, chunk), *([features.path(folder, chunk)] if embedded else ())]
    return all(storage.exists(path) if there is None else path.name in there for path in paths)


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
def _backbone(*arguments):
    return features.Backbone(*arguments)


def embedder(scoring):
    """What makes the features that --overlap=embedding compares: the backbone or the Scorer, one a process; or None."""
    if not scoring.embedded:
        return None
    if not scoring.backbone:
        return scorer(scoring)
    with _lock:
        return _backbone(scoring.backbone, scoring.batch, scoring.resize or "crop")


def excluded(work):
    """Folder of the evaluation images' fingerprints."""
    return storage.path(work) / "exclude"


@functools.lru_cache(maxsize=1)
def _evaluation(folder, paths, distance):
    table = pa.concat_tables(tables.read(path, tables.EVALUATION) for path in paths)
    return overlap.Evaluation(table, distance, embedding.known(excluded(folder)))


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
        own, path = self.scoring, scores_path(self.folder, chunk)
        if not is_scored(self.folder, chunk, own.embedded):
            tell = tally.of(self.tallies).begin(chunk.number)
            about = (scorer(own), own.top_classes, own.fingerprints, tell, embedder(own))
            table, plain, noted = score.score(chunk, *about)
            smooth.write(self.folder, chunk, plain)
            if own.embedded:
                tables.write(features.path(self.folder, chunk), noted)
            tables.write(path, table)  # The last, as it says that the chunk is done.
            beam.metrics.Metrics.counter("filter", "images").inc(len(table))
        yield chunk


class Fingerprint(runner.Told):
    """Fingerprints of a chunk of evaluation images into their file, and their features, unless it is there.

    Args:
        folder: of the files.
        scoring: settings.Scoring of the network that the features are of; None: none are made.
    """

    def __init__(self, folder, scoring=None):
        self.folder, self.scoring = folder, scoring

    def work(self, chunk):
        """Chunk -> the same chunk."""
        path = evaluation_path(self.folder, chunk)
        if not storage.exists(path):
            table, noted = score.fingerprint(chunk, self.scoring and embedder(self.scoring))
            if self.scoring:
                tables.write(features.path(self.folder, chunk), noted)
            tables.write(path, table)
        yield chunk


def overlapping(scores, folder, evaluation, distance, chunk, count):
    """bool [count]: the images of a chunk that overlap the evaluation images; found once, then read from their file.

    Args:
        scores: folder of the scores.
        folder: for overlaps.
        evaluation: tuple of files of fingerprints; empty: nothing to compare with.
        distance: as overlap.Evaluation's.
        chunk: inputs.Chunk.
        count: its images.
    """
    barred = np.zeros([count], bool)
    if evaluation:
        path = overlaps_path(folder, chunk)
        if not storage.exists(path):
            # Threads of a worker share one index of the evaluation images.
            with _lock:
                known = _evaluation(folder, evaluation, distance)
            table = tables.read(scores_path(scores, chunk), tables.scores_schema(1))
            noted = features.read(features.path(scores, chunk)) if known.embedded else None
            tables.write(path, known.overlaps(table, smooth.read(scores, chunk), noted))
        barred[tables.read(path, tables.FOUND)["row"].to_numpy()] = True
    return barred


def fingerprint(chunks, folder, arguments, scoring=None):
    """Fingerprint evaluation images: a file a chunk in `folder`; with `scoring`, as Fingerprint's, features too."""
    runner.run(arguments, lambda p: p | beam.Create(chunks) | beam.ParDo(Fingerprint(folder, scoring)))
