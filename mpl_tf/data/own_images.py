"""The images of the user's folders as they lie there: listed, and read when they are needed.

Each is decoded as those that are read into memory are (mpl_tf/data/decode.py), so that both ways give the same bits.
One that cannot be read ends the run by its name. With --skip_bad_images it is left out: in training the next one of its
class that can be read stands in its place, with its own number; in scoring it has no part.
"""

import bisect
import dataclasses
import functools
import hashlib
import io
import itertools
import os

import numpy as np
import tensorflow as tf

from mpl_tf.base import console, storage
from mpl_tf.data import ahead, contents, decode, members, shards, tfrecord
from mpl_tf.data.file_kinds import KINDS
from mpl_tf.data.from_files import FromFiles
from mpl_tf.data.source import digest

TOLD = 3  # Images left out that are told by name when they are met; results.json has all.


@dataclasses.dataclass(frozen=True, eq=False)
class OwnImages(FromFiles):
    """Images of folders and shards, in the place of a Source.

    Attributes:
        pools: tuple of Paths, tfrecord.Records and Members, which `numbers` goes through one after the other.
        numbers: int32 [N], of the examples among all of the pools'.
        size: side S of the images, pixels.
        resize, background: as in decode.decode.
        skip_bad: whether one that cannot be read is left out instead of ending the run.
        labels: int32 [N] in [0, classes), or None where they are unknown.
        copies: int32 [N], how often an epoch shows each; None: once.
        targets: as in Source.
        bad: dict of the examples that were found to be unreadable, by number 0..N - 1, to what is wrong with them.
    """

    pools: tuple
    numbers: np.ndarray
    size: int
    resize: str = "crop"
    background: tuple = decode.WHITE
    skip_bad: bool = False
    labels: np.ndarray | None = None
    copies: np.ndarray | None = None
    targets: np.ndarray | None = None
    bad: dict = dataclasses.field(default_factory=dict, repr=False)
    failures: list = dataclasses.field(default_factory=list, repr=False)

    def __len__(self):
        return len(self.numbers)

    @property
    def advice(self):
        """What to do about an image that cannot be read."""
        return f"mend it{'' if self.skip_bad else ', or add --skip_bad_images'}; the same command then goes on"

    @property
    def labeled(self):
        """Whether the labels are known."""
        return self.labels is not None

    @functools.cached_property
    def order(self):
        """As in Source: an example of c copies c times."""
        return None if self.copies is None else shards.order(self.copies)

    @functools.cached_property
    def ahead(self):
        """Ahead of the examples' files, where one of them is in a bucket, else None."""
        remote = any(storage.is_url(folder) for pool in self.pools for folder in pool.folders())
        return ahead.Ahead(lambda number: members.read(self.source(number))) if remote else None

    @property
    def nbytes(self):
        """Bytes that the images take in memory."""
        return len(self) * self.size**2 * 3

    @property
    def origin(self):
        """What Source.origin is of these."""
        return self

    def take(self, indices, with_labels=True):
        """The examples at `indices` (int [n] or slice), without their labels if so asked; each counts once."""
        labels = self.labels[indices] if with_labels and self.labeled else None
        return self._with(numbers=self.numbers[indices], labels=labels, copies=None)

    def kept(self, fine):
        """The examples where `fine`, bool [N], holds; they count as often as before."""
        arrays = {name: getattr(self, name) for name in ("numbers", "labels", "copies")}
        return self._with(**{name: None if values is None else values[fine] for name, values in arrays.items()})

    def joined(self, other):
        """These without their labels, and those of another OwnImages after them."""
        first = sum(map(len, self.pools))
        numbers = np.concatenate([self.numbers, other.numbers + np.int32(first)])
        copies = [np.ones([len(part)], np.int32) if part.copies is None else part.copies for part in (self, other)]
        once = self.copies is None and other.copies is None
        return self._with(
            pools=self.pools + other.pools,
            numbers=numbers,
            labels=None,
            copies=None if once else np.concatenate(copies),
        )

    def _with(self, **changes):
        return dataclasses.replace(self, **changes, targets=None, bad={}, failures=[])

    def source(self, number):
        """Where an example is: a Path, a tfrecord.Record or a Member."""
        pool, place = self.place(number)
        return pool[place]

    def sources(self):
        """Those of all examples, in order: list."""
        return [self.source(number) for number in range(len(self))]

    def place(self, number):
        """(pool, place in it) of an example."""
        place = int(self.numbers[number])
        pool = bisect.bisect_right(self._ends, place)
        return self.pools[pool], place - (self._ends[pool - 1] if pool else 0)

    @functools.cached_property
    def _ends(self):
        return list(itertools.accumulate(map(len, self.pools)))

    def fingerprint(self):
        """SHA-256 of the examples in order: of their names, labels and contents (as contents.py knows these)."""
        return hashlib.sha256(f"{self.names()} {self.contents()}".encode()).hexdigest()

    def contents(self):
        """SHA-256 of the examples' sizes and of some of their bytes (contents.py)."""
        return contents.digest(self)

    def names(self):
        """SHA-256 of the examples' names below their folders, in order, and of their labels; no file is read."""
        hashed = hashlib.sha256(repr((self.size, self.resize, self.background)).encode())
        for number in range(len(self)):
            pool, place = self.place(number)
            hashed.update(pool.relative(place) + b"\0")
        for values in (self.labels, self.copies):
            hashed.update(b"" if values is None else np.ascontiguousarray(values))
        return hashed.hexdigest()

    def training_example(self, number, seed):
        """An example, the same at each time; see FromFiles."""
        image, number = self._in_graph(self._readable, number, tf.int32)
        return image, tf.constant(-1) if self.labels is None else tf.gather(self.labels, number), number

    def plain_example(self, number):
        """The same; label -1 where it is unknown, and where the image was left out and is black."""
        return self._in_graph(self._or_black, number, tf.int32)

    def pieces(self, size, start=0):
        """As Source has them, without what was left out; of examples without labels, which are known by their numbers,
        that is black."""
        for images, labels in super().pieces(size, start):
            if self.labels is None:
                yield images, None
            elif (labels >= 0).any():
                yield images[labels >= 0], labels[labels >= 0]

    def digests(self):
        """A number of each image, uint64 [N]: by its path, its bytes' number and how it comes to its size in pixels.

        Source has it by the pixels.
        """
        look = (self.size, self.resize, self.background)
        sizes = contents.sizes(self).tolist()
        hashed = (os.fsencode(str(self.source(n))) + repr((*look, size)).encode() for n, size in enumerate(sizes))
        return np.fromiter(map(digest, hashed), np.uint64, len(self))

    def at(self, numbers):
        """The images of these numbers, int [n], as training sees them: uint8 [n, S, S, 3]."""
        return np.stack([self._readable(int(number))[0] for number in numbers])

    def left_out(self):
        """Names of the images that were found to be unreadable and left out: list of str."""
        return [str(self.source(number)) for number in sorted(self.bad)]

    def _in_graph(self, function, number, kind):
        image, about = tf.numpy_function(function, [number], [tf.uint8, kind], stateful=False)
        return tf.ensure_shape(image, self.shape), tf.ensure_shape(about, [])

    def _readable(self, number):
        """(the first image from `number` on that is of its class, where that is known, and can be read; its number)."""
        for tried in itertools.chain(range(number, len(self)), range(number)):
            of_class = self.labels is None or self.labels[tried] == self.labels[number]
            image = self._decoded(tried) if of_class else None
            if image is not None:
                return image, np.int32(tried)
        raise self.note(f"{self.source(number)}: expected a readable {KINDS} image, and none stands for it")

    def _or_black(self, number):
        """(the image, its label)."""
        image = self._decoded(number)
        if image is None:
            return np.zeros(self.shape, np.uint8), np.int32(-1)
        return image, np.int32(-1 if self.labels is None else self.labels[number])

    def _decoded(self, number):
        """The image, uint8 [S, S, 3]; None where it is left out, RunError where that is not asked for."""
        if number in self.bad:
            return None
        source = self.source(number)
        try:
            file = io.BytesIO(self.ahead.get(int(number))) if self.ahead else _file(source)
            return decode.decode(file, self.size, self.background, self.resize)
        except Exception as error:  # Damaged files raise whatever a plugin stumbles over.
            if storage.refused(error):
                raise self.note(f"{source}: {error.strerror}") from error
            wrong = tfrecord.WRONG if isinstance(error, tf.errors.DataLossError) else decode.fault(error)
        line = f"{source}: expected a readable {KINDS} image, got {wrong}"
        if not self.skip_bad:
            raise self.note(line)
        self.bad[int(number)] = wrong
        if len(self.bad) <= TOLD:
            more = "; of others results.json will have the names" if len(self.bad) == TOLD else ""
            console.tell(f"{line}; left out{more}")
        return None


def _file(source):
    """What decode.decode takes: of a Record, its checksum verified, the image in it."""
    return _record(source) if isinstance(source, tfrecord.Record) else source


def _record(record):
    """The encoded image of a Record as a binary file, its checksum verified."""
    data = tfrecord.verified(
        *map(tf.constant, (os.fsencode(record.path), np.int64(record.offset), np.int64(record.length)))
    )
    image = tfrecord.parse_bytes(data.numpy()).get(record.feature)
    if not isinstance(image, bytes):
        raise ValueError(f"a record without {record.feature}")
    return io.BytesIO(image)
