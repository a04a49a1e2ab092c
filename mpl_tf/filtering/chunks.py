"""A unit of work, and an image of it."""

import dataclasses
import os
from collections.abc import Callable

from mpl_tf.data import decode


@dataclasses.dataclass(frozen=True)
class Chunk:
    """A unit of work: images `start` to `stop` of a list of files, or of a file that holds many.

    Attributes:
        number: from 0.
        place: the file of the list, or the one that holds the images.
        start, stop: of the place's images.
        offset: byte of the first line or record in the place; of a Parquet file the number of the first row group.
        feature: of records, or the column, that holds the image; empty for a list of files.
        name: of the place in ids, as the user wrote it.
        shift: added to the numbers of a shard's records in ids: images of the shards before it.
        background: colour that transparent images are laid on.
        kind: of the place: parquet; tar or records of a compressed file, which is one chunk; empty: a list of files
            or, with a feature, a TFRecord shard.
    """

    number: int
    place: str
    start: int
    stop: int
    offset: int
    feature: str = ""
    name: str = ""
    shift: int = 0
    background: str = "white"
    kind: str = ""

    def __len__(self):
        return self.stop - self.start

    @property
    def ground(self):
        """The background as RGB, integers in [0, 255]."""
        return decode.colour(self.background)

    @property
    def listed(self):
        """Whether the place is the run's own list of files."""
        return not (self.feature or self.kind)


@dataclasses.dataclass(frozen=True)
class Item:
    """An image of a chunk.

    Attributes:
        row: in the chunk, from 0.
        source: where it is: a path, FILE/member or SHARD#number.
        load: function that returns (id, encoded image: bytes); raises OSError or ValueError.
        name: the id where `load` fails.
    """

    row: int
    source: str
    load: Callable
    name: str


def printable(path):
    """A path as text that a table can hold, whatever bytes its name has."""
    return os.fsencode(path).decode(errors="backslashreplace")
