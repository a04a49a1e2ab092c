"""The kept images into shards, as a Beam pipeline.

What a shard is made from lies in a file of its own, which the worker that writes it reads: millions of images are never
objects of the launching program or parts of the pipeline's description. Ids come with the images, as they did when
these were scored.
"""

import os

import numpy as np
import pyarrow as pa
import tensorflow as tf

from mpl_tf.base import files, storage
from mpl_tf.base.errors import RunError
from mpl_tf.data import shards
from mpl_tf.filtering import images, inputs, runner, tables
from mpl_tf.filtering.runner import beam


def shard_path(folder, number, count):
    """Where a shard of kept images is."""
    return storage.path(folder) / f"kept-{number:05d}-of-{count:05d}.tfrecord"


def part_path(folder, number):
    """Where the table of tables.SHARD is that a shard is made from."""
    return storage.path(folder) / f"kept-{number:05d}.parquet"


class Write(runner.Told):
    """A shard of kept images, unless it is there.

    Args:
        parts: folder of the tables that shards are made from.
        folder: of the shards.
        count: of shards.
    """

    def __init__(self, parts, folder, count):
        self.parts, self.folder, self.count = parts, folder, count

    def work(self, element):
        """(number, list of the Chunks that its images are from) -> number."""
        number, chunks = element
        path = shard_path(self.folder, number, self.count)
        if not storage.exists(path):
            table = tables.read(part_path(self.parts, number), tables.SHARD)
            files.write(path, lambda temporary: self._write(temporary, table, chunks))
        yield number

    def _write(self, temporary, table, chunks):
        number = table["chunk"].to_numpy()
        with tf.io.TFRecordWriter(os.fsencode(temporary)) as writer:
            for chunk in chunks:
                mine = table.filter(pa.array(number == chunk.number))
                columns = (mine[name].to_pylist() for name in ("class", "probability", "copies"))
                wanted = dict(zip(mine["row"].to_pylist(), zip(*columns, strict=True), strict=True))
                for item in inputs.pick(chunk, wanted):
                    try:
                        name, data = item.load()
                        encoded = images.storable(data, chunk.ground)
                    except (OSError, ValueError) as error:
                        raise RunError(f"{item.source}: scored, but now it cannot be read ({error})") from error
                    writer.write(shards.serialize(encoded, name, *wanted[item.row]))


def write(chunks, table, size, work, output, arguments):
    """Write the kept images into shards of about equal size.

    Args:
        chunks: list of inputs.Chunk.
        table: of tables.SHARD, each image once, in the order of chunks and rows.
        size: images of a shard at most; 0: nothing is written.
        work: folder for what shards are made from.
        output: folder of the shards.
        arguments: list of str, Beam's own flags.
    """
    elements = divide(chunks, table, size, work) if size else []
    if elements:
        count, folders = len(elements), (str(work), str(output))
        runner.run(
            arguments, lambda p: p | beam.Create(elements) | beam.Reshuffle() | beam.ParDo(Write(*folders, count))
        )


def divide(chunks, table, size, work):
    """What shards are made from, each into its file; returns the elements as Write.work takes them."""
    count, elements = -(-len(table) // size), []
    for number, places in enumerate(np.array_split(np.arange(len(table)), count) if count else []):
        part = table.slice(places[0], len(places))
        tables.write(part_path(work, number), part)
        elements.append((number, [chunks[chunk] for chunk in np.unique(part["chunk"].to_numpy())]))
    return elements
