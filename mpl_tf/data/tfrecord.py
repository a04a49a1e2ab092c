"""The places of the records in TFRecord files, and their checksums.

A record is its length (uint64), the length's checksum (uint32), the data, and the data's checksum (uint32), all
little-endian. Lengths are verified when places are found (0.2 us a record), data when they are read.
"""

import array
import collections.abc
import dataclasses
import io
import itertools
import os

import numpy as np
import tensorflow as tf

from mpl_tf.base import storage
from mpl_tf.data import record_places
from mpl_tf.data.record_places import FOOTER, HEADER, MASK

WRONG = "a record whose checksum is wrong"
READ = 2**20  # Bytes that TensorFlow's reader asks of the disk at a time.


@dataclasses.dataclass(frozen=True)
class Record:
    """A record by its place, read when it is needed, so that images are drawn in any order from any thread.

    Attributes:
        path: of the shard.
        number: in the shard, from 0.
        offset, length: of its data in the file, bytes.
        feature: that holds the encoded image.
    """

    path: str
    number: int
    offset: int
    length: int
    feature: str = "image/encoded"

    def __str__(self):
        return f"{self.path}#{self.number}"

    def example(self, file=None):
        """dict of str to the value of each feature that is there: bytes, int or float.

        Args:
            file: the shard, open and unbuffered, where many records are read; any threads may share it.
        Raises:
            ValueError: no tf.train.Example, or one without an image.
        """
        if storage.is_url(self.path):
            data = checked(self.path, self.offset, self.length)
        elif file is None:
            with open(self.path, "rb", buffering=0) as own:
                return self.example(own)
        else:
            data = os.pread(file.fileno(), self.length, self.offset)
        return image_of(data, self.feature)

    def open(self):
        """The encoded image as a binary file; raises ValueError as `example` does."""
        return io.BytesIO(self.example()[self.feature])


class Neighbours(collections.abc.Sequence):
    """Records of one shard, side by side, each made when it is asked for.

    Args:
        path: of the shard.
        first: number of the first.
        places: int64 [N, 2], offset and length of the data of each.
        feature: that holds the image.
    """

    def __init__(self, path, first, places, feature):
        self.path, self.first, self._places, self._feature = str(path), first, places, feature

    def __len__(self):
        return len(self._places)

    def __getitem__(self, place):
        """The Record at a place, int; the Neighbours of a slice of step 1."""
        if isinstance(place, slice):
            start, stop, _ = place.indices(len(self))
            return Neighbours(self.path, self.first + start, self._places[start:stop], self._feature)
        return Record(self.path, self.first + range(len(self))[place], *self._places[place].tolist(), self._feature)


class Records(collections.abc.Sequence):
    """The Records of shards, each made when it is asked for; a million take some 30 MB."""

    def __init__(self):
        self._shards, self._places = [], array.array("Q")  # Of each record: shard, number, offset, length.

    def add(self, found):
        """Append the Records of a shard."""
        self._shards += [found[0].path] if found else []
        for record in found:
            self._places.extend((len(self._shards) - 1, record.number, record.offset, record.length))

    def __len__(self):
        return len(self._places) // 4

    def __getitem__(self, place):
        """The Record at a place, int."""
        if not 0 <= place < len(self):
            raise IndexError(place)
        shard, *about = self._places[4 * place : 4 * place + 4]
        return Record(self._shards[shard], *about)

    def folders(self):
        """The shards' paths: list of str."""
        return self._shards

    def relative(self, place):
        """A name of the record that does not depend on where its shard lies: bytes."""
        record = self[place]
        return os.fsencode(f"{os.path.basename(record.path)}#{record.number}")


def neighbours(path, offset=0, first=0, stop=None, feature="image/encoded"):
    """The Records of an uncompressed shard, as Neighbours; reads their lengths alone.

    Args:
        path: of the shard.
        offset: byte where record `first` begins.
        first, stop: numbers of the records; None: to the end.
        feature: that holds the encoded image.
    Raises:
        RunError: a length whose checksum is wrong, a file that ends within a record or is no TFRecord file.
    """
    places = storage.remembered(
        path, f"records {offset} {first} {stop}", lambda: record_places.found(path, offset, first, stop)
    )
    return Neighbours(path, first, places, feature)


