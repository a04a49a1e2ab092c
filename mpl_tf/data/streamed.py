"""Images that stay in their files, read and decoded when they are needed: in the place of a Source.

Every example is known by its place (file, offset, length), so that a run draws them in any order, as it does those in
memory: step n needs no step before it, and a host reads its own part alone. The places of a TFRecord file are found by
walking from length to length without reading images (about 5 us each); a file that ends within a record is told then.

A training image is decoded with its random crop in one operation; the crop (Szegedy et al. 2015, "Inception") has 8 to
100 % of the image's area and an aspect of 3/4 to 4/3. In evaluation the middle is cut out, S / (S + 32) of the shorter
side. Both are resized to S x S by bicubic interpolation.
"""

import collections
import dataclasses
import hashlib
import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import tensorflow as tf

from mpl_tf.base.errors import RunError, reason
from mpl_tf.data import shards
from mpl_tf.data.source import PIPELINE_OPTIONS, Examples, targets_at

CROP_AREA, CROP_ASPECT = (0.08, 1.0), (3 / 4, 4 / 3)
CENTRE_PADDING = 32  # Pixels around the middle at 224: 224 of 256.
RECENT = 2**15  # Examples looked through for the one that cannot be decoded: more than lie ready for the next steps.


@dataclasses.dataclass(frozen=True)
class Streamed:
    """Examples in files, with random access.

    Attributes:
        files: tuple of str: TFRecord shards, or image files.
        places: int64 [N, 3]: number of the file, offset and length of an example's bytes in it.
        parse: function of these bytes (string tensor []) -> (encoded image (string []), label (int [] or bool
            [classes], the classes accepted)).
        size: side S of the images, pixels.
        labeled: whether the labels are known.
        targets, order: as in Source.
    """

    files: tuple
    places: np.ndarray
    parse: Callable
    size: int
    labeled: bool = True
    targets: np.ndarray | None = None
    order: np.ndarray | None = None
    failures: list = dataclasses.field(default_factory=list, compare=False, repr=False)
    recent: collections.deque = dataclasses.field(
        default_factory=lambda: collections.deque(maxlen=RECENT), compare=False, repr=False
    )

    def __len__(self):
        return len(self.places)

    @property
    def shape(self):
        """Shape of one image."""
        return (self.size, self.size, 3)

    @property
    def epoch(self):
        """Examples that an epoch of training shows, as in Source."""
        return len(self) if self.order is None else len(self.order)

    def take(self, indices, with_labels=True):
        """The examples at `indices` (int [n] or slice), without their labels if so asked."""
        return Streamed(self.files, self.places[indices], self.parse, self.size, self.labeled and with_labels)

    def fingerprint(self):
        """SHA-256 of which examples these are and in what order, without reading them."""
        digest = hashlib.sha256("\n".join([str(self.size), *(Path(file).name for file in self.files)]).encode())
        digest.update(np.ascontiguousarray(self.places))
        digest.update(b"" if self.order is None else np.ascontiguousarray(self.order))
        return digest.hexdigest()

    def training_batches(self, draws):
        """Batches of random crops, their order that of the draws.

        Args:
            draws: tf.data.Dataset of (indices int32 [b], seeds int32 [b, 2]) in the order of an epoch.
        Returns:
            tf.data.Dataset of Examples, their images uint8 [b, S, S, 3].
        """
        (size,) = draws.element_spec[0].shape
        order = None if self.order is None else tf.constant(self.order)

        def one(index, seed):
            number = index if order is None else order[index]
            encoded, label = self._example(number)
            return random_crop(encoded, seed, self.size), tf.cast(label, tf.int32), number

        def whole(images, labels, numbers):
            targets = None if self.targets is None else targets_at(self.targets, numbers)
            return Examples(images, labels if self.labeled else None, targets, numbers)

        examples = draws.flat_map(lambda *draw: tf.data.Dataset.from_tensor_slices(draw))
        examples = examples.map(one, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        return examples.batch(size, drop_remainder=True).map(whole)

    def pieces(self, size, start=0):
        """The examples from `start` on, each once and in order, `size` at a time, their middles cut out.

        Yields:
            (images, labels): uint8 [b, S, S, 3]; [b] int, or [b, classes] bool.
        Raises:
            RunError: a file that cannot be read or decoded.
        """

        def one(index):
            encoded, label = self._example(index)
            return centre_crop(encoded, self.size), label

        numbers = tf.data.Dataset.range(start, len(self))
        examples = numbers.map(one, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        try:
            batches = examples.batch(size).prefetch(1).with_options(PIPELINE_OPTIONS)
            yield from batches.as_numpy_iterator()
        except tf.errors.OpError as error:
            raise self.failure(error) or error from error

    def example(self, number):
        """Encoded image and label of an example, read now; raises RunError or tf.errors.OpError."""
        return self.parse(tf.constant(self._read(number)))

    def _example(self, index):
        data = tf.numpy_function(self._read, [index], tf.string, stateful=False)
        return self.parse(tf.ensure_shape(data, []))

    def _read(self, index):
        file, offset, length = (int(number) for number in self.places[index])
        try:
            with open(self.files[file], "rb", buffering=0) as opened:
                opened.seek(offset)
                data = opened.read(length)
        except OSError as error:
            raise self._note(f"{self.files[file]}: cannot be read ({error})") from error
        if len(data) != length:
            raise self._note(f"{self.files[file]}: expected {length} bytes at {offset}, it ends after {len(data)}")
        self.recent.append(index)
        return data

    def _note(self, line):
        self.failures.append(line)
        return RunError(line)

    def failure(self, error):
        """What a failed tf.data operation on these examples was: RunError that names the file, or None if not theirs.

        Args:
            error: tf.errors.OpError.
        """
        with ThreadPoolExecutor() as pool:
            found = pool.map(self._damage, [] if self.failures else list(self.recent))
            self.failures.extend(itertools.islice(filter(None, found), 1))
        if not self.failures:
            return None
        return RunError(f"{self.failures[-1]}; mend this file, then run the same command again")

    def _damage(self, index):
        """Why an example cannot be decoded, or None."""
        try:
            tf.io.decode_image(self.example(index)[0], channels=3, expand_animations=False)
        except tf.errors.OpError as error:
            file, offset, _ = self.places[index]
            return f"{self.files[file]}: expected an image at byte {offset}, got {reason(error)}"
        return None


def index(files, parse, size, counts=None, **options):
    """The records of TFRecord files.

    Args:
        files: list of paths.
        parse, size: see Streamed.
        counts: records that each file should have; None: not known.
        options: further arguments of Streamed.
    Returns:
        Streamed, in the order of the files.
    Raises:
        RunError: naming a file that ends within a record or has another number of records.
    """
    places = []
    for number, path in enumerate(files):
        found = shards.records(path)
        if counts is not None and len(found) != counts[number]:
            raise RunError(f"{path}: expected {counts[number]} records, found {len(found)}; copy it again")
        places.append(np.array([(number, record.offset, record.length) for record in found], np.int64).reshape(-1, 3))
    return Streamed(tuple(str(path) for path in files), np.concatenate(places), parse, size, **options)


def random_crop(encoded, seed, size):
    """Inception crop of an encoded image.

    Args:
        encoded: string tensor [], JPEG (decoded only where the crop is), PNG, GIF or BMP.
        seed: int32 [2]; the same seed gives the same crop.
        size: side of the result, pixels.
    Returns:
        uint8 [size, size, 3].
    """

    def window(shape):
        begin, extent, _ = tf.image.stateless_sample_distorted_bounding_box(
            shape,
            tf.constant([[[0.0, 0.0, 1.0, 1.0]]]),
            seed,
            min_object_covered=0.0,
            aspect_ratio_range=CROP_ASPECT,
            area_range=CROP_AREA,
            max_attempts=10,
        )
        return tf.concat([begin[:2], extent[:2]], axis=0)  # [4]: top, left, height, width

    return _cut(encoded, window, size)


def centre_crop(encoded, size):
    """The middle of an encoded image: size / (size + 32) of its shorter side, resized; uint8 [size, size, 3]."""

    def window(shape):
        side = tf.minimum(shape[0], shape[1])
        part = tf.cast(tf.round(size / (size + CENTRE_PADDING) * tf.cast(side, tf.float32)), tf.int32)
        return tf.stack([(shape[0] - part) // 2, (shape[1] - part) // 2, part, part])

    return _cut(encoded, window, size)


def _cut(encoded, window, size):
    """Decode the window (a function of the image's int32 [3] shape) and resize it to uint8 [size, size, 3]."""

    def from_jpeg():
        place = window(tf.io.extract_jpeg_shape(encoded))
        return tf.image.decode_and_crop_jpeg(encoded, place, channels=3)

    def from_other():
        image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
        top, left, height, width = tf.unstack(window(tf.shape(image)))
        return image[top : top + height, left : left + width]

    image = tf.cond(tf.io.is_jpeg(encoded), from_jpeg, from_other)
    image = tf.image.resize(tf.ensure_shape(image, [None, None, 3]), [size, size], "bicubic")
    return tf.cast(tf.clip_by_value(tf.round(image), 0, 255), tf.uint8)
