"""Going through folders of any size: no file is opened, and none but links is looked at.

A million files take some seconds, and how many names there are so far is told meanwhile. Threads list the folders that
come next, which on a shared disk or in a bucket each take their time.
"""

import itertools
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from mpl_tf.base import console, storage
from mpl_tf.base.errors import UsageError
from mpl_tf.data.file_kinds import (
    AGAIN,
    BARE,
    BROKEN,
    HIDDEN,
    SPECIAL,
    PassedOver,
    is_hidden,
    is_image,
    is_shard,
    suffix,
)

THREADS = 16  # That list folders, and folders of one that are listed before they are come to.
TOLD_SECONDS, LOOKED = 3.0, 2**13  # Between lines of progress; names between looks at the clock.


def walk(folder, flag, passed, more=None):
    """Paths (str) of the images and shards in a folder, in the order of sorted Paths.

    A link that leads to a folder listed before, or to one that holds `folder`, is not followed.

    Args:
        folder: path.
        flag: what the user gave it by, for messages.
        passed: PassedOver, which counts the other files.
        more: function of a file's name: whether it is asked for too.
    Raises:
        UsageError: a folder that cannot be listed.
    """
    return (os.path.join(parent, name) for parent, name, _ in scan(str(folder), flag, passed, more))


def scan(root, flag, passed, more=None):
    """The same as tuples of a file's folder (str), its name (str) and whether it is a link; `root` is a str."""
    ahead = _Ahead(flag, _Progress(flag, root), more)
    try:
        yield from _scan(root, ahead, passed)
    finally:
        ahead.close()


def _scan(root, ahead, passed):
    real = storage.real(root)
    listed = {real, *storage.above(real)}
    # Folders that are not gone through to their end.
    waiting = [(root, real, ahead.get(root, passed))]
    while waiting:
        parent, real, contents = waiting[-1]
        name = next(contents.left, None)
        if name is None:
            waiting.pop()
        elif name not in contents.folders:
            yield parent, name, name in contents.links
        else:
            path, is_link = os.path.join(parent, name), contents.folders[name]
            ahead.ask(contents, 1)
            place = storage.real(path) if is_link else os.path.join(real, name)
            if place not in listed:
                listed.add(place)
                waiting.append((path, place, ahead.get(path, passed)))
            elif is_link:
                passed[AGAIN] += 1


class _Contents(NamedTuple):
    """What counts of a folder.

    Attributes:
        left: iterator of sorted names.
        folders: dict of the names of its folders to whether each is a link.
        links: names of the files that are links.
        coming: iterator of the paths of the folders that are none.
        passed: PassedOver, counts the other files.
    """

    left: Iterator
    folders: dict
    links: set
    coming: Iterator
    passed: PassedOver


class _Ahead:
    """The contents of folders, some of them found by threads before they are come to.

    Args:
        flag: what the user gave the folders by.
        progress: _Progress.
        more: as in `walk`.
    """

    def __init__(self, flag, progress, more):
        self._about, self._pool, self._asked = (flag, progress, more), None, {}

    def get(self, folder, passed):
        """The _Contents of a folder, whose PassedOver is added to `passed`; the first folders in it are asked for."""
        found = self._asked.pop(folder, None)
        contents = found.result() if found else _contents(folder, *self._about)
        passed.update(contents.passed)
        self.ask(contents, THREADS)
        return contents

    def ask(self, contents, count):
        """Let the next folders of a folder be listed, `count` of them."""
        for path in itertools.islice(contents.coming, count):
            self._pool = self._pool or ThreadPoolExecutor(THREADS)
            self._asked[path] = self._pool.submit(_contents, path, *self._about)

    def close(self):
        """End the threads."""
        if self._pool:
            self._pool.shutdown(cancel_futures=True)


def _contents(folder, flag, progress, more):
    names, folders, links, passed = [], {}, set(), PassedOver()
    try:
        with storage.scandir(folder) as found:
            for entry in found:  # An entry takes several times the memory of its name.
                progress.add()
                if is_hidden(entry.name):
                    passed[HIDDEN] += 1
                elif is_folder(entry):
                    folders[entry.name] = entry.is_symlink()
                    names.append(entry.name)
                elif is_wanted(entry, passed, more):
                    names.append(entry.name)
                    if entry.is_symlink():
                        links.add(entry.name)
    except OSError as error:
        raise _cannot_be_listed(folder, flag, error) from error
    coming = (os.path.join(folder, name) for name in sorted(folders) if not folders[name])
    return _Contents(iter(sorted(names)), folders, links, coming, passed)


class _Progress:
    """Tells on stderr how many names were listed, where that takes long."""

    def __init__(self, flag, folder):
        self._about, self._count, self._told = f"{flag}: {folder}", 0, time.perf_counter()
        self._lock = threading.Lock()

    def add(self):
        """One more."""
        with self._lock:
            self._count += 1
            if not self._count % LOOKED and time.perf_counter() - self._told > TOLD_SECONDS:
                self._told = time.perf_counter()
                console.tell(f"{self._about}: {self._count:,} names so far")


def entries(folder, flag):
    """os.DirEntry of all names in a folder, sorted; UsageError that names `flag` where it cannot be listed."""
    try:
        with storage.scandir(folder) as found:
            return sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        raise _cannot_be_listed(folder, flag, error) from error


def _cannot_be_listed(folder, flag, error):
    remedy = "give a folder" if isinstance(error, NotADirectoryError) else "mend its permissions"
    return UsageError(f"{flag}: expected a folder that can be listed, got {folder} ({error.strerror}); {remedy}")


def is_folder(entry):
    """Whether an os.DirEntry is a folder or a link to one; a link that cannot be followed (to itself) is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _is_file(entry):
    try:
        return entry.is_file()
    except OSError:
        return False


def is_wanted(entry, passed, more=None):
    """Whether a name that is no folder is that of an image, a shard or of `more`; it is counted where not."""
    if not _is_file(entry):
        passed[BROKEN if entry.is_symlink() else SPECIAL] += 1
        return False
    if not (is_image(entry.name) or is_shard(entry.name) or (more and more(entry.name))):
        passed[suffix(entry.name) or BARE] += 1
        return False
    return True
