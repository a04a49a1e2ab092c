"""Paths of very many files in little memory: a million take some 30 MB, as Path objects 500."""

import array
import collections.abc
import os

import numpy as np

from mpl_tf.base import storage


class Paths(collections.abc.Sequence):
    """Paths in an order, each made when it is asked for.

    Attributes:
        links: set of the places of those that are links.
    """

    def __init__(self):
        self._folders, self._relative, self._known = [], [], {}  # Folders as given, and as bytes below their roots.
        self._folder = array.array("I")  # Of each path.
        self._names, self._ends = bytearray(), array.array("Q", [0])  # All names in a row, and where each ends.
        self.links = set()

    def add(self, root, folder, name, is_link=False):
        """Append a path.

        Args:
            root: str, the folder that was listed.
            folder: str, where the file is: `root` or a folder below it.
            name: str, of the file there.
            is_link: whether it is a link.
        """
        known = self._known.get((root, folder))
        if known is None:
            known = self._known[root, folder] = len(self._folders)
            self._folders.append(folder)
            relative = os.fsencode(folder[len(root) :].strip(os.sep))
            self._relative.append(relative + os.fsencode(os.sep) if relative else b"")
        if is_link:
            self.links.add(len(self))
        self._folder.append(known)
        self._names += os.fsencode(name)
        self._ends.append(len(self._names))

    def extend(self, other):
        """Append the paths of another Paths."""
        first, folders, names = len(self), len(self._folders), len(self._names)
        self.links |= {first + place for place in other.links}
        self._known |= {key: folders + number for key, number in other._known.items() if key not in self._known}
        self._folders += other._folders
        self._relative += other._relative
        self._folder.frombytes((np.frombuffer(other._folder, np.uint32) + np.uint32(folders)).tobytes())
        self._names += other._names
        self._ends.frombytes((np.frombuffer(other._ends, np.uint64)[1:] + np.uint64(names)).tobytes())

    def __len__(self):
        return len(self._folder)

    def __getitem__(self, place):
        """The Path at a place, int."""
        if not -len(self) <= place < len(self):
            raise IndexError(place)
        return storage.join(self.folder(place), os.fsdecode(self._name(place)))

    def __eq__(self, other):
        return list(self) == list(other)

    __hash__ = None  # They can be added to.

    def text(self, place):
        """The same as str, at a fifth of the time."""
        return os.path.join(self.folder(place), os.fsdecode(self._name(place)))

    def folder(self, place):
        """The folder, as it was given, of the path at a place: str."""
        return self._folders[self._folder[place]]

    def relative(self, place):
        """The path at a place, below the folder that was listed: bytes."""
        return self._relative[self._folder[place]] + self._name(place)

    def folders(self):
        """The different folders that paths are in, as they were given: list of str."""
        return list(dict.fromkeys(self._folders))

    def _name(self, place):
        place %= len(self)  # From the end, where it is below 0.
        return bytes(self._names[self._ends[place] : self._ends[place + 1]])
