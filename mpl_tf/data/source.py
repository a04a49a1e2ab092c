"""What a data set is: labeled, unlabeled and test examples, and how its images may be changed."""

import dataclasses
import hashlib
from typing import NamedTuple

import numpy as np
import tensorflow as tf

# Of every tf.data pipeline here. The default optimizations keep a copy of all images. The autotuner looks at its
# pipeline less and less often, and the end of an iterator may wait for its next look: seconds after a run of seconds,
# up to a minute after a long one (TensorFlow 2.21). Without it AUTOTUNE means a thread a core, at most 16.
PIPELINE_OPTIONS = tf.data.Options()
PIPELINE_OPTIONS.experimental_optimization.apply_default_optimizations = False
PIPELINE_OPTIONS.autotune.enabled = False


class Examples(NamedTuple):
    """Examples of a source that a training batch draws, as tensors.

    Attributes:
        images: uint8 [b, H, W, 3], or float32 [b, D] points.
        labels: int32 [b]; None where they are unknown.
        targets: float32 [b, C], a fixed teacher's distributions; None where there are none.
        numbers: int32 [b], which of the source's N examples they are, 0..N - 1.
    """

    images: tf.Tensor
    labels: tf.Tensor | None
    targets: tf.Tensor | None
    numbers: tf.Tensor


