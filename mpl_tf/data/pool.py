"""All images of several sources as one list that does not depend on how they were split: each is known by its pixels.

Labeled, unlabeled and held-out examples of any --num_labels and --seed are picks of one pool, so that what is computed
of each image once serves them all.
"""

import hashlib

import numpy as np


class Pool:
    """The different images of sources, in the order of their digests.

    Args:
        sources: list of Source (mpl_tf/data/source.py) of images of one shape.
    """

    def __init__(self, sources):
        self._sources = sources
        found = [_digests(source.images) for source in sources]
        # Of each image its first place: (source, number in it).
        self._digests, first = np.unique(np.concatenate(found), return_index=True)
        ends = np.cumsum([len(digests) for digests in found])
        self._source = np.searchsorted(ends, first, side="right")
        self._number = first - (ends - [len(digests) for digests in found])[self._source]

    def __len__(self):
        return len(self._digests)

    def fingerprint(self):
        """SHA-256 of which images these are."""
        return hashlib.sha256(np.ascontiguousarray(self._digests)).hexdigest()

    def rows(self, source):
        """Where the images of a source of the pool are: int32 [N]."""
        return np.searchsorted(self._digests, _digests(source.images)).astype(np.int32)

    def images(self, rows):
        """The images at rows (int [n]): uint8 [n, H, W, 3]."""
        found = np.empty([len(rows), *self._sources[0].images.shape[1:]], np.uint8)
        for number, source in enumerate(self._sources):
            here = self._source[rows] == number
            found[here] = source.images[self._number[rows[here]]]
        return found


def _digests(images):
    """A number of each image's pixels, uint64 [N]: two of a million images share one by a chance of 1 in 3e7."""

    hashed = (hashlib.blake2b(np.ascontiguousarray(image), digest_size=8).digest() for image in images)
    return np.fromiter((int.from_bytes(digest, "little") for digest in hashed), np.uint64, len(images))
