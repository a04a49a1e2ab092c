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
from mpl_tf.base.errors import RunError

HEADER, FOOTER = 12, 4  # Bytes before and after a record's data.
CRC32C, MASK = (
    0x82F63B78,
    0xA282EAD8,
)  # The checksum's polynomial, and what TFRecord adds to it after a turn of 15 bits.
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


def records(path, offset=0, first=0, stop=None, feature="image/encoded"):
    """The Records of an uncompressed shard; reads their lengths alone.

    Args:
        path: of the shard.
        offset: byte where record `first` begins.
        first, stop: numbers of the records; None: to the end.
        feature: that holds the encoded image.
    Raises:
        RunError: a length whose checksum is wrong, a file that ends within a record or is no TFRecord file.
    """
    places = storage.remembered(path, f"records {offset} {first} {stop}", lambda: _places(path, offset, first, stop))
    return [Record(str(path), first + number, *place, feature) for number, place in enumerate(places.tolist())]


def _places(path, offset, first, stop):
    """int64 [N, 2]: offset and length of the data of the records; arguments and errors as in `records`."""
    found, headers, size, number, start = [], bytearray(), storage.size(path), first, offset
    with storage.open_file(path) as file:
        while start < size and number != stop:
            file.seek(start)
            header = file.read(HEADER)
            length = int.from_bytes(header[:8], "little")
            if len(header) < HEADER or start + HEADER + length + FOOTER > size:
                break
            headers += header
            found.append((start + HEADER, length))
            number += 1
            start += HEADER + length + FOOTER
    # A wrong length leads astray: the first one is to blame, wherever the walk ended.
    wrong = np.flatnonzero(~_lengths_hold(headers))
    if len(wrong):
        raise RunError(f"{path}#{first + wrong[0]}: the checksum of this record's length is wrong; copy the file again")
    if start < size and number != stop:
        raise RunError(
            f"{path}: expected an uncompressed TFRecord file, it ends within record {number}; "
            "copy it again, or remove it"
        )
    return np.array(found, np.int64).reshape(-1, 2)


def _lengths_hold(headers):
    """bool [N]: whether the length (uint64) in each header of 12 bytes has the checksum (uint32) that follows it."""
    parts = np.frombuffer(headers, np.uint8).reshape(-1, HEADER)  # [N, 12]
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = (table >> 1) ^ (table & 1) * np.uint32(CRC32C)
    crc = np.full([len(parts)], 2**32 - 1, np.uint32)
    for column in range(8):
        crc = (crc >> 8) ^ table[(crc ^ parts[:, column]) & 255]
    crc = ~crc
    masked = ((crc >> 15) | (crc << 17)) + np.uint32(MASK)  # Wraps around.
    return masked == np.ascontiguousarray(parts[:, 8:]).view("<u4")[:, 0]


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
        faults |= dict.fromkeys(_faulty([record for _, record in run]), WRONG)
    return faults


def _faulty(neighbours):
    """Those of neighbouring records whose checksums are wrong, found by halving."""
    # Through flat_map, as TensorFlow (2.21) cannot hand its reader with an offset from operation to operation.
    path, start = os.fsencode(neighbours[0].path), neighbours[0].offset
    data = tf.data.Dataset.from_tensors((path, np.int64(start))).flat_map(lambda *place: _reader(*place, READ))
    try:
        data.take(len(neighbours)).reduce(np.int64(0), lambda last, _: last)
        return []
    except tf.errors.DataLossError:
        half = len(neighbours) // 2
        return _faulty(neighbours[:half]) + _faulty(neighbours[half:]) if half else neighbours


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
    return head[:3] == b"\x1f\x8b\x08" and not (len(head) == HEADER and _lengths_hold(head)[0])


def parse_bytes(data):
    """Parse one serialized record in Python: dict as Record.example returns it; ValueError where it is none."""
    try:
        features = tf.train.Example.FromString(data).features.feature
    except Exception as error:  # protobuf's DecodeError, whose module has moved between its versions.
        raise ValueError("no tf.train.Example") from error
    kinds = {name: (features[name].WhichOneof("kind"), features[name]) for name in features}
    lists = {name: getattr(feature, kind).value for name, (kind, feature) in kinds.items() if kind}
    return {name: value[0] for name, value in lists.items() if len(value)}
