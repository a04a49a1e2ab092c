"""Folders on this machine's disk: one for a run whose workdir is in a bucket, and one for what is kept between runs."""

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

try:
    import fcntl
except ImportError:  # As in base/lock.py.
    fcntl = None

PREFIX = "mpl-tf-scratch-"
HELD = "held"  # A file that the owner of a scratch folder holds locked as long as it lives.


@contextlib.contextmanager
def folder(above=None):
    """A new folder, gone at the end; those that a kill left beside it go now.

    Args:
        above: Path of the folder that it is in; None: the system's for temporary ones (TMPDIR).
    """
    above = above or Path(tempfile.gettempdir())
    _sweep(above)
    made = Path(tempfile.mkdtemp(prefix=PREFIX, dir=above))
    with open(made / HELD, "w", encoding="ascii") as file:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield made
        finally:
            shutil.rmtree(made, ignore_errors=True)


def _sweep(above):
    """Remove scratch folders whose owner is dead."""
    for left in above.glob(f"{PREFIX}*") if fcntl is not None else ():
        with contextlib.suppress(OSError), open(left / HELD, encoding="ascii") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left, ignore_errors=True)


def kept():
    """The folder for what may be fetched or made again: $XDG_CACHE_HOME/mpl_tf, by default ~/.cache/mpl_tf."""
    made = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mpl_tf"
    made.mkdir(parents=True, exist_ok=True)
    return made
