"""Overlaps: equal pixels by SHA-256, near ones by the Hamming distance of perceptual hashes.

Hashes within a distance d of each other agree wholly on at least one of d + 1 parts of their bits (the pigeonhole
principle; Norouzi et al., CVPR 2012, "Fast search in Hamming space with multi-index hashing"), so looking up each part
in a sorted list finds all of them without comparing every pair.
"""

import numpy as np
import pyarrow as pa

from mpl_tf.filtering import tables
from mpl_tf.filtering.images import HASH_BYTES
from mpl_tf.filtering.smooth import Smooth

BITS = 8 * HASH_BYTES
PART_BITS = 32  # Of a part that are looked up: more would separate no better.
BLOCK = 1 << 19  # Pairs compared at once: 32 MB.
PLACE = ("id", "chunk", "row")
EXACT = -1  # As distance: equal pixels alone.


class Index:
    """Perceptual hashes that are searched.

    Args:
        hashes: uint8 [M, HASH_BYTES].
        distance: largest Hamming distance that is found, bits, in [0, BITS).
    """

    def __init__(self, hashes, distance):
        self.distance, self._words = distance, np.ascontiguousarray(hashes).view(np.uint64)
        self._parts = []
        for keys in self._keys(hashes):
            order = np.argsort(keys, kind="stable")
            self._parts.append((keys[order], order.astype(np.int32)))  # Of 8 bytes a hash and part, not of 16.

    def _keys(self, hashes):
        """uint32 [M] for each of the distance + 1 parts: bits spread over the whole hash."""
        bits = np.unpackbits(hashes, axis=1)
        for part in range(self.distance + 1):
            chosen = bits[:, part :: self.distance + 1][:, :PART_BITS]
            yield chosen.astype(np.uint32) @ (np.uint32(1) << np.arange(chosen.shape[1], dtype=np.uint32))

    def pairs(self, hashes, own=False):
        """All pairs within the distance: (query, found, distance), int [P] each, without order; some come twice.

        Args:
            hashes: uint8 [N, HASH_BYTES].
            own: whether these are the Index's own, of which query < found alone are told.
        """
        words = np.ascontiguousarray(hashes).view(np.uint64)
        results = [np.zeros([3, 0], np.int64)]
        for keys, (sorted_keys, order) in zip(self._keys(hashes), self._parts, strict=True):
            # Where this part of each query begins among the sorted ones, and how many agree with it: candidates, which
            # are numbered through all queries and gone through a block at a time.
            first = np.searchsorted(sorted_keys, keys)
            counts = np.searchsorted(sorted_keys, keys, side="right") - first
            ends = np.cumsum(counts)
            for start in range(0, int(ends[-1]) if len(ends) else 0, BLOCK):
                number = np.arange(start, min(start + BLOCK, int(ends[-1])))
                query = np.searchsorted(ends, number, side="right")
                found = order[first[query] + number - (ends[query] - counts[query])]
                # The whole hashes decide.
                distance = np.bitwise_count(words[query] ^ self._words[found]).sum(axis=1, dtype=np.int64)
                near = (distance <= self.distance) & ((query < found) | (not own))
                results.append(np.stack([query[near], found[near], distance[near]]))
        return np.concatenate(results, axis=1)


class Evaluation:
    """The images that no kept image may overlap.

    Args:
        table: of tables.EVALUATION; each image has hashes, or is smooth.
        distance: largest Hamming distance that overlaps, bits; EXACT: equal pixels alone.
        embedding: embedding.Known of the same images; None: features are not compared.
    """

    def __init__(self, table, distance, embedding=None):
        table = table.filter(table["usable"])
        self._table = table.select(PLACE).combine_chunks()  # Once: `overlaps` takes rows of it.
        self._exact = {}
        for position, digest in enumerate(table["sha256"].to_pylist()):
            self._exact.setdefault(digest, position)
        self._index, self._smooth, self._embedding = None, None, embedding
        if distance != EXACT and len(table) and (embedding is None or embedding.hashed):
            column = table["hashes"].combine_chunks()
            owner = np.repeat(np.arange(len(table)), column.value_lengths().to_numpy())
            # Equal hashes are one, which is the first image's.
            equal = column.flatten().dictionary_encode()
            self._owner = owner[np.unique(equal.indices.to_numpy(), return_index=True)[1]]
            self._index = Index(unpacked(equal.dictionary), distance)
            self._smooth = Smooth(table["smooth"].to_pylist())

    @property
    def embedded(self):
        """Whether features are compared."""
        return self._embedding is not None

    def overlaps(self, scores, smooth, features=None):
        """The images of a chunk that overlap: table of tables.FOUND, each with the nearest evaluation image.

        Args:
            scores: table with usable, sha256 and hash.
            smooth: table of tables.SMOOTH.
            features: (rows, values) as features.read gives them; None: they are not compared.
        """
        # dict of row to (place of the nearest evaluation image, distance, measure): the surest measure is written last.
        rows = np.flatnonzero(scores["usable"].to_numpy(zero_copy_only=False))
        taken = scores.take(pa.array(rows))
        found = {}
        if self._embedding and features:
            near = self._embedding.nearest(*features)
            found = {row: (place, round(1000 * (1 - cosine)), "features") for row, (place, cosine) in near.items()}
        if self._index:
            near = self._smooth.nearest(smooth)
            found |= {row: (place, round(levels), "smooth") for row, (place, levels) in near.items()}
            found |= {int(rows[at]): (*one, "hash") for at, one in self._near(taken["hash"]).items()}
        for row, digest in zip(rows.tolist(), taken["sha256"].to_pylist(), strict=True):
            if digest in self._exact:
                found[row] = (self._exact[digest], 0, "pixels")
        # As a table, with what the evaluation images are known by.
        order = sorted(found)
        places, distances, measures = zip(*map(found.get, order), strict=True) if order else ((), (), ())
        others = self._table.take(pa.array(places, pa.int64()))
        return pa.table([order, *(others[name] for name in PLACE), distances, measures], schema=tables.FOUND)

    def _near(self, hashes):
        """dict of the places of hashes (Arrow array) that are near to (place of the nearest image, distance)."""
        equal, nearest = hashes.combine_chunks().dictionary_encode(), {}
        query, hit, distance = self._index.pairs(unpacked(equal.dictionary))
        owner = self._owner[hit]
        for place in np.lexsort([owner, distance, query])[::-1]:  # The nearest is written last.
            nearest[int(query[place])] = (int(owner[place]), int(distance[place]))
        return {place: nearest[group] for place, group in enumerate(equal.indices.to_pylist()) if group in nearest}


def unpacked(hashes):
    """uint8 [N, HASH_BYTES] of an Arrow array of hashes, none of which is null."""
    data = hashes.cast(pa.binary(HASH_BYTES)).buffers()[1]
    return np.frombuffer(data or b"", np.uint8)[: len(hashes) * HASH_BYTES].reshape(-1, HASH_BYTES)
