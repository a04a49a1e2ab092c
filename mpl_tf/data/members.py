"""Images inside tar, zip and Parquet files as examples of a run: each by its place, read in any order from any thread.

A plain tar file and a zip file are read where they are. What has no places of images (a compressed tar file, a Parquet
file, whose rows come by whole row groups) is unpacked once into the folder of what is kept between runs, the images one
after the other in one file.
"""

import array
import collections.abc
import dataclasses
import io
import json
import os
from typing import NamedTuple

import numpy as np

from mpl_tf.base import storage
from mpl_tf.base.errors import UsageError
from mpl_tf.data import archives, parquet, tfrecord
from mpl_tf.data.file_kinds import PassedOver
from mpl_tf.settings.forms import TABLES, ZIPS

LISTED = 2**26  # Bytes from which on a list of members is kept: a tar file's takes some 5 s for 100,000 of them.
DATA, PLACES, ABOUT = "data", "places.npy", "about.json"  # Of a file that was gone through.


@dataclasses.dataclass(frozen=True)
class Member:
    """An image inside a file.

    Attributes:
        name: FILE/MEMBER, or FILE#ROW, the file as the user wrote it.
        path: of the file that holds the bytes: that one, or what it was unpacked into.
        place: as archives.read takes it.
        length: of the image's bytes.
    """

    name: str
    path: str
    place: tuple
    length: int

    def __str__(self):
        return self.name

    def read(self):
        """The encoded image, bytes; OSError or ValueError where it cannot be read."""
        return archives.read(self.path, self.place)

    def open(self):
        """The same as a binary file."""
        return io.BytesIO(self.read())


INSIDE = (tfrecord.Record, Member)  # What is no file of its own.


def size(source):
    """Bytes of a path's file or of a Member."""
    return source.length if isinstance(source, INSIDE) else storage.size(source)


def read(source):
    """The bytes of a path's file, of a Member, or of the image in a Record."""
    if isinstance(source, tfrecord.Record):
        return source.open().read()
    return source.read() if isinstance(source, Member) else storage.read_bytes(source)


class Inside(NamedTuple):
    """What a file holds.

    Attributes:
        names: list of the members' names, "/a/x.jpg" or "#7".
        path: of the file that the places are in.
        places: int64 [N, 3]: of each its place, as archives.read takes it, and its length.
        classes: list of N str, what the file says of their classes; None of those of which it says nothing.
        passed: PassedOver, what else it has.
    """

    names: list
    path: str
    places: np.ndarray
    classes: list
    passed: PassedOver


def look(path, flag):
    """What a tar, zip or Parquet file holds.

    Args:
        path: of the file.
        flag: that gave it, for messages.
    Returns:
        Inside.
    Raises:
        UsageError: several columns of images, or pyarrow is missing.
        RunError: it is damaged, or there is no room to unpack it.
    """
    if parquet.is_table(str(path)):
        name = parquet.column(path, several=f"{flag}: {{}}; leave one of them")
        if name is None:
            return Inside([], str(path), np.zeros([0, 3], np.int64), [], PassedOver({TABLES[0]: 1}))
        return _kept(path, f"rows of {name}", lambda: _rows(path, name))
    if archives.is_packed(path):
        return _kept(path, "members", lambda: _packed(path))
    if not storage.is_url(path) and storage.size(path) < LISTED:
        return _plain(path)
    return _kept(path, "places", lambda: _plain(path))


def _plain(path):
    """Inside of a plain tar file or of a zip file."""
    passed, texts = PassedOver(), {}
    found = list(archives.images(path, passed, texts))
    places = np.array([place for _, place in found], np.int64).reshape(-1, 2)
    lengths = places[:, 1]
    if str(path).lower().endswith(ZIPS):
        lengths = np.array(archives.sizes(path), np.int64)[places[:, 0]] if found else lengths
    names = [name for name, _ in found]
    classes = [texts.get(archives.example(name)) for name in names]
    return Inside([f"/{name}" for name in names], str(path), np.column_stack([places, lengths]), classes, passed)


