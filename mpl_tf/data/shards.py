"""TFRecord shards of unlabeled images: the record that tools.filter_unlabeled writes and training reads.

| feature           | type         | what it is                                                              |
|-------------------|--------------|-------------------------------------------------------------------------|
| image/encoded     | bytes        | JPEG or PNG that TensorFlow's own decoders read                          |
| image/id          | bytes        | UTF-8 name, unique within the set                                        |
| image/class/label | int64        | class that the scoring network gave it; -1: unknown                      |
| image/probability | float32      | of that class, in [0, 1]; -1: unknown                                    |
| image/copies      | int64        | times that an epoch shows it, 1 to MOST_COPIES (Noisy Student's up-sampling) |

Only image/encoded must be there, so that other people's shards of images are read too.
"""

import itertools

import numpy as np
import tensorflow as tf

from mpl_tf.base import storage
from mpl_tf.base.errors import RunError

SPEC = {
    "image/encoded": tf.io.FixedLenFeature([], tf.string),
    "image/id": tf.io.FixedLenFeature([], tf.string, ""),
    "image/class/label": tf.io.FixedLenFeature([], tf.int64, -1),
    "image/probability": tf.io.FixedLenFeature([], tf.float32, -1.0),
    "image/copies": tf.io.FixedLenFeature([], tf.int64, 1),
}
HEAD = 512  # Bytes in which image/copies is looked for before the whole record is read.
MOST_COPIES = 2**20  # Of one image, an epoch; Noisy Student fills classes up to 130,000.
MOST_SHOWN = 2**30  # Images an epoch: their numbers are int32 and take 4 GiB.


def copies(found):
    """int32 [N]: image/copies of N Records, 1 where there is none or the record cannot be read.

    Reads the first bytes of a record, where `serialize` puts it, and those of a shard whose first record has none not
    at all.

    Raises:
        RunError: naming a record with another number than 1 to MOST_COPIES.
    """
    counts = [np.zeros([0], np.int32)]
    for path, group in itertools.groupby(found, lambda record: record.path):
        of_shard = list(group)
        what = f"copies {of_shard[0].number} {of_shard[-1].number}"
        counts.append(storage.remembered(path, what, lambda of_shard=of_shard: _copies_of(of_shard)))
    return np.concatenate(counts)


def _copies_of(of_shard):
    """`copies` of records of one shard."""
    counts = []
    with storage.open_file(of_shard[0].path, "rb", buffering=0) as file:
        has = _copies(file, of_shard[0]) is not None
        for record in of_shard:
            given = _copies(file, record) if has else None
            if given is not None and not (isinstance(given, int) and 1 <= given <= MOST_COPIES):
                raise RunError(f"{record}: expected image/copies of 1 to {MOST_COPIES}, got {given!r}; mend the shard")
            counts.append(given or 1)
    return np.array(counts, np.int32)


def _copies(file, record):
    """image/copies of a record of an open shard as it stands there, or None."""
    file.seek(record.offset)
    head = file.read(min(record.length, HEAD))
    at = head.find(b"image/copies\x12")
    try:
        if at >= 0:
            start = at + len(b"image/copies\x12") + 1  # After the length of the value, a tf.train.Feature: one byte.
            found = tf.train.Feature.FromString(head[start : start + head[start - 1]]).int64_list.value
            if found:
                return found[0]
        return record.example().get("image/copies")
    except Exception:  # No tf.train.Example, by any of protobuf's errors: reading its image will tell.
        return None


def order(counts):
    """int32 [M]: the examples of an epoch, one that counts c times (int32 [N]) c times; None where each comes once.

    Raises:
        RunError: M is more than MOST_SHOWN.
    """
    shown = int(counts.sum(dtype=np.int64))
    if shown > MOST_SHOWN:
        raise RunError(
            f"image/copies of the unlabeled shards make an epoch of {shown} images, expected {MOST_SHOWN} at most; "
            "give fewer shards, or write them with fewer copies"
        )
    return np.repeat(np.arange(len(counts), dtype=np.int32), counts) if (counts > 1).any() else None


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
