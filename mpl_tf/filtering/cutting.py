"""Files that hold many images, cut into chunks, or into lines of the run's list where each image has a place.

TFRecord shards by records, Parquet files by row groups, tar and zip files by their members; what gzip has packed can
only be read from its begin to its end, so that it is one chunk.
"""

import dataclasses
import functools

from mpl_tf.base import storage
from mpl_tf.base.errors import UsageError
from mpl_tf.data import archives, listing, parquet, tfrecord
from mpl_tf.data.tfds import TfdsData
from mpl_tf.filtering import reading
from mpl_tf.filtering.chunks import Chunk, printable
from mpl_tf.settings.forms import TABLES

ENCODED = "image/encoded"  # The feature of TFRecords that holds the image where no flag names one.
GZIP = ".gz"


@dataclasses.dataclass(frozen=True)
class About:
    """How the images of a flag are cut.

    Attributes:
        flag: its name, for messages.
        size: images a chunk at most, where the file can be cut so.
        feature: that holds the image, as --image_feature names it; empty: ENCODED, or as parquet.column finds it.
        data_dir: folder of TFDS data sets.
        passed: PassedOver, counts what is no image.
    """

    flag: str
    size: int
    feature: str = ""
    data_dir: str = ""
    passed: listing.PassedOver = dataclasses.field(default_factory=listing.PassedOver)


def holds_many(name):
    """Whether a file of this name, no TFRecord shard by it, holds many images: tar, zip, Parquet, *.tfrecord.gz."""
    return listing.is_holder(name) or _is_packed(name)


def _is_packed(name):
    return name.lower().endswith(GZIP) and listing.is_shard(name[: -len(GZIP)])


def is_opened(path):
    """Whether a file of this name has to be looked into: it may hold many images."""
    return holds_many(path) or listing.is_shard(path)


def image(path):
    """The piece of a file that is one image."""
    return [[path, storage.absolute(path)]]


def pieces(path, about, alone):
    """The Chunks of a file that holds many images, or the lines of the run's list of a file's images.

    Args:
        path: as the user wrote it; what no name says is an image by itself.
        about: About.
        alone: whether the user named the file itself: one without images is then refused, and else passed over.
    Raises:
        UsageError: no such feature or column.
        RunError: the file is damaged.
    """
    if archives.is_archive(path):
        return _archive(path, about)
    if parquet.is_table(path):
        return _table(path, about, alone)
    # The name does not tell: TensorFlow's writers pack under any name.
    if _is_packed(path) or (listing.is_shard(path) and tfrecord.is_packed(path)):
        return _packed_records(path, about)
    if listing.is_shard(path):
        return _shard(path, about)
    return image(path)


def tfds_shards(spec, about):
    """The shards of tfds:NAME/SPLIT: list of functions of the About that return the Chunks of one.

    Raises:
        UsageError: another form, or no such split.
        RunError: a data set that cannot be read.
    """
    name, _, split = spec.removeprefix("tfds:").rpartition("/")
    if not name:
        raise UsageError(f"{about.flag}: expected tfds:NAME/SPLIT, got {spec}")
    found, done = [], 0
    for path, skip, take in TfdsData(name, about.data_dir).shards(split, about.flag):
        found.append(functools.partial(_tfds_shard, path, skip, take, spec, done))
        done += take
    return found


def _tfds_shard(path, skip, take, spec, before, about):
    records = tfrecord.neighbours(path)[skip : skip + take]
    yield from _of_records(records, about.size, "image", spec, before - skip)


def _of_records(records, size, feature, name, shift):
    for start in range(0, len(records), size):
        first, last = records[start], records[min(start + size, len(records)) - 1]
        offset = first.offset - tfrecord.HEADER
        yield Chunk(0, storage.absolute(first.path), first.number, last.number + 1, offset, feature, name, shift)


def _shard(path, about):
    feature, records = about.feature or ENCODED, tfrecord.neighbours(path)
    if records:
        offset, length = records[0].offset, records[0].length
        _check_feature(path, storage.read_bytes(path, offset, offset + length), feature)
    yield from _of_records(records, about.size, feature, printable(path), 0)


def _check_feature(path, data, feature):
    """Refuse a feature that the first record (bytes) lacks: else every image is told as unreadable, in the end."""
    try:
        values = tfrecord.parse_bytes(data)
    except ValueError:  # Told with its row, as any record that is damaged.
        return
    images = sorted(name for name, value in values.items() if isinstance(value, bytes))
    if images and feature not in images:
        raise UsageError(
            f"--image_feature: expected a feature with the image, {feature} is not in {path}, whose first record has "
            f"{listing.told(images)}; say in which"
        )


def _packed_records(path, about):
    feature, count = about.feature or ENCODED, 0
    for count, data in enumerate(reading.unpacked(path), 1):
        if count == 1:
            _check_feature(path, data, feature)
    if count:
        yield Chunk(0, storage.absolute(path), 0, count, 0, feature, printable(path), kind="records")


def _archive(path, about):
    place, packed = storage.absolute(path), 0
    for member, at in archives.images(path, about.passed):
        if at is None:
            packed += 1
        else:
            yield [f"{path}/{member}", place, member, at]
    if packed:
        yield Chunk(0, place, 0, packed, 0, name=printable(path), kind="tar")


def _table(path, about, alone):
    column = parquet.column(path, about.feature)
    if column is None:
        if alone:
            wanted = f"a column {about.feature}" if about.feature else "one column"
            raise UsageError(f"--image_feature: expected {wanted} of images, bytes or a struct with bytes, in {path}")
        about.passed[TABLES[0]] += 1
        return
    start, first, count = 0, 0, 0
    groups = parquet.groups(path)
    for number, rows in enumerate(groups):
        # Whole row groups, as many as fit; the last chunk takes what is left.
        if count and count + rows > about.size:
            yield _of_rows(path, start, count, first, column)
            start, first, count = start + count, number, 0
        count += rows
    if count:
        yield _of_rows(path, start, count, first, column)


def _of_rows(path, start, count, group, column):
    return Chunk(0, storage.absolute(path), start, start + count, group, column, printable(path), kind="parquet")
