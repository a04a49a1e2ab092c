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
def folder():
    """A new folder among the system's temporary ones (TMPDIR), gone at the end; those that a kill left go now."""
    _sweep()
    made = Path(tempfile.mkdtemp(prefix=PREFIX))
    with open(made / HELD, "w", encoding="ascii") as file:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield made
        finally:
            shutil.rmtree(made, ignore_errors=True)


def _sweep():
    """Remove scratch folders whose owner is dead."""
    for left in Path(tempfile.gettempdir()).glob(f"{PREFIX}*") if fcntl is not None else ():
        with contextlib.suppress(OSError), open(left / HELD, encoding="ascii") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left, ignore_errors=True)


def kept():
    """The folder for what may be fetched or made again: $XDG_CACHE_HOME/mpl_tf, by default ~/.cache/mpl_tf."""
    made = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mpl_tf"
    made.mkdir(parents=True, exist_ok=True)
    return made
