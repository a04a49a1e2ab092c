"""The choice among all images: the best of each class, with --dedup those of which no two overlap."""

import secrets

import numpy as np
import pyarrow as pa

from mpl_tf.filtering import dedup, merging, outputs, progress, select, sharding, tables
from mpl_tf.filtering.parts import Parts

MORE = (8, 16)  # Candidates beyond k a class in the first search for duplicates: k / 8 + 16.
FURTHER = 64  # Times as many at most in the next.


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
        parts, mask, duplicates = _without_duplicates(job, chunks, done, evaluation)
    else:
        parts, duplicates = _best(job, chunks, done, evaluation, job.limits), tables.DUPLICATES.empty_table()
        mask = np.ones([len(parts)], bool)
    kept = parts.numbers.filter(pa.array(mask))
    # Classes with too few images may count theirs more than once.
    if job.selection.upsample:
        copies = select.copies(kept["class"].to_numpy(), job.limits)
    else:
        copies = np.ones([len(kept)], np.int32)
    return outputs.Selected(kept, copies, job.limits, duplicates, parts, mask)


def _best(job, chunks, done, evaluation, asked):
    """The best `asked` (int [C]) of each class: Parts; what is not in `done` is scored."""
    # A folder of its own, in which nothing of an earlier choice is found.
    folder, scoring = job.work / "best" / secrets.token_hex(4), job.scoring if len(done) < len(chunks) else None
    with progress.shown(job, chunks, done) as tallies:
        places = (str(job.work), str(folder), evaluation, tallies)
        choice = merging.Choice(str(job.scores), job.selection, asked, *places)
        merging.select_best(chunks, scoring, choice, job.beam_arguments)
    return Parts(merging.best_paths(folder))


def _without_duplicates(job, chunks, done, evaluation):
    """(parts, mask, duplicates) as outputs.Selected has them.

    More candidates than limits are asked for, and some times as many again where a class is short of images and may
    have more: until each is full or has none left.
    """
    limits = job.limits
    asked = limits + (limits > 0) * (limits // MORE[0] + MORE[1])
    while True:
        parts = _best(job, chunks, done, evaluation, asked)
        done = chunks  # All are scored now.
        each = sharding.Workers(job.work / "near", job.beam_arguments).of_lists
        kept, dropped = dedup.without_duplicates(parts.pool(), limits, job.selection.distance, each=each)
        # A class that gave all it was asked for may have more.
        classes = parts.numbers["class"].to_numpy()
        had, has = (np.bincount(found, minlength=len(limits)) for found in (classes, classes[kept]))
        short = (has < limits) & (had == asked)
        if not short.any():
            return parts, kept, _named(dropped, parts)
        # As many as it takes where the next ones are lost like those before.
        more = np.clip(-(-limits * 5 // (4 * np.maximum(has, 1))), 2, FURTHER)
        asked = np.where(short, more * asked, asked)


def _named(dropped, parts):
    """Table of tables.DUPLICATES of a dedup.Dropped of these parts, in the order of chunks and rows."""
    places, which = np.unique(dropped.other, return_inverse=True)
    columns = [parts.numbers[name].to_numpy() for name in ("chunk", "row")]
    own, others = ([column[at] for column in columns] for at in (dropped.place, dropped.other))
    values = [*own, parts.ids(places).take(pa.array(which)), *others, dropped.bits.astype(np.int32)]
    return pa.table(values, schema=tables.DUPLICATES).take(pa.array(np.lexsort(own[::-1])))
