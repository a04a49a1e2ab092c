"""Pictures with little texture, of which a hash says little: compared by their pixels at 8 x 8.

A perceptual hash tells which coefficients of the cosine transform lie above their median. Of a sky or a wall most lie
so near to it that a JPEG's rounding turns their bits, and copies escape; of a plain picture all are equal, so that
every plain picture would overlap every other one. Such pictures are noted beside the scores, in a file a chunk that
has any: smooth-00000.parquet, columns row and pixels.
"""

import numpy as np
import pyarrow as pa
from PIL import Image
from sklearn.metrics import pairwise_distances_argmin_min

from mpl_tf.base import storage
from mpl_tf.filtering import tables

# Grey levels, as `texture` has them. Below the first, copies by JPEG of quality 20 begin to escape the hash; of real
# photographs a tenth lies there, of CIFAR-10's a thousandth. Below the second, all coefficients are equal.
SMOOTH, BLANK = 6.0, 0.1
SIDE = 8  # Pixels.
# Root mean square difference of copies, grey levels: of JPEG of quality 20 at most 4.5, of others 10 or more.
LEVELS = 5


def texture(coefficients, side):
    """How far the coefficients of a hash lie from their median, in the middle: float64 [N], grey levels.

    Args:
        coefficients: float64 [N, F, F], the lowest of a cosine transform of type II as SciPy has it, without norm.
        side: of the picture that it is of, pixels.
    """
    # As the orthonormal transform has them, but for the first row and column.
    flat = coefficients.reshape(len(coefficients), np.prod(coefficients.shape[1:])) / (2 * side)
    return np.median(np.abs(flat - np.median(flat, axis=1, keepdims=True)), axis=1)


def pixels(image):
    """A PIL image, RGB, at SIDE x SIDE: bytes, by row, column and colour."""
    return image.resize((SIDE, SIDE), Image.Resampling.BOX).tobytes()


def path(folder, chunk):
    """Where the smooth pictures of a chunk are."""
    return storage.path(folder) / f"smooth-{chunk.number:05d}.parquet"


def write(folder, chunk, table):
    """Write a table of tables.SMOOTH, if it has rows."""
    if len(table):
        tables.write(path(folder, chunk), table)


def read(folder, chunk):
    """The table of tables.SMOOTH of a chunk; empty where none was noted, as in scores of earlier versions."""
    place = path(folder, chunk)
    return tables.read(place, tables.SMOOTH) if storage.exists(place) else tables.SMOOTH.empty_table()


def table_of(found, decoded):
    """Table of tables.SMOOTH of images.Decoded: `found` are their inputs.Items."""
    rows = [(item.row, one.smooth) for item, one in zip(found, decoded, strict=True) if one.smooth]
    return pa.table([[row for row, _ in rows], [data for _, data in rows]], schema=tables.SMOOTH)


class Smooth:
    """The smooth pictures among the evaluation images, and their mirror images.

    Args:
        pixels: list of bytes, or None where an image is not smooth.
    """

    def __init__(self, pixels):
        self._owner = np.flatnonzero([one is not None for one in pixels])
        values = _values([pixels[place] for place in self._owner])
        self._values = np.concatenate([values, values[:, :, ::-1]]).reshape(2 * len(values), SIDE * SIDE * 3)

    def nearest(self, table):
        """The evaluation images that smooth pictures overlap: dict of row to (place, difference in grey levels).

        Args:
            table: of tables.SMOOTH.
        """
        if not len(table) or not len(self._owner):
            return {}
        queries = _values(table["pixels"].to_pylist()).reshape(len(table), -1)
        place, distance = pairwise_distances_argmin_min(queries, self._values)
        levels = distance / np.sqrt(queries.shape[1])
        near = levels <= LEVELS
        owner = self._owner[place[near] % len(self._owner)]
        rows = table["row"].to_numpy()[near]
        return dict(zip(rows.tolist(), zip(owner.tolist(), levels[near].tolist(), strict=True), strict=True))


def _values(pixels):
    """float64 [N, SIDE, SIDE, 3] of a list of bytes: of them sums of squares of differences are exact."""
    return np.frombuffer(b"".join(pixels), np.uint8).reshape(len(pixels), SIDE, SIDE, 3).astype(np.float64)
