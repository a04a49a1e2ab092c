"""All images of several sources as one list that does not depend on how they were split.

Each is known by its pixels, one that stays in its file by its path.

Labeled, unlabeled and held-out examples of any --num_labels and --seed are picks of one pool, so that what is computed
of each image once serves them all.
"""

import hashlib

import numpy as np


class Pool:
    """The different images of sources, in the order of their digests.

    Args:
        sources: list of Source (mpl_tf/data/source.py) or OwnImages, of images of one shape.
    """

    def __init__(self, sources):
        self._sources = sources
        found = [source.digests() for source in sources]
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
        return np.searchsorted(self._digests, source.digests()).astype(np.int32)

    def images(self, rows):
        """The images at rows (int [n]): uint8 [n, H, W, 3]."""
        found = np.empty([len(rows), *self._sources[0].shape], np.uint8)
        for number, source in enumerate(self._sources):
            here = self._source[rows] == number
            if here.any():
                found[here] = source.at(self._number[rows[here]])
        return found

    def failure(self, error):
        """The RunError that names the file behind a tf.errors.OpError, or None."""
        found = (source.failure(error) for source in self._sources if hasattr(source, "failure"))
        return next(filter(None, found), None)
