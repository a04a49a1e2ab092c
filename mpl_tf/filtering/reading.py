"""The Items of a chunk, by what holds its images: files, members of archives, records, rows of Parquet files."""

import functools
import itertools
import json
import os

import tensorflow as tf

from mpl_tf.base import storage
from mpl_tf.base.errors import RunError, reason
from mpl_tf.data import archives, parquet, tfrecord
from mpl_tf.filtering.chunks import Item, printable


def items(chunk, rows=None):
    """The Items of a chunk, in order. Those that can be read by their place are read when they are loaded.

    Args:
        chunk: chunks.Chunk.
        rows: set or dict of those that are wanted; None: all.
    Raises:
        RunError: a compressed or Parquet file that is damaged.
    """
    kinds = {"parquet": _rows_of, "tar": _packed_of, "records": _unpacked_of}
    if not chunk.kind:
        # Each has a place of its own: nothing is done for those that nobody wants.
        wanted = range(len(chunk)) if rows is None else sorted(rows)
        return (_files_of if chunk.listed else _records_of)(chunk, wanted)
    return (item for item in kinds[chunk.kind](chunk) if rows is None or item.row in rows)


def unpacked(path):
    """The records of a gzip'd TFRecord file, bytes each; RunError where it is damaged."""
    try:
        with storage.fetched(path) as copy:
            yield from tf.data.TFRecordDataset([os.fsencode(copy)], "GZIP").as_numpy_iterator()
    except tf.errors.OpError as error:
        raise RunError(
            f"{path}: expected a gzip'd TFRecord file that is whole, cannot read it ({reason(error)}); "
            "copy it again, or remove it"
        ) from error


def _files_of(chunk, wanted):
    with storage.open_file(chunk.place) as lines:
        lines.seek(chunk.offset)
        before = 0
        for row in wanted:
            *_, line = itertools.islice(lines, row - before, row - before + 1)
            before = row + 1
            name, path, *member = json.loads(line)
            name, source = printable(name), printable("/".join([path, *member[:1]]))
            yield Item(row, source, functools.partial(_load_file, name, path, *member[1:]), name)


def _load_file(name, path, place=None):
    return name, storage.read_bytes(path) if place is None else archives.read(path, place)


def _records_of(chunk, wanted):
    found = tfrecord.neighbours(chunk.place, chunk.offset, chunk.start, chunk.stop, chunk.feature)
    # Closed with the last Item, wherever that is loaded; of a bucket each record is a request of its own.
    file = None if storage.is_url(chunk.place) else open(chunk.place, "rb", buffering=0)  # noqa: SIM115
    # Checksums of those from the first to the last that is wanted.
    checked = found[wanted[0] : wanted[-1] + 1] if wanted and file else ()
    damaged = {record.number for record in tfrecord.faulty(checked)} if checked else set()
    for row in wanted:
        record = found[row]
        name, wrong = f"{chunk.name}#{chunk.shift + record.number}", record.number in damaged
        load = functools.partial(_load_record, name, record, file, tfrecord.WRONG if wrong else "")
        yield Item(row, printable(str(record)), load, name)


def _load_record(name, record, file, wrong):
    if wrong:
        raise ValueError(wrong)
    return _image_of(name, record.example(file), record.feature)


def _image_of(name, example, feature):
    own = example.get("image/id")
    return own.decode(errors="backslashreplace") if own else name, example[feature]


def _unpacked_of(chunk):
    for row, data in enumerate(itertools.islice(unpacked(chunk.place), len(chunk))):
        name = f"{chunk.name}#{row}"
        load = functools.partial(_load_unpacked, name, data, chunk.feature)
        yield Item(row, printable(f"{chunk.place}#{row}"), load, name)


def _load_unpacked(name, data, feature):
    return _image_of(name, tfrecord.image_of(data, feature), feature)


def _packed_of(chunk):
    for row, (member, data) in enumerate(archives.packed_images(chunk.place)):
        name = f"{chunk.name}/{printable(member)}"
        yield Item(row, printable(f"{chunk.place}/{member}"), functools.partial(_given, name, data), name)


def _rows_of(chunk):
    for row, data in enumerate(parquet.rows(chunk.place, chunk.feature, chunk.offset, len(chunk))):
        number = chunk.start + row
        name = f"{chunk.name}#{number}"
        yield Item(row, printable(f"{chunk.place}#{number}"), functools.partial(_given, name, data), name)


def _given(name, data):
    if data is None:
        raise ValueError("a row without bytes of an image")
    return name, data
