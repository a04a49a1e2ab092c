"""What the filter must keep of a simulated heap, from the definition in docs/filtering.md alone, in two other ways.

The images are gone through from the most probable down, ties by id. One is kept if its class has room and no image
kept before is within the distance of it; an image that comes while its class has room, and is near one that is kept,
is told as an overlap.

`brute` reads the scores and compares each image with all that are kept; it can take a million. `by_families` takes any
number: it computes the images anew, and knows which of them can be near each other.
"""

import zlib

import numpy as np
import pyarrow.parquet as pq

from .filter_heap import ALONE, CLASSES, NEAR, chunk_name

BLOCK = 512  # Images compared with all kept ones at once.
RUN = 1 << 20  # Images looked at at once.
PLACE = 27  # Bits of an image's place by its id, below those of its probability.


def brute(folder, limit):
    """Compare every image with all kept ones.

    Args:
        folder: of the scores.
        limit: images a class.
    Returns:
        (kept, overlaps): list of each class's ids, the best first; set of ids.
    """
    # All images, from the most probable down; a hash as signs, whose product is 256 - 2 bits.
    tables = [pq.read_table(path).to_pydict() for path in sorted(folder.glob("scores-*.parquet"))]
    rows = [
        row for table in tables for row in zip(*map(table.get, ("id", "class_1", "probability_1", "hash")), strict=True)
    ]
    rows = sorted((row for row in rows if row[1] is not None), key=lambda row: (-row[2], row[0].encode()))
    kept, overlaps, signs = [[] for _ in range(CLASSES)], set(), np.zeros([limit * CLASSES, 256], np.float32)
    count = at = 0
    while at < len(rows):
        # The next that have room, as far as is known.
        block = []
        while at < len(rows) and len(block) < BLOCK:
            block += [rows[at]] if len(kept[rows[at][1]]) < limit else []
            at += 1
        if not block:
            break
        own = _signs([row[3] for row in block])
        near = (own @ signs[:count].T).max(axis=1, initial=-256) >= 256 - 2 * NEAR
        within = own @ own.T >= 256 - 2 * NEAR
        new = []
        for number, (name, label, _, _) in enumerate(block):
            if len(kept[label]) >= limit:
                continue
            if near[number] or within[number, new].any():
                overlaps.add(name)
                continue
            kept[label].append(name)
            new.append(number)
        signs[count : count + len(new)] = own[new]
        count += len(new)
    return kept, overlaps


def _signs(hashes):
    bits = np.unpackbits(np.frombuffer(b"".join(hashes), np.uint8).reshape(-1, 32), axis=1)
    return np.where(bits, 1, -1).astype(np.float32)


def by_families(heap, limit):
    """Go through a heap of any size; images without a family are near none.

    Args:
        heap: filter_heap.Heap.
        limit: images a class.
    Returns:
        (kept, overlaps): list of each class's [numbers of images], the best first; how many images are overlaps.
    """
    order, classes = _ordered(heap)
    kept, overlaps, families = [[] for _ in range(CLASSES)], 0, {}
    for start in range(0, len(order), RUN):
        # Of the next images those whose class has room.
        numbers = _numbers(heap, order[start : start + RUN])
        full = np.array([len(one) >= limit for one in kept])
        numbers = numbers[~full[classes[numbers]]]
        marks = _families(heap, numbers)
        for number, label in zip(numbers.tolist(), classes[numbers].tolist(), strict=True):
            if len(kept[label]) >= limit:
                continue
            if number in marks:
                family, bits = marks[number]
                others = families.setdefault(family, [])
                if any((bits ^ other).bit_count() <= NEAR for other in others):
                    overlaps += 1
                    continue
                others.append(bits)
            kept[label].append(number)
    return kept, overlaps


