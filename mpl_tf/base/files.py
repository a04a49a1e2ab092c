"""Writing result files so that a reader never sees half of one, and two writers never meet in one temporary file."""

import contextlib
import errno
import json
import os
import secrets
import shutil
import socket
import tempfile
import zlib
from pathlib import Path

from mpl_tf.base import storage
from mpl_tf.base.errors import RunError

CHECKSUM = "crc32"  # Name of a JSON file's own checksum.
PARTIAL = ".partial-"  # How the names of temporary files begin; those that a killed process left are swept by it.
# What to do where the operating system says why a file cannot be written.
REMEDIES = {
    errno.ENOSPC: "free space on that disk",
    errno.EDQUOT: "free space within your quota",
    errno.EFBIG: "give a file system, or a limit (ulimit -f), that allows larger files",
    errno.EACCES: "mend the permissions of that folder",
    errno.EPERM: "mend the permissions of that folder",
    errno.EROFS: "give a folder on a disk that can be written",
    errno.ENOTDIR: "give a folder, not a file",
    errno.EISDIR: "give a file, not a folder",
    errno.ENAMETOOLONG: "give a shorter name",
}


def write(path, save):
    """Let `save(temporary path)` write a file beside `path`, then move it there in one step.

    The temporary name belongs to this process and call alone, and ends with that of `path`, as some writers choose
    their format by the ending. The file is on the disk before it gets its name, so that a loss of power too leaves
    the old file or the whole new one.

    Args:
        path: where to; its folder is made. To a bucket it is written to the disk first.
        save: function of a path; it writes the file there.
    Raises:
        RunError: the file cannot be written; what was at `path` before is still there.
    """
    path = storage.path(path)
    if storage.is_url(path):
        _write_object(path, save)
        return
    temporary = _temporary(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save(temporary)
        to_disk(temporary)
        os.replace(temporary, path)
    except OSError as error:
        raise RunError(f"{path}: expected to write it, got {error}; {remedy(error)}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _write_object(path, save):
    """`write` to a URL."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            save(Path(folder, path.name))
            storage.put(Path(folder, path.name), path)
        except OSError as error:
            raise RunError(f"{path}: expected to write it, got: {error.strerror or error}") from error


def write_folder(path, save):
    """The same of a folder: `save(temporary path)` makes it and all that is in it.

    One that was there before goes in the moment before the new one comes.
    """
    path = Path(path)
    temporary, before = _temporary(path), _temporary(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save(temporary)
        for part in temporary.rglob("*"):
            to_disk(part)
        if path.exists():
            os.replace(path, before)
        os.replace(temporary, path)
    except OSError as error:
        raise RunError(f"{path}: expected to write it, got {error}; {remedy(error)}") from error
    finally:
        for left in (temporary, before):
            shutil.rmtree(left, ignore_errors=True)


def _temporary(path):
    """A name beside a path that nobody else has, and ends as the path's does."""
    # A long name is cut at its front, as file systems allow 255 bytes of UTF-8.
    owner = f"{PARTIAL}{socket.gethostname()[:32]}-{os.getpid()}-{secrets.token_hex(4)}-"
    tail = os.fsencode(path.name)[-(255 - len(owner)) :]
    return path.with_name(owner + tail.decode("utf-8", "ignore"))


def write_text(path, text):
    """Write a text file (UTF-8; bytes of file names that are none stay as they are) in one step; errors as `write`."""
    write(path, lambda temporary: temporary.write_text(text, "utf-8", "surrogateescape"))


def write_json(path, values):
    """Write a dict as a JSON file with a checksum of its own, which `read_json` looks at; errors as `write`."""
    write_text(path, json_text(values))


def json_text(values):
    """The text of that file."""
    return json.dumps(values | {CHECKSUM: _crc(values)}, indent=2) + "\n"


def read_json(path, intact=True):
    """The dict of a file that `write_json` wrote, without its checksum; files of earlier versions have none.

    Args:
        path: of the file.
        intact: whether it must be as it was written.
    Raises:
        ValueError: it is no JSON object, or was changed since; OSError: it cannot be read.
    """
    values = json.loads(storage.read_bytes(path).decode("utf-8", "surrogateescape"))
    if not isinstance(values, dict):
        raise ValueError(f"expected a JSON object, found {type(values).__name__}")
    found = values.pop(CHECKSUM, None)
    if intact and found not in (None, _crc(values)):
        raise ValueError("it was changed or damaged since it was written")
    return values


def _crc(values):
    """CRC-32 of a JSON object, as its values stand in a file."""
    return zlib.crc32(json.dumps(values, sort_keys=True).encode())


def remedy(error):
    """What to do about an OSError of a write: str, ending with how to go on."""
    what = REMEDIES.get(error.errno, "mend what it names")
    return f"{what}, then run the same command again"


def sweep(folder):
    """Remove the temporary files and folders that killed processes left in a folder, not those deeper in it.

    Only whoever holds the folder's lock (base/lock.py) may call it: nobody else then writes there.

    Args:
        folder: Path; it may be absent.
    """
    for left in () if storage.is_url(folder) else Path(folder).glob(f"{PARTIAL}*"):
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def to_disk(path):
    """Wait until a file's bytes are on the disk; some network file systems cannot tell and are believed."""
    with contextlib.suppress(OSError), open(path, "rb") as file:
        os.fsync(file.fileno())
