"""Features of images, which --overlap=embedding compares: what the scorer's last layer takes, or a backbone's outputs.

They are unit vectors in float16. Those of the unlabeled images lie beside the scores, a file a chunk:
features-00000.parquet, columns row and features. An evaluation image has those of its forms too (forms.py).
"""

import numpy as np
import pyarrow as pa
import tensorflow as tf

from mpl_tf.base import storage
from mpl_tf.base.errors import UsageError
from mpl_tf.filtering import network, tables
from mpl_tf.models import saved


class Backbone:
    """A network without classifier.

    Args:
        path: of a Keras model from images [B, S, S, 3] in [0, 255] to features [B, D] or [B, h, w, D].
        batch: images a batch.
        resize: how its images come to their size, as in data/decode.py's fit.
    Raises:
        UsageError: no such model, or one of other inputs and outputs.
    """

    def __init__(self, path, batch=256, resize="crop"):
        model = saved.load(path, "backbone", "expected a Keras model from images to features, found no {path}")
        shape, given = model.input_shape, model.output_shape
        if isinstance(shape, list) or len(shape) != 4 or shape[3] != 3 or shape[1] != shape[2] or not shape[1]:
            raise UsageError(
                f"--backbone: expected a model of square images [batch, side, side, 3], {path} takes {shape}"
            )
        if isinstance(given, list) or len(given) not in (2, 4) or not given[-1]:
            raise UsageError(f"--backbone: expected features [batch, D] or [batch, h, w, D], {path} gives {given}")
        self.size, self.batch, self.resize = shape[1], batch, resize
        self._run = network.Fixed(model, self.size, batch, lambda outputs, _: (unit(outputs),))

    def features(self, pixels):
        """float16 [n, D] of images uint8 [n, S, S, 3], n at most the batch."""
        return self._run(pixels)[0]


def unit(x):
    """Tensor float32 [B, D] or [B, ..., D], over whose places the mean is taken, to unit vectors float16 [B, D]; of
    what is not finite zeros."""
    x = tf.reduce_mean(x, axis=list(range(1, len(x.shape) - 1)))
    return tf.cast(tf.math.l2_normalize(tf.where(tf.math.is_finite(x), x, 0.0), axis=1), tf.float16)


def of_many(embedder, pixels):
    """float16 [n, D] of any number of images, uint8 [n, S, S, 3]; `embedder`: Backbone, or score.Scorer."""
    parts = [pixels[first : first + embedder.batch] for first in range(0, len(pixels), embedder.batch)]
    return np.concatenate([embedder.features(part) for part in parts])


def table_of(rows, features):
    """Table of tables.FEATURES of rows (int [n]) and their features (float16 [n, ...])."""
    return pa.table([rows, [one.tobytes() for one in features]], schema=tables.FEATURES)


def path(folder, chunk):
    """Where the features of a chunk are."""
    return storage.path(folder) / f"features-{chunk.number:05d}.parquet"


def read(place):
    """(rows, features) of a file: int32 [n], float16 [n, V], the values of each in one row."""
    table = tables.read(place, tables.FEATURES)
    values = [np.frombuffer(one, np.float16) for one in table["features"].to_pylist()]
    return table["row"].to_numpy(), np.stack(values) if values else np.zeros([0, 0], np.float16)
