"""A heap of scored images of any size, each image a function of its number alone, in the form of the filter's scores.

Of the images one in a hundred is an exact duplicate, one in a hundred a near one (1 to 18 bits off), and 10,000 are the
same placeholder: what they are duplicates of is a family, a number that takes the place of the image's own.
Classes are of unequal size, some smaller than what is asked for, and a tenth of the probabilities come in steps, so
that many are equal. All chunks are hard links to one TFRecord file of small images.
"""

import dataclasses
import json
import os

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mpl_tf.base import files
from mpl_tf.filtering import inputs, pipeline, tables
from mpl_tf.filtering.settings import Scoring

CLASSES, NEAR = 1000, 18
ALONE, EXACT, CLOSE = 0, 1, 2  # What an image is; of those with a family the first two have its hash.
OFFSET = 1 << 40  # Numbers of families begin here.
PLACEHOLDER = 500  # Its class; its probabilities differ, as those of the same picture in other files do.
STEP = 1024  # Steps of the probabilities that come in steps.


@dataclasses.dataclass(frozen=True)
class Heap:
    """Images 0 to `size`.

    Args:
        size: N, a multiple of `chunk`.
        seed: of all numbers.
        chunk: images of a chunk.
        placeholders: how many are the placeholder.
    """

    size: int
    seed: int = 0
    chunk: int = 20_000
    placeholders: int = 10_000

    def images(self, first, stop):
        """`about` the images from `first` to `stop`."""
        return self.about(np.arange(first, stop, dtype=np.uint64))

    def about(self, number):
        """dict of arrays [n]: number; kind; family (its own number where it is alone); usable; class; probability.

        Args:
            number: uint64 [n], of images.
        """
        draw, which = self._uniform(number, 0), self._mix(number, 1) % np.uint64(max(self.size // 100, 1))
        kind = np.select([draw < 0.01, draw < 0.02], [EXACT, CLOSE], ALONE).astype(np.int8)
        family = np.where(kind == ALONE, number, np.uint64(OFFSET) + which)
        placeholder = number % np.uint64(max(self.size // self.placeholders, 1)) == 7
        kind[placeholder], family[placeholder] = EXACT, 2 * OFFSET
        # Class and probability are those of the family; a near duplicate has them about.
        classes, probability = self._classes(family), self._probability(family)
        classes[placeholder], probability[placeholder] = PLACEHOLDER, self._probability(number[placeholder])
        near = kind == CLOSE
        other = near & (self._uniform(number, 2) < 0.2)
        classes[other] = self._classes(number[other])
        probability[near] *= (1 - 0.02 * self._uniform(number[near], 3)).astype(np.float32)
        usable = (self._uniform(number, 4) >= 0.001) | placeholder
        return {
            "number": number,
            "kind": kind,
            "family": family,
            "usable": usable,
            "class": classes,
            "probability": probability,
        }

    def hashes(self, number, kind, family):
        """uint64 [n, 4] of images by their number (uint64), kind and family."""
        words = np.stack([self._mix(family, 10 + word) for word in range(4)], axis=1)
        near = np.flatnonzero(kind == CLOSE)
        flips = 1 + self._mix(number[near], 5) % np.uint64(NEAR)
        for flip in range(NEAR):  # The same bit twice is no flip: at most that many.
            bit = self._mix(number[near], 30 + flip) % np.uint64(256)
            wanted = np.where(flip < flips, np.uint64(1) << bit % np.uint64(64), np.uint64(0))
            words[near, bit // np.uint64(64)] ^= wanted
        return words

    def sums(self, number, kind, family):
        """uint64 [n, 4]: in the place of the pixels' SHA-256, which near duplicates have of their own."""
        own = np.where(kind == EXACT, family, number)
        return np.stack([self._mix(own, 20 + word) for word in range(4)], axis=1)

    def _classes(self, number):
        """Class c is drawn in proportion to 0.05 ... 1.95."""
        ends = np.cumsum(np.linspace(0.05, 1.95, CLASSES))
        return np.searchsorted(ends, self._uniform(number, 6) * ends[-1], side="right").astype(np.int32)

    def _probability(self, number):
        found = 1 - 0.999 * self._uniform(number, 7) ** 2
        steps = self._uniform(number, 8) < 0.1
        found[steps] = np.ceil(found[steps] * STEP) / STEP
        return found.astype(np.float32)

    def _uniform(self, number, stream):
        """float64 in [0, 1)."""
        return (self._mix(number, stream) >> np.uint64(11)) * 2.0**-53

    def _mix(self, number, stream):
        """uint64 that look random, of the numbers, the stream and the seed (splitmix64's last steps)."""
        with np.errstate(over="ignore"):
            found = number * np.uint64(0x9E3779B97F4A7C15) + np.uint64(64 * self.seed + stream + 1) * np.uint64(
                0xD1342543DE82EF95
            )
            for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
                found = (found ^ found >> np.uint64(shift)) * np.uint64(factor)
            return found ^ found >> np.uint64(31)


def chunk_name(number):
    """Of a chunk, in ids; an image's id is NAME#row."""
    return f"images/{number:05d}.tfrecord"


def make(heap, folder):
    """Write FOLDER/scores and FOLDER/images; what is there is not written again.

    Args:
        heap: Heap.
        folder: Path.
    """
    shard, scores = folder / "images.tfrecord", folder / "scores"
    _write_images(shard, heap.chunk)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    chunks = []
    for number in range(heap.size // heap.chunk):
        place = folder / chunk_name(number)
        if not place.exists():
            os.link(shard, place)
        about = ("image/encoded", chunk_name(number))
        chunks.append(inputs.Chunk(number, str(place.absolute()), 0, heap.chunk, 0, *about))
        path = pipeline.scores_path(scores, chunks[-1])
        if not path.exists():
            tables.write(path, scores_of(heap, number, str(place.absolute())))
    record = {"scoring": json.loads(json.dumps(dataclasses.asdict(Scoring(chunk=heap.chunk, resize="crop"))))}
    record |= {"model_sha256": "", "classes": CLASSES, "class_names": None}
    files.write_text(scores / "settings.json", json.dumps(record, indent=2) + "\n")
    files.write_text(scores / "images.jsonl", "")
    inputs.save(chunks, scores)


def scores_of(heap, number, place):
    """Table of the scores of a chunk."""
    about = heap.images(number * heap.chunk, (number + 1) * heap.chunk)
    rows, lost = np.arange(heap.chunk, dtype=np.int32), ~about["usable"]
    texts = pa.array(rows).cast(tables.TEXT)
    named = [
        pc.binary_join_element_wise(pa.scalar(name, tables.TEXT), texts, pa.scalar("#", tables.TEXT))
        for name in (chunk_name(number), place)
    ]
    problem, detail = (
        pc.if_else(pa.array(lost), pa.scalar(text, tables.TEXT), pa.scalar("", tables.TEXT))
        for text in ("truncated", "cut off")
    )
    what = [about[name] for name in ("number", "kind", "family")]
    prints = [_bytes(made, lost) for made in (heap.sums(*what), heap.hashes(*what))]
    scored = [pa.array(about[name], mask=lost) for name in ("class", "probability")]
    columns = [*named, rows, problem, detail, about["usable"], *prints, *scored]
    return pa.table(columns, schema=tables.scores_schema(1))


def _bytes(words, lost):
    """Arrow array of 32 bytes each, null where `lost`."""
    data = pa.py_buffer(np.ascontiguousarray(words))
    whole = pa.Array.from_buffers(pa.binary(32), len(words), [None, data]).cast(tables.BYTES)
    return pc.if_else(pa.array(lost), pa.scalar(None, tables.BYTES), whole)


def _write_images(path, count):
    """The shard of `count` small images, each all of one grey."""
    import io

    import tensorflow as tf
    from PIL import Image

    def save(temporary):
        with tf.io.TFRecordWriter(str(temporary)) as writer:
            for number in range(count):
                encoded = io.BytesIO()
                Image.new("L", (8, 8), number % 256).save(encoded, "JPEG", optimize=True, quality=30)
                feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[encoded.getvalue()]))
                example = tf.train.Example(features=tf.train.Features(feature={"image/encoded": feature}))
                writer.write(example.SerializeToString())

    if not path.exists():
        files.write(path, save)
