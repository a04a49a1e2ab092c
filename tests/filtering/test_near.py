"""Near pairs of hashes against all pairs, by every number of blocks that the search may choose."""

import math

import numpy as np
import pytest

from mpl_tf.filtering import near

BITS = 256


def hashes(random, count, flips):
    """uint64 [4, count], all different: some random ones, the others up to `flips` bits off these."""
    bits = random.integers(0, 2, (count // 3, BITS), dtype=np.uint8)
    bits = bits[random.integers(0, len(bits), count)]
    for row in bits:
        row[random.permutation(BITS)[: random.integers(0, flips)]] ^= 1
    words = np.packbits(bits, axis=1).view(np.uint64)
    return random.permutation(np.unique(words, axis=0)).T.copy()


def every_pair(words, distance):
    """Set of (one, other, bits), one < other, by comparing all."""
    bits = np.unpackbits(words.T.copy().view(np.uint8), axis=1).astype(int)
    found = (bits[:, None] != bits[None]).sum(axis=2)
    return {(one, other, found[one, other]) for one, other in np.argwhere(found <= distance) if one < other}


@pytest.mark.parametrize(("distance", "as_if"), [(1, 300), (3, 300), (40, 300), (18, 300), (18, 10**5), (18, 10**7)])
def test_every_near_pair_is_found(distance, as_if, monkeypatch):
    words = hashes(np.random.default_rng(distance), 300, 2 * distance)
    expected = every_pair(words, distance)
    keys = near.keys
    monkeypatch.setattr(near, "keys", lambda count, *about: keys(as_if, *about))
    for first in (0, 200, words.shape[1]):
        found = near.pairs(near.spread(words), first, distance)
        assert set(zip(*map(np.ndarray.tolist, found), strict=True)) == {pair for pair in expected if pair[1] >= first}
    assert len(expected) > 50


def test_hashes_that_share_a_key_by_the_hundred():
    """Nothing but their last bits tells them apart, so that most lists have them all side by side."""
    words = np.zeros([4, 400], np.uint64)
    words[3] = np.random.default_rng(0).permutation(2**16)[:400]
    found = near.pairs(near.spread(words), 0, 5)
    assert set(zip(*map(np.ndarray.tolist, found), strict=True)) == every_pair(words, 5)
    with pytest.raises(near.TooManyError):
        near.pairs(near.spread(words), 0, 5, most=len(found[0]) - 1)
    assert len(near.pairs(near.spread(words), 0, 5, most=len(found[0]))[0]) == len(found[0])


@pytest.mark.parametrize("distance", [0, 1, 18, 30, 64])
@pytest.mark.parametrize("count", [10, 10**4, 10**7])
def test_blocks_are_apart_and_within_the_hash(count, distance):
    lists = near.keys(count, BITS, distance)
    blocks = sorted({block for key in lists for block in key})
    for (start, width), (after, _) in zip(blocks, blocks[1:], strict=False):
        assert start + width <= after
    assert blocks[0][0] == 0 and sum(blocks[-1]) <= BITS and blocks[0][1] * len(lists[0]) <= near.MOST_BITS
    # Whichever blocks differ, as many as the distance: some list has none of them. So too for the worst choice, which
    # takes all but as few as it must of each hand.
    agree = len(lists[0])
    hands = {}
    for key in lists:
        hands.setdefault(frozenset(block for other in lists if set(other) & set(key) for block in other), 0)
    if agree > 1:
        assert sum(len(hand) - (agree - 1) for hand in hands) > distance
        assert len(lists) == sum(math.comb(len(hand), agree) for hand in hands)
    else:
        assert len(blocks) == distance + 1
