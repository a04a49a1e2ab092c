"""All pairs of perceptual hashes within a Hamming distance, of tens of millions of them, without comparing every pair.

Of n blocks of bits at least n - d are the same in two hashes that differ in d bits. If the blocks are dealt to g hands,
and n = d + 1 + g (t - 1), then one hand has t blocks that are the same (the pigeonhole principle twice; with g = 1 and
t = 1 it is the multi-index hashing of Norouzi et al., CVPR 2012, "Fast search in Hamming space"). So it is enough to
compare hashes that agree wholly on some t blocks of a hand: they stand side by side in a list that is sorted by these.
More blocks give longer keys, which few others share, but more lists; with d = 18 ten million hashes take some 50 lists
by 22 bits, where one block alone, 13 bits of 19, would leave each hash a thousand others to be compared with.
"""

import itertools
import math

import numpy as np

WORD = 64
STRIDE = 89  # Odd: takes the bits of a hash apart that stand side by side, so that all blocks tell as much.
SLICE = 1 << 18  # Hashes whose bits are taken apart at once: 64 MiB.
SORTED, COMPARED = 40e-9, 30e-9  # Seconds for a hash in a list, and for a pair: they choose the number of blocks alone.
MOST_BITS = 32  # Of a key; the other half of a number of 64 bits is the hash's place.


class TooManyError(Exception):
    """There are more pairs than were asked for."""


def spread(words):
    """Hashes whose bits are in another order, the same for all: the distances are what they were.

    Args:
        words: uint64 [W, N], the first words of all of them side by side, then the second ones.
    Returns:
        uint64 [W, N].
    """
    bits = WORD * len(words)
    order, result = np.arange(bits) * STRIDE % bits, np.empty_like(words)
    for start in range(0, words.shape[1], SLICE):
        part = np.ascontiguousarray(words[:, start : start + SLICE].T).view(np.uint8)
        part = np.take(np.unpackbits(part, axis=1), order, axis=1)
        result[:, start : start + SLICE] = np.packbits(part, axis=1).view(np.uint64).T
    return result


def keys(count, bits, distance):
    """The lists that find all pairs: their blocks of bits, as few and as long as pay.

    Args:
        count: of hashes.
        bits: of a hash.
        distance: largest that is found.
    Returns:
        list of tuples of (first bit, bits) each.
    """
    best = None
    for agree, hands in itertools.product(range(1, 5), range(1, 13)):
        blocks = distance + 1 + hands * (agree - 1)
        width = min(bits // blocks, MOST_BITS // agree)
        dealt = [range(hand, blocks, hands) for hand in range(hands)]
        lists = sum(math.comb(len(hand), agree) for hand in dealt)
        if width:
            cost = lists * count * (SORTED + COMPARED * count / 2 / 2 ** (width * agree))
            best = min(best or (math.inf,), (cost, agree, dealt, width), key=lambda one: one[0])
    _, agree, dealt, width = best
    sets = itertools.chain.from_iterable(itertools.combinations(hand, agree) for hand in dealt)
    return [tuple((bits * block // (max(map(max, dealt)) + 1), width) for block in one) for one in sets]


def of_lists(words, lists, first, distance, most=None):
    """`of_list` of one list after the other; arguments as `pairs` and `keys` have them."""
    return (of_list(words, key, first, distance, most) for key in lists)


def pairs(words, first, distance, most=None, each=of_lists):
    """All pairs of different places within the distance, of which the second is `first` or beyond.

    Args:
        words: uint64 [W, N], hashes as `spread` gives them, all different, N < 2**32.
        first: the pairs of places before it are not looked for.
        distance: bits.
        most: pairs; None: any number.
        each: function as `of_lists`.
    Returns:
        (one, other, bits): int64 [P] each, one < other, in the order of one and other.
    Raises:
        TooManyError: there are more than `most`.
    """
    found = np.zeros([0], np.uint64)
    for new in each(words, keys(words.shape[1], WORD * len(words), distance), first, distance, most):
        found = np.unique(np.concatenate([found, new])) if len(new) else found
        if most is not None and len(found) > most:
            raise TooManyError
    one, other = (found >> np.uint64(32)).astype(np.int64), (found & np.uint64(2**32 - 1)).astype(np.int64)
    return one, other, _bits(words, one, other)


def _bits(words, one, other):
    """int64 [P]: how many bits of the hashes at these places differ."""
    return np.bitwise_count(words[:, one] ^ words[:, other]).sum(axis=0, dtype=np.int64)


def of_list(words, key, first, distance, most=None):
    """Pairs that agree on the blocks of a key: uint64 [P], the lesser place above, the greater below.

    Args:
        words, first, distance: as `pairs` has them.
        key: one of `keys`.
        most: pairs; of more the first ones, more than that, are returned.
    """
    found, count = [np.zeros([0], np.uint64)], 0
    for one, other in _of_list(words, key, first, distance):
        found.append(one << np.uint64(32) | other)
        count += len(one)
        if most is not None and count > most:
            break
    return np.concatenate(found)


def _of_list(words, key, first, distance):
    # The list: the key's bits above, the hash's place below; in its order the first word of each hash.
    entries = np.zeros([words.shape[1]], np.uint64)
    for start, width in key:
        entries <<= np.uint64(width)
        entries |= _block(words, start, width)
    entries <<= np.uint64(32)
    entries |= np.arange(len(entries), dtype=np.uint64)
    entries.sort()
    places = (entries & np.uint64(2**32 - 1)).astype(np.uint32)
    entries >>= np.uint64(32)
    words_0 = words[0][places]
    # Those that stand `lag` further with the same key, of which their first words leave few to be compared wholly.
    lag, at = 1, np.flatnonzero(entries[:-1] == entries[1:])
    while len(at):
        near = at[np.bitwise_count(words_0[at] ^ words_0[at + lag]) <= distance]
        one, other = places[near], places[near + lag]
        one, other = np.minimum(one, other), np.maximum(one, other)
        wanted = (other >= first) & (_bits(words, one, other) <= distance)
        if wanted.any():
            yield one[wanted].astype(np.uint64), other[wanted].astype(np.uint64)
        lag += 1
        at = at[at + lag < len(entries)]
        at = at[entries[at] == entries[at + lag]]


def _block(words, start, width):
    """uint64 [N]: bits `start` to `start + width` of each hash."""
    at, offset = divmod(start, WORD)
    found = words[at] >> np.uint64(offset)
    if offset + width > WORD:
        found |= words[at + 1] << np.uint64(WORD - offset)
    found &= np.uint64(2**width - 1)
    return found
