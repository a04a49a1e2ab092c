"""Reading, writing and removing files, on a disk or in a bucket.

Libraries repeat what a busy server refuses (503, 429, a lost connection); what still fails is an OSError of one line.
"""

import contextlib
import io
import os
import secrets
import shutil
from pathlib import Path

from mpl_tf.base.storage.faults import told
from mpl_tf.base.storage.paths import file_system, path

BLOCK = 2**23  # Bytes that a file in a bucket is read by, from its begin to its end.


def read_bytes(given, start=None, stop=None):
    """The bytes of a file, or those from `start` to `stop`: one request to a server.

    Raises:
        OSError: it cannot be read; FileNotFoundError where it is not there.
    """
    found = path(given)
    if not isinstance(found, Path):
        system, name = file_system(found)
        with told(given):
            return system.cat_file(name, start=start, end=stop)
    if start is None and stop is None:
        return found.read_bytes()
    with open(found, "rb") as file:
        file.seek(start or 0)
        return file.read() if stop is None else file.read(stop - (start or 0))


def readable(given):
    """What a reader of binary files takes: of a path on a disk the path, of a URL its bytes as a file."""
    found = path(given)
    return found if isinstance(found, Path) else io.BytesIO(read_bytes(found))


def open_file(given, mode="rb", **text):
    """Open a file for reading, as `open` does; of a bucket in blocks, each of which is fetched when it is come to.

    Args:
        given: path or URL.
        mode: rb or r.
        **text: further arguments of `open`: encoding, errors, newline, buffering (of a disk alone).
    """
    found = path(given)
    if isinstance(found, Path):
        return open(found, mode, **text)
    text.pop("buffering", None)
    system, name = file_system(found)
    with told(given):
        if "b" not in mode:
            return io.TextIOWrapper(io.BytesIO(system.cat_file(name)), **text)
        return system.open(name, "rb", block_size=BLOCK, cache_type="readahead")


def open_whole(given):
    """Open a file, all of which is read anyway, as binary: of a bucket it is fetched by one request."""
    found = readable(given)
    return open(found, "rb") if isinstance(found, Path) else found


def put(local, given, new=False):
    """Copy a file from the disk to a URL, where it appears under its name when it is whole.

    Args:
        local: path of the file, or its bytes.
        given: URL.
        new: whether it is refused where there is one already.
    Raises:
        OSError: it cannot be written; FileExistsError with `new`.
    """
    found = path(given)
    system, name = file_system(found)
    with told(given):
        if isinstance(local, bytes):
            system.pipe_file(name, local, **({"mode": "create"} if new else {}))
        else:
            system.put_file(os.fspath(local), name)


def fetch(given, local):
    """Copy an object of a URL to a file on the disk, in one step."""
    system, name = file_system(path(given))
    temporary = f"{local}.{os.getpid()}-{secrets.token_hex(4)}.partial"  # Another process may fetch it too.
    try:
        with told(given):
            system.get_file(name, temporary)
        os.replace(temporary, local)
    finally:
        Path(temporary).unlink(missing_ok=True)


def remove(given):
    """Remove a file, if it is there."""
    found = path(given)
    if isinstance(found, Path):
        found.unlink(missing_ok=True)
        return
    system, name = file_system(found)
    with contextlib.suppress(FileNotFoundError), told(given):
        system.rm_file(name)


def remove_tree(given):
    """Remove a folder and all in it, if it is there; what cannot be removed stays."""
    found = path(given)
    if isinstance(found, Path):
        shutil.rmtree(found, ignore_errors=True)
        return
    system, name = file_system(found)
    with contextlib.suppress(OSError), told(given):
        system.rm(name, recursive=True)


def make_folder(given):
    """Make a folder and those above it; a bucket needs none."""
    found = path(given)
    if isinstance(found, Path):
        found.mkdir(parents=True, exist_ok=True)