@dataclasses.dataclass(frozen=True)
class Source:
    """Examples in memory, with random access; mpl_tf/data/streamed.py has those that stay in their files.

    Attributes:
        images: uint8 [N, H, W, 3] in [0, 255], or float32 [N, D] points.
        labels: int32 [N] in [0, classes), or None where they are unknown.
        targets: float32 [N, classes], a fixed teacher's distributions, mapped from their file; or None.
        order: int32 [M], the examples that an epoch of training shows, one that counts c times standing there c times
            (Noisy Student's up-sampling without copies of images); None: each once.
        origin: OwnImages of the same examples, as they lie in the user's folders; None: they are of elsewhere.
    """

    images: np.ndarray
    labels: np.ndarray | None = None
    targets: np.ndarray | None = None
    order: np.ndarray | None = None
    origin: object = None

    def __len__(self):
        return len(self.images)

    @property
    def shape(self):
        """Shape of one example: (H, W, 3), or (D,)."""
        return self.images.shape[1:]

    @property
    def epoch(self):
        """Examples that an epoch of training shows: N, or M where some count more than once."""
        return len(self) if self.order is None else len(self.order)

    def take(self, indices, with_labels=True):
        """The examples at `indices` (int [n] or slice), without their labels if so asked."""
        origin = None if self.origin is None else self.origin.take(indices, with_labels)
        return Source(self.images[indices], self.labels[indices] if with_labels else None, origin=origin)

    def joined(self, other):
        """These without their labels, and those of another Source after them; both have an `origin`."""
        origin = self.origin.joined(other.origin)
        return Source(np.concatenate([self.images, other.images]), order=origin.order, origin=origin)

    def fingerprint(self):
        """SHA-256 of the examples in their order, with their labels where those are known, and of their `order`."""
        hashed = hashlib.sha256()
        for images, labels in Source.pieces(self, 4096):
            hashed.update(np.ascontiguousarray(images))
            hashed.update(b"" if labels is None else np.ascontiguousarray(labels))
        hashed.update(b"" if self.order is None else np.ascontiguousarray(self.order))
        return hashed.hexdigest()

    def digests(self):
        """A number of each image's pixels, uint64 [N]: two of a million images share one by a chance of 1 in 3e7."""
        return np.fromiter(map(digest, map(np.ascontiguousarray, self.images)), np.uint64, len(self))

    def at(self, numbers):
        """The images of these numbers, int [n]: uint8 [n, H, W, 3]."""
        return self.images[numbers]

    def pieces(self, size, start=0):
        """The examples from `start` on, each once and in order, `size` at a time.

        Yields:
            (images, labels): [b, ...] as they are here; labels None where they are unknown.
        """
        for first in range(start, len(self), size):
            part = slice(first, first + size)
            yield self.images[part], None if self.labels is None else self.labels[part]


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A data set, split and decoded.

    Attributes:
        name: of its row in the catalogue.
        labeled: Source or Streamed with labels, for training; None where the test part alone was read.
        unlabeled: Source or Streamed without labels, for training; None where the method needs none.
        test: Source or Streamed with labels, for evaluation alone; None where a run has validation examples alone.
        class_names: tuple of str, one a class.
        mean, std: tuples of three floats, per channel, images scaled to [0, 1]; None for points.
        flip: whether a mirrored image keeps its class.
        fill: grey level of what a shift, a rotation or a cutout uncovers (released: 128; digits: their background).
        skipped: paths of images left out because they could not be read.
        notes: lines for the user: what was passed over, converted or left out, and what looks odd.
        real: Streamed with the classes accepted for each image (ImageNet-ReaL), for evaluation alone; or None.
        held_out: Source or Streamed of the training images that are in no other part, kept for tuning; or None.
        validation: Source or Streamed with labels that no training sees, scored while it goes on; may be `held_out`;
            None: there is no validation.
        unused: Source of the training images that --imbalance leaves out, so that stored features are of one pool
            whatever it is; or None.
        backbone: frozen keras.Model, images [B, H, W, 3] in [0, 255] -> features [B, F], that a batch goes through
            before the networks to be trained (--feature_views=0,0); None: these take the examples themselves.
    """

    name: str
    labeled: object
    unlabeled: object
    test: object
    class_names: tuple
    mean: tuple | None = None
    std: tuple | None = None
    flip: bool = False
    fill: int = 128
    skipped: tuple = ()
    notes: tuple = ()
    real: object = None
    held_out: object = None
    validation: object = None
    unused: object = None
    backbone: object = None

    @property
    def shape(self):
        """Shape of one example: (H, W, 3), or (D,)."""
        return (self.test if self.labeled is None else self.labeled).shape

    @property
    def input_shape(self):
        """Shape of what the networks to be trained take of one example: (H, W, 3), (D,) or a backbone's (F,)."""
        return self.shape if self.backbone is None else self.backbone.output_shape[1:]

    def normalisation(self):
        """(scale, offset), lists of three floats: x * scale + offset is (x / 255 - mean) / std, per channel."""
        scale = [1 / (255 * std) for std in self.std]
        return scale, [-mean / std for mean, std in zip(self.mean, self.std, strict=True)]

    def failure(self, error):
        """The RunError that names the file of streamed training images behind a tf.errors.OpError, or None."""
        streamed = [part for part in (self.labeled, self.unlabeled) if hasattr(part, "failure")]
        return next(filter(None, (part.failure(error) for part in streamed)), None)

    def left_out(self):
        """Names of all images that are left out because they cannot be read: `skipped`, and those met since."""
        parts = (self.labeled, self.unlabeled, self.validation, self.test)
        streamed = {id(part): part for part in parts if hasattr(part, "left_out")}  # One may be two of them.
        return [*self.skipped, *(name for part in streamed.values() for name in part.left_out())]

    @property
    def num_unlabeled(self):
        """Number of unlabeled examples, 0 where there are none."""
        return 0 if self.unlabeled is None else len(self.unlabeled)

    @property
    def class_prior(self):
        """Shares of the classes among the labeled examples, list of floats; None where these are read as they train.

        ImageNet, which is, has near as many of each class.
        """
        labels = getattr(self.labeled, "labels", None)
        if labels is None:
            return None
        return (np.bincount(labels, minlength=self.num_classes) / len(labels)).tolist()

    @property
    def facts(self):
        """What a method may have to know of the data: arguments of methods.make by name."""
        normalisation = None if self.mean is None else self.normalisation()
        return {
            "num_unlabeled": self.num_unlabeled,
            "class_prior": self.class_prior,
            "normalisation": normalisation,
        }

    @property
    def num_classes(self):
        """Number of classes."""
        return len(self.class_names)


def digest(data):
    """A number of 64 bits of bytes, or of a contiguous array's."""
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


def targets_at(targets, indices):
    """A fixed teacher's distributions, read from their file: a million images of a thousand classes take 5 GB.

    Args:
        targets: float32 [N, C], mapped.
        indices: int tensor [b], b static.
    Returns:
        float32 tensor [b, C].
    """
    found = tf.numpy_function(lambda i: targets[i], [indices], tf.float32, stateful=False)
    return tf.ensure_shape(found, [indices.shape[0], targets.shape[1]])
