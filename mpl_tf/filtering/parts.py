"""The best of each class, in a file a group of classes: their numbers in memory, ids and the like in the files."""

import numpy as np
import pyarrow as pa

from mpl_tf.filtering import dedup, tables
from mpl_tf.filtering.overlap import unpacked

NUMBERS = ("class", "probability", "chunk", "row")


class Parts:
    """Candidates of several files, one after the other, numbered through all of them.

    Args:
        paths: of tables of tables.CANDIDATES, together in select.ORDER.

    Attributes:
        numbers: table of NUMBERS, all of them.
    """

    def __init__(self, paths):
        self.paths = list(paths)
        schema = _schema(*NUMBERS)
        found = [self._read(path, *NUMBERS) for path in self.paths]
        self._starts = np.cumsum([0, *map(len, found)])
        self.numbers = pa.concat_tables([schema.empty_table(), *found]).combine_chunks()

    def __len__(self):
        return int(self._starts[-1])

    def ids(self, places):
        """Arrow array of the ids at places (int64 [n], sorted)."""
        found, bounds = [], np.searchsorted(places, self._starts)
        for path, start, first, stop in zip(self.paths, self._starts, bounds, bounds[1:], strict=False):
            if first < stop:
                found += self._read(path, "id")["id"].take(pa.array(places[first:stop] - start)).chunks
        return pa.chunked_array(found, tables.TEXT).combine_chunks()

    def tables(self, *names):
        """(place of the first, table with these columns) of each file."""
        for path, start in zip(self.paths, self._starts.tolist(), strict=False):
            yield start, self._read(path, *names)

    def pool(self):
        """dedup.Pool of all of them."""
        words = np.empty([4, len(self)], np.uint64)
        for start, table in self.tables("fingerprint"):
            found = unpacked(table["fingerprint"].combine_chunks())
            words[:, start : start + len(found)] = np.ascontiguousarray(found).view(np.uint64).T
        groups, words = dedup.grouped(words)
        classes, probability, chunk, row = (self.numbers[name].to_numpy() for name in NUMBERS)
        return dedup.Pool(classes, probability, chunk.astype(np.int64) << 32 | row, groups, words, self.ids)

    def _read(self, path, *names):
        return tables.read(path, _schema(*names), only=True)


def _schema(*names):
    return pa.schema([tables.CANDIDATES.field(name) for name in names])
