"""What is in a folder, of a disk or of a bucket."""

import contextlib
import errno
import os
from pathlib import Path
from typing import NamedTuple

from mpl_tf.base.storage.faults import told
from mpl_tf.base.storage.paths import file_system, path


class Entry(NamedTuple):
    """What os.scandir tells of a name, of a bucket's."""

    name: str
    path: str
    folder: bool
    size: int = 0
    stamp: str = ""  # Changes when the object does.

    def is_dir(self):
        """Whether it is a folder."""
        return self.folder

    def is_file(self):
        """Whether it is an object."""
        return not self.folder

    def is_symlink(self):
        """A bucket has no links."""
        return False


@contextlib.contextmanager
def scandir(folder):
    """As os.scandir: a context manager of the os.DirEntry, or Entry, of what is in a folder."""
    found = path(folder)
    if isinstance(found, Path):
        with os.scandir(found if isinstance(folder, str | Path) else folder) as entries:
            yield entries
        return
    system, name = file_system(found)
    with told(folder):
        listed = system.ls(name, detail=True)
    if [about["name"].strip("/") for about in listed if about["type"] == "file"] == [name.strip("/")]:
        raise NotADirectoryError(errno.ENOTDIR, "Not a directory", str(folder))
    yield [entry for entry in (_entry(about, str(found)) for about in listed) if entry.name]


def _entry(about, folder):
    """Entry of a dict of fsspec; one without a name where it is the mark of the folder itself."""
    last = about["name"].rstrip("/").rpartition("/")[2]
    if about["type"] == "file" and (
        about["name"].endswith("/") or last == folder.rpartition("/")[2] and not about["size"]
    ):
        last = ""
    return Entry(last, f"{folder}/{last}", about["type"] == "directory", about.get("size") or 0, stamp(about))


def stamp(about):
    """Text that changes when an object does, of the dict that fsspec tells of it."""
    known = ("ETag", "etag", "md5Hash", "generation", "LastModified", "updated", "mtime", "created")
    return repr([about.get("size"), *(str(about[key]) for key in known if key in about)])


def names(folder):
    """Set of the names in a folder; empty where there is none."""
    try:
        with scandir(folder) as found:
            return {entry.name for entry in found}
    except FileNotFoundError:
        return set()


def sizes(folder):
    """dict of the names of the files in a folder to their sizes, bytes; empty where there is none."""
    try:
        with scandir(folder) as found:
            return {entry.name: entry.size for entry in found if entry.is_file()}
    except FileNotFoundError:
        return {}


def tree(given):
    """All objects below a URL: dict of name below it, sorted, to what fsspec tells of each."""
    system, name = file_system(path(given))
    with told(given):
        found = system.find(name, detail=True)
    root = name.strip("/") + "/"
    below = {key.lstrip("/").removeprefix(root): about for key, about in found.items()}
    return {key: below[key] for key in sorted(below) if key and not key.endswith("/")}


def find(given, name):
    """List of the path objects of all files of a name (str) in a folder, at any depth, sorted."""
    found = path(given)
    if isinstance(found, Path):
        return sorted(found.rglob(name))
    return [found / below for below in tree(found) if below.rpartition("/")[2] == name]
