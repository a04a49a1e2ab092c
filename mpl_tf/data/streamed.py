"""Images that stay in their files, and of which crops are read when they are needed: in the place of a Source.

Every example is known by its place (file, offset, length). The places of a TFRecord file are found by walking from
length to length without reading images (about 5 us each); a file that ends within a record is told then. A record's
checksum is verified whenever it is read. mpl_tf/data/crops.py cuts the crops out.
"""

import collections
import dataclasses
import functools
import hashlib
import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorflow as tf

from mpl_tf.base import storage
from mpl_tf.base.errors import RunError
from mpl_tf.data import ahead, decode, tfrecord
from mpl_tf.data.crops import centre_crop, random_crop
from mpl_tf.data.from_files import FromFiles

RECENT = 2**15  # Examples looked through for the one that cannot be decoded: more than lie ready for the next steps.


@dataclasses.dataclass(frozen=True)
class Streamed(FromFiles):
    """Examples in files, with random access.

    Attributes:
        files: tuple of str, TFRecord shards; or Paths, image files.
        places: int64 [N, 3]: number of the file, offset and length of an example's bytes in it; of an image file 0.
        parse: function of these bytes (string tensor []) -> (encoded image (string []), label (int [] or bool
            [classes], the classes accepted)).
        size: side S of the images, pixels.
        labeled: whether the labels are known.
        targets, order: as in Source.
        framed: whether the bytes are records of TFRecord files, with checksums around them.
        background: RGB, what transparent images are laid on.
    """

    files: object
    places: np.ndarray
    parse: Callable
    size: int
    labeled: bool = True
    targets: np.ndarray | None = None
    order: np.ndarray | None = None
    framed: bool = True
    background: tuple = decode.WHITE
    failures: list = dataclasses.field(default_factory=list, compare=False, repr=False)
    recent: collections.deque = dataclasses.field(
        default_factory=lambda: collections.deque(maxlen=RECENT), compare=False, repr=False
    )

    def __len__(self):
        return len(self.places)

    def take(self, indices, with_labels=True):
        """The examples at `indices` (int [n] or slice), without their labels if so asked."""
        return dataclasses.replace(
            self,
            places=self.places[indices],
            labeled=self.labeled and with_labels,
            targets=None,
            order=None,
            failures=[],
            recent=collections.deque(maxlen=RECENT),
        )

    def fingerprint(self):
        """SHA-256 of which examples these are and in what order, without reading them."""
        digest = hashlib.sha256(
            "\n".join([str(self.size), *(os.path.basename(str(file)) for file in self.files)]).encode(
                errors="surrogateescape"
            )
        )
        digest.update(np.ascontiguousarray(self.places))
        digest.update(b"" if self.order is None else np.ascontiguousarray(self.order))
        return digest.hexdigest()

    def training_example(self, number, seed):
        """A random crop of an example; see FromFiles."""
        encoded, label = self._example(number)
        return random_crop(encoded, seed, self.size, self.background), tf.cast(label, tf.int32), number

    def plain_example(self, number):
        """The middle of an example; see FromFiles."""
        encoded, label = self._example(number)
        return centre_crop(encoded, self.size, self.background), label

    def example(self, number):
        """Encoded image and label of an example, read now; raises RunError or tf.errors.OpError."""
        if self.ahead:
            return self.parse(tf.constant(self.ahead.get(int(number))))
        path, offset, length = self._place(number)
        return self.parse(tfrecord.verified(path, offset, length) if self.framed else tf.io.read_file(path))

    def _example(self, index):
        if self.ahead:
            data = tf.numpy_function(self._fetched, [index], tf.string, stateful=False)
            return self.parse(tf.ensure_shape(data, []))
        place = tf.numpy_function(self._place, [index], [tf.string, tf.int64, tf.int64], stateful=False)
        path, offset, length = (tf.ensure_shape(part, []) for part in place)
        return self.parse(tfrecord.verified(path, offset, length) if self.framed else tf.io.read_file(path))

    @functools.cached_property
    def ahead(self):
        """Ahead of the examples' bytes, where one of the files is in a bucket, else None."""
        files = self.files.folders() if hasattr(self.files, "folders") else self.files
        return ahead.Ahead(self._bytes) if any(map(storage.is_url, files)) else None

    def _bytes(self, index):
        """The bytes that `parse` takes of an example."""
        file, offset, length = self.places[index].tolist()
        place = self.files[file]
        return tfrecord.checked(place, offset, length) if self.framed else storage.read_bytes(place)

    def _fetched(self, index):
        """The same, read ahead; RunError where they cannot be had."""
        try:
            data = self.ahead.get(int(index))
        except (OSError, ValueError) as error:
            raise self.note(f"{self.files[self.places[index][0]]}: cannot be read ({error})") from error
        self.recent.append(index)
        return data

    def _place(self, index):
        """Path (bytes), offset and length (int64) of an example; RunError where they are not in the file any more."""
        file, offset, length = self.places[index]
        try:
            there = os.stat(self.files[file]).st_size - offset
        except OSError as error:
            raise self.note(f"{self.files[file]}: cannot be read ({error})") from error
        if there < length:
            raise self.note(f"{self.files[file]}: expected {length} bytes at {offset}, it ends after {max(there, 0)}")
        self.recent.append(index)
        return os.fsencode(self.files[file]), offset, length

    def failure(self, error):
        """As FromFiles has it; where nothing was noted, looks for the image that cannot be decoded."""
        with ThreadPoolExecutor() as pool:
            found = pool.map(self._damage, [] if self.failures else list(self.recent))
            self.failures.extend(itertools.islice(filter(None, found), 1))
        return super().failure(error)

    def _damage(self, index):
        """Why an example cannot be decoded, or None."""
        try:
            encoded = self.example(index)[0].numpy()
            if decode.is_plain_jpeg(encoded):
                tf.io.decode_jpeg(encoded)
            else:
                decode.whole(encoded)
        except Exception as error:  # Of Pillow's plugins any.
            file, offset, _ = self.places[index]
            wrong = tfrecord.WRONG if isinstance(error, tf.errors.DataLossError) else decode.fault(error)
            return f"{self.files[file]}: expected an image at byte {offset}, got {wrong}"
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
    for number, (path, found) in enumerate(zip(files, ahead.each(tfrecord.records, files), strict=True)):
        if counts is not None and len(found) != counts[number]:
            raise RunError(f"{path}: expected {counts[number]} records, found {len(found)}; copy it again")
        places.append(np.array([(number, record.offset, record.length) for record in found], np.int64).reshape(-1, 3))
    return Streamed(tuple(str(path) for path in files), np.concatenate(places), parse, size, **options)