def _ordered(heap):
    """(order, classes): uint64 of each usable image, from the most probable down; int16 of each image."""
    order, classes, used = np.empty([heap.size], np.uint64), np.empty([heap.size], np.int16), 0
    places, chunk = np.argsort(_sorted(heap)).astype(np.uint64), np.uint64(heap.chunk)
    assert heap.size <= 2**PLACE
    for first in range(0, heap.size, heap.chunk):
        about = heap.images(first, first + heap.chunk)
        number, classes[first : first + heap.chunk] = about["number"], about["class"]
        bits = np.uint64(2**32 - 1) - about["probability"].view(np.uint32)
        found = (bits << np.uint64(PLACE) | number // chunk * chunk + places[number % chunk])[about["usable"]]
        order[used : used + len(found)] = found
        used += len(found)
    order = order[:used]
    order.sort()
    return order, classes


def _sorted(heap):
    """uint64: the rows of a chunk in the order of their ids, which are texts: 0, 1, 10, 100, ..."""
    return np.array(sorted(range(heap.chunk), key=str), np.uint64)


def _numbers(heap, order):
    """int64: the numbers of images in `_ordered`'s order."""
    place, chunk = order & np.uint64(2**PLACE - 1), np.uint64(heap.chunk)
    return (place // chunk * chunk + _sorted(heap)[place % chunk]).astype(np.int64)


def _families(heap, numbers):
    """dict of image to (family, hash as int), of those that have one."""
    about = heap.about(numbers.astype(np.uint64))
    marked = about["kind"] != ALONE
    own = {name: about[name][marked] for name in ("number", "kind", "family")}
    hashes = [int.from_bytes(one.tobytes()) for one in heap.hashes(*own.values())]
    return dict(zip(own["number"].tolist(), zip(own["family"].tolist(), hashes, strict=True), strict=True))


def checksums(ids, probabilities):
    """[count, threshold, CRC-32 of the ids in their order] of each class.

    Args:
        ids: iterable of each class's list of ids.
        probabilities: iterable of each class's last probability.
    """
    return [
        [len(names), float(least) if names else None, zlib.crc32("\n".join(names).encode())]
        for names, least in zip(ids, probabilities, strict=True)
    ]


def of_heap(heap, kept):
    """`checksums` of what `by_families` keeps."""
    names = ([f"{chunk_name(number // heap.chunk)}#{number % heap.chunk}" for number in one] for one in kept)
    last = np.array([one[-1] if one else 0 for one in kept], np.uint64)
    return checksums(names, heap.about(last)["probability"])


def of_table(path):
    """`checksums` of kept.parquet, whose rows must be by class and rank."""
    file, ids, least, ranks = pq.ParquetFile(path), [[] for _ in range(CLASSES)], np.zeros([CLASSES]), 0
    for batch in file.iter_batches(RUN, columns=["class", "rank", "probability", "id"]):
        columns = (column.to_pylist() for column in batch.columns)
        for label, rank, probability, name in zip(*columns, strict=True):
            ranks += rank == len(ids[label])
            ids[label].append(name)
            least[label] = probability
    assert ranks == file.metadata.num_rows
    return checksums(ids, least)


def against_brute(folder, limit):
    """What the filter left in FOLDER/out against `brute`.

    Args:
        folder: Path, with scores and out.
        limit: images a class.
    Returns:
        dict: kept, and kept_equal of them in class, rank and id; overlaps_equal.
    """
    ids, overlaps = brute(folder / "scores", limit)
    expected = [(label, rank, name) for label, names in enumerate(ids) for rank, name in enumerate(names)]
    kept = pq.read_table(folder / "out" / "kept.parquet", columns=["class", "rank", "id"]).to_pydict()
    found = list(zip(*kept.values(), strict=True))
    rejected = pq.read_table(folder / "out" / "rejected.parquet", columns=["id", "reason"]).to_pydict()
    told = {name for name, reason in zip(*rejected.values(), strict=True) if reason == "overlaps"}
    equal = sum(one == other for one, other in zip(found, expected, strict=False))
    return {
        "kept": max(len(found), len(expected)),
        "kept_equal": equal,
        "overlaps_equal": told == overlaps,
    }
