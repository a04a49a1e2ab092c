"""TFRecord shards of unlabeled images: the record that tools.filter_unlabeled writes and training reads.

| feature           | type         | what it is                                                              |
|-------------------|--------------|-------------------------------------------------------------------------|
| image/encoded     | bytes        | JPEG or PNG that TensorFlow's own decoders read                          |
| image/id          | bytes        | UTF-8 name, unique within the set                                        |
| image/class/label | int64        | class that the scoring network gave it; -1: unknown                      |
| image/probability | float32      | of that class, in [0, 1]; -1: unknown                                    |
| image/copies      | int64        | times that an epoch shows it, >= 1 (Noisy Student's up-sampling, counted) |

Only image/encoded must be there, so that other people's shards of images are read too.
"""

import dataclasses
import io
import itertools
import os
import re
import struct
from pathlib import Path

import numpy as np
import tensorflow as tf

from mpl_tf.base.errors import RunError, UsageError

SPEC = {
    "image/encoded": tf.io.FixedLenFeature([], tf.string),
    "image/id": tf.io.FixedLenFeature([], tf.string, ""),
    "image/class/label": tf.io.FixedLenFeature([], tf.int64, -1),
    "image/probability": tf.io.FixedLenFeature([], tf.float32, -1.0),
    "image/copies": tf.io.FixedLenFeature([], tf.int64, 1),
}
# Also TFDS' NAME.tfrecord-00000-of-00002, and ImageNet's usual train-00000-of-01024.
SHARD = re.compile(r"^[^.].*(\.tfrec(ord)?s?(-\d{5}-of-\d{5})?|-\d{5}-of-\d{5})$")
OF = re.compile(r"-\d{5}-of-(\d{5})")
HEADER, FOOTER = 12, 4  # Bytes of TFRecord's framing: length (little-endian uint64) and its checksum; the data's.
HEAD = 512  # Bytes in which image/copies is looked for before the whole record is read.


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
        if file is None:
            with open(self.path, "rb", buffering=0) as own:
                return self.example(own)
        values = parse_bytes(os.pread(file.fileno(), self.length, self.offset))
        if not isinstance(values.get(self.feature), bytes):
            raise ValueError(f"a record without {self.feature}")
        return values

    def open(self):
        """The encoded image as a binary file; raises ValueError as `example` does."""
        return io.BytesIO(self.example()[self.feature])


def records(path, offset=0, first=0, stop=None, feature="image/encoded"):
    """The Records of an uncompressed shard; reads their lengths alone.

    Args:
        path: of the shard.
        offset: byte where record `first` begins.
        first, stop: numbers of the records; None: to the end.
        feature: that holds the encoded image.
    Raises:
        RunError: the file ends within a record or is no TFRecord file.
    """
    found, size, number = [], Path(path).stat().st_size, first
    with open(path, "rb") as file:
        while offset < size and number != stop:
            file.seek(offset)
            header = file.read(HEADER)
            length = struct.unpack("<Q", header[:8])[0] if len(header) == HEADER else size
            if offset + HEADER + length + FOOTER > size:
                raise RunError(
                    f"{path}: expected an uncompressed TFRecord file, it ends within record {number}; "
                    "copy it again, or remove it"
                )
            found.append(Record(str(path), number, offset + HEADER, length, feature))
            number += 1
            offset += HEADER + length + FOOTER
    return found


def copies(found):
    """int32 [N]: image/copies of N Records, 1 where there is none or it cannot be read.

    Reads the first bytes of a record, where `serialize` puts it, and those of a shard whose first record has none not
    at all.
    """
    counts = []
    for path, group in itertools.groupby(found, lambda record: record.path):
        of_shard = list(group)
        with open(path, "rb", buffering=0) as file:
            has = _copies(file, of_shard[0]) is not None
            counts += [(_copies(file, record) or 1) if has else 1 for record in of_shard]
    return np.maximum(np.array(counts, np.int32), 1)


def _copies(file, record):
    """image/copies of a record of an open shard, or None."""
    file.seek(record.offset)
    head = file.read(min(record.length, HEAD))
    at = head.find(b"image/copies\x12")
    try:
        if at < 0:
            return record.example().get("image/copies")
        start = at + len(b"image/copies\x12") + 1  # After the length of the value, a tf.train.Feature: one byte.
        return tf.train.Feature.FromString(head[start : start + head[start - 1]]).int64_list.value[0]
    except Exception:  # No tf.train.Example, by any of protobuf's errors: reading its image will tell.
        return None


def order(counts):
    """int32 [M]: the examples of an epoch, one that counts c times (int32 [N]) c times; None where each comes once."""
    return np.repeat(np.arange(len(counts), dtype=np.int32), counts) if (counts > 1).any() else None


def is_shard(path):
    """Whether a file's name is that of a TFRecord shard: *.tfrecord, *.tfrec, *.tfrecord-00000-of-00002."""
    return SHARD.match(Path(path).name) is not None


def files(folder, flag):
    """Sorted paths of the TFRecord shards in `folder`, at any depth; an empty list where there are none.

    Args:
        folder: path.
        flag: what the user gave it by, for the message.
    Raises:
        UsageError: shards named -00000-of-N that are not N: a set that is not whole.
    """
    found = sorted(path for path in Path(folder).rglob("*") if is_shard(path) and path.is_file())
    sets = {}
    for path in found:
        numbered = OF.search(path.name)
        if numbered:
            sets.setdefault((path.parent, OF.sub("", path.name), int(numbered[1])), []).append(path)
    for (parent, _, expected), paths in sets.items():
        if len(paths) != expected:
            raise UsageError(
                f"{flag}: expected {expected} shards like {paths[0].name} in {parent}, found {len(paths)}; "
                "let the program that writes them finish, or copy the others too"
            )
    return found


def serialize(encoded, identifier, label, probability, copies=1):
    """One record as bytes; see the table above for the arguments, in its order."""

    def integer(number):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[number]))

    def text(content):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[content]))

    features = {
        "image/encoded": text(encoded),
        "image/id": text(identifier.encode()),
        "image/class/label": integer(label),
        "image/probability": tf.train.Feature(float_list=tf.train.FloatList(value=[probability])),
        "image/copies": integer(copies),
    }
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString(deterministic=True)


def parse(data):
    """Parse serialized records, in graph or eager mode.

    Args:
        data: string tensor [] or [B].
    Returns:
        dict of the names in SPEC to tensors [] or [B].
    """
    if data.shape.rank:
        return tf.io.parse_example(data, SPEC)
    return tf.io.parse_single_example(data, SPEC)


def parse_bytes(data):
    """Parse one serialized record in Python: dict as Record.example returns it; ValueError where it is none."""
    try:
        features = tf.train.Example.FromString(data).features.feature
    except Exception as error:  # protobuf's DecodeError, whose module has moved between its versions.
        raise ValueError("no tf.train.Example") from error
    kinds = {name: (features[name].WhichOneof("kind"), features[name]) for name in features}
    lists = {name: getattr(feature, kind).value for name, (kind, feature) in kinds.items() if kind}
    return {name: value[0] for name, value in lists.items() if len(value)}


def decode(encoded):
    """The image of image/encoded, as PIL decodes it bit for bit (accurate JPEG transform).

    Args:
        encoded: string tensor [], JPEG or PNG.
    Returns:
        uint8 [H, W, 3] in [0, 255].
    """
    jpeg = tf.io.is_jpeg(encoded)
    image = tf.cond(
        jpeg,
        lambda: tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE"),
        lambda: tf.io.decode_png(encoded, channels=3),
    )
    return tf.ensure_shape(image, [None, None, 3])
