"""What is taken from a bucket as a whole file, and what was found out about one, kept on the disk until it changes.

The folder is scratch.kept(). A name there has in it the object's URL and the stamp that its server gives it, so that
nothing old is taken for new; all of it may be deleted at any time, and room.py keeps it within a limit.
"""

import contextlib
import hashlib
import os
import shutil
from pathlib import Path

from mpl_tf.base.storage import room, scratch
from mpl_tf.base.storage.faults import told
from mpl_tf.base.storage.listing import stamp
from mpl_tf.base.storage.objects import fetch, put
from mpl_tf.base.storage.paths import _NAMED, exists, file_system, is_url, path

DONE = ".done"  # Says that a folder that was `made` is whole.


@contextlib.contextmanager
def fetched(given):
    """Let a file be used on the disk.

    Yields:
        Path of a file: of a path on the disk itself, of a URL of a copy of what its server holds now.
    Raises:
        OSError: it cannot be fetched; FileNotFoundError where it is not there.
    """
    found = path(given)
    if isinstance(found, Path):
        yield found
        return
    folder = scratch.kept() / "files" / _key(str(found))
    copy = folder / _key(_stamp(found)) / found.name
    with room.held(folder):
        if not copy.exists():
            for before in set(folder.glob("[!.]*")) - {copy.parent}:  # The copies of what it was before.
                shutil.rmtree(before, ignore_errors=True)
            copy.parent.mkdir(parents=True, exist_ok=True)
            fetch(found, copy)
            room.grown(os.path.getsize(copy))
        _NAMED[str(copy)] = str(found)
        yield copy


def remembered(given, what, make):
    """An array that is a function of a file: of one in a bucket it is made once, and kept.

    Args:
        given: path or URL of the file.
        what: str, names the function and all else that it depends on.
        make: function without arguments that returns the numpy array.
    """
    if not is_url(given):
        return make()
    import numpy as np  # Deferred: the flags are read without it.

    folder = scratch.kept() / "index"
    kept = folder / f"{_key(str(given), _stamp(path(given)), what)}.npy"
    with contextlib.suppress(OSError, ValueError, EOFError):
        found = np.load(kept, allow_pickle=False)
        os.utime(kept)  # Its last use.
        return found
    found = make()
    folder.mkdir(parents=True, exist_ok=True)
    temporary = kept.with_name(f"{os.getpid()}-{kept.name}")
    np.save(temporary, found)
    os.replace(temporary, kept)
    room.grown(found.nbytes)
    return found


def made(given, what, make):
    """A folder of files that are a function of a file, on a disk or in a bucket: made once, kept until that changes.

    Args:
        given, what: as `remembered` has them.
        make: function of a Path, a new folder, which it fills with files.
    Returns:
        Path of the folder, which this process uses from now on.
    """
    found = path(given)
    known = _stamp(found) if is_url(given) else repr(_written(found))
    folder = (
        scratch.kept() / "made" / _key(os.path.abspath(found) if isinstance(found, Path) else str(found), known, what)
    )
    room.hold(folder)
    if not (folder / DONE).exists():
        with scratch.folder(folder) as temporary:
            new = temporary / "new"
            new.mkdir()
            make(new)
            parts = list(new.iterdir())
            size = sum(os.path.getsize(part) for part in parts)
            for part in parts:
                os.replace(part, folder / part.name)
        (folder / DONE).touch()
        room.grown(size)
    os.utime(folder / room.HELD)
    return folder


@contextlib.contextmanager
def shared(given, record):
    """Let a file of URL `given`, and `record` beside it that vouches for it, be used and changed on the disk.

    Args:
        given, record: UPaths in one folder.
    Yields:
        Path of the file's copy, beside that of the record; both may be absent. What was changed goes to the bucket at
        the end, the record first.
    """
    folder = scratch.kept() / "stores" / _key(str(given))
    room.hold(folder)  # Who was given the copy may map it into memory.
    copies, seen = {one: folder / one.name for one in (record, given)}, {}
    for one, copy in copies.items():
        known, there = copy.with_name(f"{copy.name}.stamp"), _stamp(one) if exists(one) else ""
        if there and not (copy.exists() and known.exists() and known.read_text() == there):
            fetch(one, copy)
            room.grown(os.path.getsize(copy))
            known.write_text(there)
        elif not there:
            copy.unlink(missing_ok=True)
        seen[one] = _written(copy)
    yield copies[given]
    for one, copy in copies.items():
        if copy.exists() and _written(copy) != seen[one]:
            put(copy, one)
            copy.with_name(f"{copy.name}.stamp").write_text(_stamp(one))


def _written(copy):
    return (os.stat(copy).st_mtime_ns, os.stat(copy).st_size) if copy.exists() else None


def _stamp(found):
    system, name = file_system(found)
    with told(found):
        return stamp(system.info(name))


def _key(*texts):
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]