def records(*about, **named):
    """`neighbours` as a list."""
    return list(neighbours(*about, **named))


def checked(path, offset, length):
    """The data of one record of a URL, bytes, fetched by one request; raises ValueError where a checksum is wrong."""
    import google_crc32c  # Deferred: it comes with mpl-tf[gcs] and mpl-tf[s3].

    data = storage.read_bytes(path, offset - HEADER, offset + length + FOOTER)
    for start, stop in ((0, 8), (HEADER, HEADER + length)):
        crc = google_crc32c.value(data[start:stop])
        masked = ((crc >> 15 | crc << 17) + MASK) & 0xFFFFFFFF
        if int.from_bytes(data[stop : stop + 4], "little") != masked:
            raise ValueError(WRONG)
    return data[HEADER : HEADER + length]


def verified(path, offset, length):
    """The data of one record, or tf.errors.DataLossError where a checksum is wrong; in graph or eager mode.

    TensorFlow's own reader: 0.18 ms a record of 80 KB, beside 2 ms to decode and cut the photograph in it.

    Args:
        path: string tensor [].
        offset: int64 tensor [], of its data in the file.
        length: int64 tensor [], of its data.
    Returns:
        string tensor [].
    """
    return _reader(path, offset, length + HEADER + FOOTER).take(1).get_single_element()


def _reader(path, offset, buffer):
    records_from = tf.raw_ops.TFRecordDatasetV2(
        filenames=[path], compression_type="", buffer_size=buffer, byte_offsets=[offset - HEADER]
    )
    return tf.data.experimental.from_variant(records_from, tf.TensorSpec([], tf.string))


def damaged(found):
    """Those of many Records whose checksums are wrong: dict of Record to what is to be told of it.

    Each run of neighbours is read once from its begin to its end by TensorFlow's reader, at the disk's speed.
    """
    faults = {}
    found = (record for record in found if not storage.is_url(record.path))  # Of those, each is checked as it is read.
    runs = itertools.groupby(enumerate(found), lambda numbered: (numbered[1].path, numbered[1].number - numbered[0]))
    for _, run in runs:
        faults |= dict.fromkeys(faulty([record for _, record in run]), WRONG)
    return faults


def faulty(neighbours):
    """Those of neighbouring Records on a disk whose checksums are wrong, found by halving: a list."""
    # Through flat_map, as TensorFlow (2.21) cannot hand its reader with an offset from operation to operation.
    path, start = os.fsencode(neighbours[0].path), neighbours[0].offset
    data = tf.data.Dataset.from_tensors((path, np.int64(start))).flat_map(lambda *place: _reader(*place, READ))
    try:
        data.take(len(neighbours)).reduce(np.int64(0), lambda last, _: last)
        return []
    except tf.errors.DataLossError:
        half = len(neighbours) // 2
        return faulty(neighbours[:half]) + faulty(neighbours[half:]) if half else list(neighbours)


def image_of(data, feature):
    """The values of one serialized record as Record.example returns them; ValueError where `feature` is not bytes."""
    values = parse_bytes(data)
    if not isinstance(values.get(feature), bytes):
        raise ValueError(f"a record without {feature}")
    return values


def is_packed(path):
    """Whether a TFRecord file is gzip'd: it begins as gzip has it, and not with a length that has its checksum."""
    with storage.open_file(path) as file:
        head = file.read(HEADER)
    return head[:3] == b"\x1f\x8b\x08" and not (len(head) == HEADER and record_places.lengths_hold(head)[0])


def parse_bytes(data):
    """Parse one serialized record in Python: dict as Record.example returns it; ValueError where it is none."""
    try:
        features = tf.train.Example.FromString(data).features.feature
    except Exception as error:  # protobuf's DecodeError, whose module has moved between its versions.
        raise ValueError("no tf.train.Example") from error
    kinds = {name: (features[name].WhichOneof("kind"), features[name]) for name in features}
    lists = {name: getattr(feature, kind).value for name, (kind, feature) in kinds.items() if kind}
    return {name: value[0] for name, value in lists.items() if len(value)}
