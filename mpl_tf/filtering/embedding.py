"""Overlaps by features: an image overlaps the evaluation image whose features, of any form, make the least angle with
its own, where the cosine is at least --similarity. The search is faiss's.

How near the features of different images are depends on the network: cosines of 0.6 and of 0.98 are both usual. So the
threshold is found, unless it is given, from the evaluation images themselves, which differ: so many of them as SHARE
says have another one that is as near. About as many unlabeled images are taken out that overlap none.

The index is made once, by the launching program, and lies beside the fingerprints: every worker finds the same.
"""

import json
import math
from typing import NamedTuple

import numpy as np

from mpl_tf.base import files, storage
from mpl_tf.base.errors import UsageError
from mpl_tf.filtering import features, forms

SHARE = 1 / 200  # Of the evaluation images.
SAMPLE = 2000  # Of them that are searched for, to find the threshold.
LEAST, MOST = 0.7, 0.999  # Thresholds that are found lie between these.
ALONE = 0.9  # Where there is one evaluation image.
# Features that are all compared. Of more those of the nearest cells alone, a 32nd of all, are.
FLAT, PROBED = 1 << 17, 32
TRAINED = 64  # Features a cell that the cells are found from.


class Built(NamedTuple):
    """What is known of an index.

    Attributes:
        similarity: the least cosine of overlapping images.
        share: of the evaluation images that have another one as near, 0 to 1; about as many others may be.
        blank: how many evaluation images have no features (all zero, or not finite).
    """

    similarity: float
    share: float
    blank: int


def check():
    """Raise UsageError where faiss cannot be imported."""
    try:
        import faiss  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"--overlap: embedding needs faiss, which is not installed ({error}): pip install -e '.[embedding]'"
        ) from error


def build(folder, paths, similarity, hashed):
    """Make the index of the evaluation images' features.

    Args:
        folder: of their fingerprints; gets embedding.faiss and embedding.json.
        paths: of the files of features, in order.
        similarity: least cosine of overlapping images; 0: it is found.
        hashed: whether hashes are compared too.
    Returns:
        Built.
    """
    import faiss

    counts = [len(features.read(path)[0]) for path in paths]
    paths, count = [path for path, images in zip(paths, counts, strict=True) if images], sum(counts)
    if not count:  # None can be read: nothing overlaps.
        return Built(similarity, 0.0, 0)
    index, sample = _empty(paths, count), []
    for path in paths:
        values = _vectors(path)
        index.add(values)
        sample.append(values[:: forms.COUNT])
    whole = np.concatenate(sample)
    there = np.flatnonzero(whole.any(axis=1))
    nearest = _nearest(index, whole, there) if len(there) > 1 else np.zeros([0])
    if not similarity:
        similarity = float(np.clip(np.quantile(nearest, 1 - SHARE), LEAST, MOST)) if len(nearest) else ALONE
    place = storage.path(folder)
    data = faiss.serialize_index(index).tobytes()
    files.write(place / "embedding.faiss", lambda temporary: temporary.write_bytes(data))
    about = {"similarity": similarity, "hashed": hashed}
    files.write_text(place / "embedding.json", json.dumps(about) + "\n")  # The last: it says that there is an index.
    share = float((nearest >= similarity).mean()) if len(nearest) else 0.0
    return Built(similarity, share, count - len(there))


def known(folder):
    """The Known of a folder of fingerprints; None where features are not compared."""
    place = storage.path(folder)
    if not storage.exists(place / "embedding.json"):
        return None
    return Known(storage.read_bytes(place / "embedding.faiss"), **files.read_json(place / "embedding.json"))


class Known:
    """The evaluation images by their features.

    Args:
        index: bytes of the index.
        similarity: least cosine of overlapping images.
        hashed: whether hashes are compared too.
    """

    def __init__(self, index, similarity, hashed):
        import faiss

        self._index = faiss.deserialize_index(np.frombuffer(index, np.uint8))
        self.similarity, self.hashed = similarity, hashed

    def nearest(self, rows, values):
        """The evaluation images that images overlap: dict of row to (place, cosine).

        Args:
            rows: int [n].
            values: float16 [n, D], their features.
        """
        if not len(rows):
            return {}
        cosine, key = (found[:, 0] for found in self._index.search(values.astype(np.float32), 1))
        near = cosine >= self.similarity
        places = (key[near] // forms.COUNT).tolist()
        return dict(zip(rows[near].tolist(), zip(places, cosine[near].tolist(), strict=True), strict=True))


def _vectors(path):
    """float32 [n * forms.COUNT, D] of a file of the evaluation images' features."""
    rows, values = features.read(path)
    return values.reshape(len(rows) * forms.COUNT, values.shape[1] // forms.COUNT).astype(np.float32)


def _empty(paths, count):
    """A faiss index of no features, for those of `count` images."""
    import faiss

    dimension, keys = _vectors(paths[0]).shape[1], count * forms.COUNT
    if keys <= FLAT:
        return faiss.IndexFlatIP(dimension)
    # Cells of about as many features as there are cells, found from a part of each file.
    cells = 2 ** round(math.log2(2 * math.sqrt(keys)))
    index = faiss.index_factory(dimension, f"IVF{cells},SQfp16", faiss.METRIC_INNER_PRODUCT)
    index.nprobe, index.cp.niter, index.cp.max_points_per_centroid = cells // PROBED, 8, TRAINED
    step = max(keys // (TRAINED * cells), 1)
    index.train(np.concatenate([_vectors(path)[::step] for path in paths]))
    return index


def _nearest(index, whole, there):
    """The cosine that evaluation images, SAMPLE of them at most, have with the nearest other one: float64 [n].

    Args:
        index: of all their forms.
        whole: float32 [N, D], their features without forms.
        there: int [M], which of them have features.
    """
    places = there[np.unique(np.linspace(0, len(there) - 1, min(len(there), SAMPLE)).astype(int))]
    # An image's own forms may be the nearest: one more is asked for.
    cosine, key = index.search(whole[places], forms.COUNT + 1)
    return np.where(key // forms.COUNT == places[:, None], -1.0, cosine.astype(np.float64)).max(axis=1)
