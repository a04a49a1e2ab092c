"""Examples whose features were computed before: in the place of a Source, with a pick of the stored views as a view."""

import dataclasses
import hashlib

import numpy as np
import tensorflow as tf

from mpl_tf.data.source import Source


@dataclasses.dataclass(frozen=True)
class Stored(Source):
    """Features of examples, mapped from their files (run/features.py).

    Attributes:
        images: int32 [N], the examples' rows in the arrays of `views`.
        labels, targets, order: as in Source.
        views: dict of "plain", "weak" and "strong", as far as they are there, to float16 [rows, V, F], mapped.
        key: what the arrays are a function of, in a few letters.
    """

    views: dict = dataclasses.field(default_factory=dict)
    key: str = ""

    @property
    def shape(self):
        """(F,)."""
        return next(iter(self.views.values())).shape[2:]

    def fingerprint(self):
        """SHA-256 of which features these are, in their order, and of their labels."""
        return hashlib.sha256(f"{self.key} {super().fingerprint()}".encode()).hexdigest()

    def take(self, indices, with_labels=True):
        """The examples at `indices` (int [n] or slice), without their labels if so asked."""
        labels = self.labels[indices] if with_labels and self.labels is not None else None
        return dataclasses.replace(self, images=self.images[indices], labels=labels, targets=None, order=None)

    def pieces(self, size, start=0):
        """The plain views' features from `start` on, each once and in order, `size` at a time.

        Yields:
            (features, labels): float32 [b, F]; labels None where they are unknown.
        """
        for first in range(start, len(self), size):
            part = slice(first, first + size)
            features = self.views["plain"][self.images[part], 0].astype(np.float32)
            yield features, None if self.labels is None else self.labels[part]

    def pick(self, rows, seed, kind):
        """Each example's features of one of its stored views, drawn at random.

        Args:
            rows: int32 [b], b static.
            seed: stateless seed, int32 [2].
            kind: "weak" or "strong".
        Returns:
            float32 tensor [b, F].
        """
        array = self.views[kind]
        views = tf.random.stateless_uniform(tf.shape(rows), seed, 0, array.shape[1], tf.int32)
        found = tf.numpy_function(lambda r, v: array[r, v], [rows, views], tf.float16, stateful=False)
        return tf.cast(tf.ensure_shape(found, [rows.shape[0], array.shape[2]]), tf.float32)
