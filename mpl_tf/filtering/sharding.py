"""Near pairs of many hashes, each of the lists that find them made by a worker.

Each list (near.keys) goes by other parts of the hashes' bits and knows nothing of the others, so that each is a unit of
work; the hashes and what is found go by files.
"""

import functools

import numpy as np

from mpl_tf.base import files, storage
from mpl_tf.filtering import near, runner
from mpl_tf.filtering.runner import beam

LEAST = 1 << 20  # Hashes below which the workers would take longer to begin than the lists do.


class Near(runner.Told):
    """The pairs of a list into their file.

    Args:
        folder: of hashes.npy; gets pairs-00000.npy and so on.
        first, distance, most: as near.of_list has them.
    """

    def __init__(self, folder, first, distance, most):
        self.folder, self.about = folder, (first, distance, most)

    def work(self, element):
        """(number, key) -> number."""
        number, key = element
        found = near.of_list(_hashes(str(storage.path(self.folder) / "hashes.npy")), key, *self.about)
        _save(_pairs(self.folder, number), found)
        yield number


class Workers:
    """Beam's workers, for near.pairs.

    Args:
        folder: Path that they see too.
        arguments: list of str, Beam's own flags; where there are none, this process does all.
    """

    def __init__(self, folder, arguments):
        self._folder, self._arguments, self._number = folder, list(arguments), 0

    def of_lists(self, words, lists, first, distance, most=None):
        """As near.of_lists."""
        if not self._arguments or words.shape[1] < LEAST:
            yield from near.of_lists(words, lists, first, distance, most)
            return
        self._number += 1
        folder = self._folder / f"{self._number:03d}"  # Workers remember what they read by its name.
        _save(folder / "hashes.npy", words)
        step, elements = beam.ParDo(Near(str(folder), first, distance, most)), list(enumerate(lists))
        runner.run(self._arguments, lambda p: p | beam.Create(elements) | beam.Reshuffle() | step)
        for number, _ in elements:
            yield _load(_pairs(folder, number))
        storage.remove_tree(folder)


@functools.lru_cache(maxsize=1)
def _hashes(path):
    return _load(path)


def _pairs(folder, number):
    return storage.path(folder) / f"pairs-{number:05d}.npy"


def _save(path, values):
    def save(temporary):
        with temporary.open("wb") as file:
            np.save(file, values)

    files.write(path, save)


def _load(path):
    """The array of a file; its parts are read when they are needed."""
    with storage.fetched(path) as copy:
        return np.load(copy, mmap_mode="r")