def _packed(path):
    """(the images' bytes one by one; what fills, once they are through, lists of names and of classes; PassedOver)."""
    passed, texts, names = PassedOver(), {}, []

    def each():
        for name, data in archives.packed_images(path, passed, texts):
            names.append(name)
            yield data

    return (
        each(),
        lambda: ([f"/{name}" for name in names], [texts.get(archives.example(name)) for name in names]),
        passed,
    )


def _rows(path, column):
    """The same of a Parquet file."""
    count = sum(parquet.groups(path))
    rows = (data or b"" for data in parquet.rows(path, column, 0, count))
    return rows, lambda: ([f"#{n}" for n in range(count)], parquet.labels(path) or [None] * count), PassedOver()


def _kept(path, what, go_through):
    """Inside of a file that is gone through once; `go_through` is a function as _plain, or as _packed and _rows."""

    def make(folder):
        found = go_through()
        if not isinstance(found, Inside):
            found = _unpacked(*found, folder)
        np.save(folder / PLACES, found.places)
        about = {"names": found.names, "classes": found.classes, "passed": found.passed, "unpacked": not found.path}
        (folder / ABOUT).write_text(json.dumps(about), "utf-8", "surrogateescape")

    folder = storage.made(path, f"{what}, 2", make)
    about = json.loads((folder / ABOUT).read_text("utf-8", "surrogateescape"))
    place = str(folder / DATA) if about["unpacked"] else str(path)
    return Inside(about["names"], place, np.load(folder / PLACES), about["classes"], PassedOver(about["passed"]))


def _unpacked(contents, told, passed, folder):
    """Inside of images that are written into the file DATA of a folder, one after the other."""
    ends = [0]
    with open(folder / DATA, "wb") as file:
        for data in contents:
            file.write(data)
            ends.append(ends[-1] + len(data))
    ends, (names, classes) = np.array(ends, np.int64), told()
    lengths = np.diff(ends)
    return Inside(names, "", np.column_stack([ends[:-1], lengths, lengths]), classes, passed)


class Members(collections.abc.Sequence):
    """The Members of files, each made when it is asked for; a million take some 80 MB."""

    def __init__(self):
        self._holders, self._places = [], array.array("Q")  # (as given, of the bytes); of each: holder, place, length.
        self._names, self._ends = bytearray(), array.array("Q", [0])

    def add(self, path, inside):
        """Append what a file (path) holds, Inside."""
        number = len(self._holders)
        self._holders.append((str(path), inside.path))
        for name, about in zip(inside.names, inside.places.tolist(), strict=True):
            self._places.extend((number, *about))
            self._names += os.fsencode(name)
            self._ends.append(len(self._names))

    def __len__(self):
        return len(self._ends) - 1

    def __getitem__(self, place):
        """The Member at a place, int."""
        if not 0 <= place < len(self):
            raise IndexError(place)
        number, first, second, length = self._places[4 * place : 4 * place + 4]
        given, path = self._holders[number]
        return Member(given + os.fsdecode(self._name(place)), path, (first, second), length)

    def folders(self):
        """The files that hold the bytes: list of str."""
        return [path for _, path in self._holders]

    def relative(self, place):
        """A name of the image that does not depend on where its file lies: bytes."""
        given, _ = self._holders[self._places[4 * place]]
        return os.fsencode(os.path.basename(given)) + self._name(place)

    def _name(self, place):
        return bytes(self._names[self._ends[place] : self._ends[place + 1]])


def inside(paths, flag, passed):
    """The images inside files.

    Args:
        paths: list of the files' paths.
        flag: that gave them, for messages.
        passed: PassedOver, which counts what else they hold.
    Returns:
        (Members, list of str or None: what the files say of the class of each).
    Raises:
        as `look`.
    """
    members, classes = Members(), []
    for path in paths:
        try:
            found = look(path, flag)
        except OSError as error:
            raise UsageError(
                f"{flag}: expected {path} in a form that can be read in any order, cannot unpack it "
                f"({error.strerror or error}); make room in {storage.kept()}, or unpack it"
            ) from error
        members.add(path, found)
        classes += found.classes
        passed.update(found.passed)
    return members, classes
