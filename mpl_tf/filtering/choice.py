"""The choice among all images: the best of each class, with --dedup those of which no two overlap."""

import numpy as np
import pyarrow as pa

from mpl_tf.filtering import outputs, overlap, pipeline, progress, select, tables

MORE = (8, 16)  # Candidates beyond k a class in the first search for duplicates: k / 8 + 16.


def choose(job, chunks, done, evaluation):
    """Score what has not been scored, and choose what is kept.

    Args:
        job: Job.
        chunks: list of inputs.Chunk.
        done: those of them that are scored before.
        evaluation: tuple of files of the evaluation images' fingerprints.
    Returns:
        outputs.Selected.
    """
    # A number for each class, of images that are there once: the best, less those that overlap a better one.
    if job.selection.dedup:
        kept, duplicates = _without_duplicates(job, chunks, done, evaluation)
    else:
        kept, duplicates = _best(job, chunks, done, evaluation, job.limits), {}
    # Classes with too few images may count theirs more than once.
    if job.selection.upsample:
        copies = select.copies(kept["class"].to_numpy(), job.limits)
    else:
        copies = np.ones([len(kept)], np.int32)
    return outputs.Selected(kept, copies, job.limits, duplicates)


def _best(job, chunks, done, evaluation, asked):
    """The best `asked` (int [C]) of each class, a table in select.ORDER; what is not in `done` is scored."""
    found, scoring = job.work / "best.parquet", job.scoring if len(done) < len(chunks) else None
    with progress.shown(job, chunks, done) as tallies:
        candidates = pipeline.Candidates(str(job.scores), job.selection, asked, str(job.work), evaluation, tallies)
        pipeline.select_best(chunks, scoring, str(job.scores), candidates, str(found), job.beam_arguments)
    return tables.read(found, tables.CANDIDATES)


def _without_duplicates(job, chunks, done, evaluation):
    """(kept, duplicates) as outputs.Selected has them.

    More candidates than limits are asked for, and twice as many again where a class is short of images and may have
    more: until each is full or has none left.
    """
    limits = job.limits
    asked = limits + (limits > 0) * (limits // MORE[0] + MORE[1])
    while True:
        pool = _best(job, chunks, done, evaluation, asked)
        done = chunks  # All are scored now.
        kept, dropped = overlap.without_duplicates(pool, limits, job.selection.distance)
        # A class that gave all it was asked for may have more.
        had, has = (np.bincount(table["class"].to_numpy(), minlength=len(limits)) for table in (pool, kept))
        short = (has < limits) & (had == asked)
        if not short.any():
            return kept, _named(dropped, pool)
        asked = np.where(short, 2 * asked, asked)


def _named(dropped, pool):
    """What overlap.without_duplicates dropped, with the kept image's id, chunk and row for its place in the pool."""
    places = np.unique(np.array([at for at, _ in dropped.values()], np.int64))
    others = dict(zip(places.tolist(), pool.select(overlap.PLACE).take(pa.array(places)).to_pylist(), strict=True))
    return {image: (*others[at].values(), distance) for image, (at, distance) in dropped.items()}
