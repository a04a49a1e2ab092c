"""Room in the folder of what is kept between runs (scratch.kept): above a limit, what was used least recently goes.

An entry is what goes as one: a folder of FOLDERS, or a file of index/. What a living process uses is not removed: it
holds a file of the entry locked, of which its death lets go.
"""

import contextlib
import os
import secrets
import shutil

from mpl_tf.base.errors import UsageError
from mpl_tf.base.storage import scratch
from mpl_tf.base.storage.scratch import fcntl

LIMIT, VARIABLE = 50.0, "MPL_TF_CACHE_GIB"  # GiB, and the environment variable with another number of them.
OFTEN = 16  # Such a part of the limit may come before the folder is looked at again.
HELD = ".held"  # A file of an entry, which those who use it hold locked; its time is that of the last use.
FOLDERS = ("files", "made", "stores", "tfds")
_forever = {}  # Of this process: open HELD files by their entries.
_come = [float("inf")]  # Bytes that have come since the folder was looked at.


def limit():
    """Bytes that may be kept; UsageError where the environment names no number."""
    given = os.environ.get(VARIABLE) or LIMIT
    try:
        found = float(given)
    except ValueError:
        found = -1.0
    if not found >= 0:
        raise UsageError(f"{VARIABLE}: expected a number of GiB, 0 or more, in the environment, got {given}")
    return found * 2**30


@contextlib.contextmanager
def held(entry):
    """Use an entry (Path of a folder, which is made): nobody removes it meanwhile."""
    with _locked(entry):
        yield


def hold(entry):
    """Use an entry for as long as this process lives."""
    if entry not in _forever:
        _forever[entry] = _locked(entry)


def _locked(entry):
    """The open HELD file of an entry, locked with others that use it."""
    while True:
        try:
            entry.mkdir(parents=True, exist_ok=True)
            file = open(entry / HELD, "a", encoding="ascii")  # noqa: SIM115 It is open while the entry is used.
        except (FileNotFoundError, FileExistsError):  # Removed in this moment.
            if entry.is_file():
                raise
            continue
        if fcntl is not None:
            with contextlib.suppress(OSError):  # A file system without locks; nothing is removed there.
                fcntl.flock(file, fcntl.LOCK_SH)
        if _is_there(file, entry):
            os.utime(entry / HELD)
            return file
        file.close()


def _is_there(file, entry):
    """Whether an open HELD file is that of the entry as it is now."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file.fileno()), os.stat(entry / HELD))
    return False


def grown(count):
    """Note that `count` bytes have come, and make room where it is time to look."""
    _come[0] += count
    if fcntl is not None and _come[0] > limit() / OFTEN:
        _come[0] = 0
        trim()


def trim():
    """Remove entries that nobody uses, the least recently used first, until the rest is within the limit."""
    entries = sorted(_entries(scratch.kept()))
    total, most = sum(size for _, size, _ in entries), limit()
    for _, size, entry in entries:
        if total <= most:
            return
        total -= size * _removed(entry)


def _entries(root):
    """(time of the last use, bytes, Path) of each entry."""
    for kind in FOLDERS:
        for entry in (root / kind).glob("*"):
            with contextlib.suppress(OSError):
                mark = entry / HELD
                used = os.stat(mark if mark.exists() else entry).st_mtime  # Earlier versions left no mark.
                yield used, sum(os.lstat(one).st_size for one in entry.rglob("*") if one.is_file()), entry
    for entry in (root / "index").glob("*.npy"):
        with contextlib.suppress(OSError):
            about = os.stat(entry)
            yield about.st_mtime, about.st_size, entry


def _removed(entry):
    """Remove an entry, unless somebody uses it; whether that was done."""
    with contextlib.suppress(OSError):
        if not entry.is_dir():  # Who reads it has it open, or makes it again.
            entry.unlink()
            return True
        with open(entry / HELD, "a", encoding="ascii") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_there(file, entry):  # Else another process has just removed it.
                # In one step: who comes for it now makes it anew.
                gone = entry.with_name(f"gone-{secrets.token_hex(8)}")
                os.rename(entry, gone)
                shutil.rmtree(gone, ignore_errors=True)
                return True
    return False
