"""Which checkpoints lie in a run's folder: found by listing it, as nothing else is sure to be true after a kill."""

import re

from mpl_tf.base import storage

CHECKPOINT = re.compile(r"ckpt-(\d+)\.index")  # The file of a checkpoint that is written last.


def listed(folder):
    """Steps of the checkpoints that are whole in a phase's folder, list of int, newest first.

    TensorFlow writes the index of a checkpoint last: without it there is none.
    """
    found = (CHECKPOINT.fullmatch(path.name) for path in storage.path(folder).glob("ckpt-*.index"))
    return sorted((int(match[1]) for match in found if match), reverse=True)


def newest(folder):
    """(phase, step) of the checkpoint that a run would go on from; None where there is none."""
    # Phases are told apart by time: the one that was written last is the one that goes on.
    found = [
        (_written(phase / f"ckpt-{step}.index"), phase.name, step)
        for phase in storage.path(folder).glob("checkpoints/*")
        for step in listed(phase)
    ]
    return max(found)[1:] if found else None


def _written(path):
    """When a file was written; a broken link has a time of its own."""
    return (path.stat() if storage.is_url(path) else path.lstat()).st_mtime
