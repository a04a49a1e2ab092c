"""Which of overlapping images is kept, against a plain loop over all pairs; thousands of one picture.

Covers: dedup.py, parts.py
"""

import tracemalloc

import numpy as np
import pyarrow as pa
import pytest

from mpl_tf.filtering import dedup, near, select, tables
from mpl_tf.filtering.images import HASH_BYTES
from mpl_tf.filtering.overlap import EXACT
from mpl_tf.filtering.parts import Parts

DISTANCE = 18  # The tool's default.


def table_of(**columns):
    """Table of tables.CANDIDATES in select.ORDER."""
    columns = {"source": columns["id"], **columns}
    arrays = [pa.array(list(columns[name])) for name in tables.CANDIDATES.names]
    table = pa.table(arrays, names=tables.CANDIDATES.names).cast(tables.CANDIDATES)
    return select.best(table, [len(table)] * (1 + max(columns["class"])))


def parts_of(folder, table, cuts=()):
    """Parts of a table cut at classes, each in a file."""
    classes, paths = table["class"].to_numpy(), []
    bounds = np.searchsorted(classes, [0, *cuts, classes.max() + 1])
    for number, (start, stop) in enumerate(zip(bounds, bounds[1:], strict=False)):
        paths.append(folder / f"best-{number}.parquet")
        tables.write(paths[-1], table.slice(start, stop - start))
    return Parts(paths)


def slow_duplicates(table, limits, distance):
    """(kept places, {image: (nearest kept place, bits)}) by comparing every pair."""
    rows = table.to_pylist()
    bits = [np.unpackbits(np.frombuffer(row["fingerprint"], np.uint8)) for row in rows]
    images = [(row["chunk"], row["row"]) for row in rows]
    kept, room, dropped = [], list(limits), {}
    for place in sorted(range(len(rows)), key=lambda i: (-rows[i]["probability"], rows[i]["id"], *images[i], i)):
        label = rows[place]["class"]
        near = [((bits[other] != bits[place]).sum(), rows[other]["id"], other) for other in kept]
        near = [one for one in near if one[0] <= max(distance, 0) and images[one[2]] != images[place]]
        if room[label] and near:
            dropped.setdefault(images[place], min(near)[::-2])
        elif room[label]:
            kept.append(place)
            room[label] -= 1
    return sorted(kept), dropped


def told(table, dropped):
    """dict of the (chunk, row) of what is dropped to (place, bits) of the other."""
    images = [(table["chunk"][at].as_py(), table["row"][at].as_py()) for at in dropped.place.tolist()]
    return dict(zip(images, zip(dropped.other.tolist(), dropped.bits.tolist(), strict=True), strict=True))


@pytest.mark.parametrize("distance", [DISTANCE, 3, EXACT])
@pytest.mark.parametrize("seed", range(8))
def test_the_most_probable_of_duplicates_stays(seed, distance, tmp_path):
    """Whatever the batches; images stand in several classes, many are equally probable, some have equal hashes."""
    random = np.random.default_rng(seed)
    count, classes = 150, 4
    families = random.integers(0, 256, (25, HASH_BYTES), dtype=np.uint8)
    hashes = families[random.integers(0, 25, count)]
    for one in hashes:
        for bit in random.integers(0, 256, random.choice([0, 0, 1, 2, 9])):
            one[bit // 8] ^= 1 << bit % 8
    image = random.integers(0, 90, count)
    about = {"id": [f"image{one % 70:02d}" for one in image], "chunk": image // 9, "row": image % 9}
    about |= {"class": random.integers(0, classes, count), "fingerprint": [hashes[one].tobytes() for one in image]}
    probability = random.choice([0.5, 0.75, 1.0] if seed % 2 else np.linspace(0.1, 1, 100), count)
    table = table_of(probability=probability, **about)
    limits = random.choice([0, 3, 9, 100], classes)
    expected, expected_dropped = slow_duplicates(table, limits, distance)
    parts = parts_of(tmp_path, table, cuts=[1, 3])
    for first, most in ((dedup.FIRST, None), (20, dedup.MOST_PAIRS), (7, 2)):
        kept, dropped = dedup.without_duplicates(parts.pool(), limits, distance, first, most)
        assert np.flatnonzero(kept).tolist() == expected
        assert told(table, dropped) == expected_dropped and len(dropped.place) == len(expected_dropped)
    assert distance == EXACT or expected_dropped


def test_batches_with_too_many_pairs_are_halved(tmp_path, monkeypatch):
    random = np.random.default_rng(0)
    hashes = np.tile(random.integers(0, 256, HASH_BYTES, dtype=np.uint8), (60, 1))
    hashes[:, :2] = np.arange(60)[:, None]
    about = {"id": [f"{i:02d}" for i in range(60)], "class": np.zeros(60, int), "chunk": np.zeros(60, int)}
    about |= {"row": np.arange(60), "probability": np.linspace(1, 0.5, 60), "fingerprint": map(bytes, hashes)}
    table, asked, pairs = table_of(**about), [], near.pairs
    monkeypatch.setattr(near, "pairs", lambda words, *more: asked.append(words.shape[1]) or pairs(words, *more))
    kept, dropped = dedup.without_duplicates(parts_of(tmp_path, table).pool(), [60], DISTANCE, most=10)
    assert np.flatnonzero(kept).tolist() == [0] and dropped.other.tolist() == [0] * 59
    # Halved until few are left; then each part is compared with itself and the one that is kept.
    assert asked[:5] == [60, 30, 15, 7, 3] and max(asked[5:]) == 31 and sum(asked) < 60**2 / 10


def test_ids_are_fetched_from_the_files(tmp_path):
    about = {"id": list("dbca"), "class": [0, 1, 1, 2], "chunk": [0] * 4, "row": range(4)}
    table = table_of(probability=[0.5, 0.75, 0.5, 1.0], fingerprint=[bytes(32)] * 4, **about)
    parts = parts_of(tmp_path, table, cuts=[1, 2])
    assert len(parts) == 4 and parts.numbers["row"].to_pylist() == [0, 1, 2, 3]
    assert parts.ids(np.array([0, 2, 3])).to_pylist() == list("dca") and parts.ids(np.array([], int)).to_pylist() == []
    assert [(start, found["id"].to_pylist()) for start, found in parts.tables("id")] == [
        (0, ["d"]),
        (1, ["b", "c"]),
        (3, ["a"]),
    ]
    assert len(Parts([])) == 0 and Parts([]).pool().words.shape == (4, 0)


@pytest.mark.parametrize("distance", [DISTANCE, EXACT])
def test_thousands_of_one_picture_take_no_memory_for_their_pairs(distance, tmp_path):
    count, classes = 5000, 4
    random = np.random.default_rng(0)
    one = random.integers(0, 256, HASH_BYTES, dtype=np.uint8).tobytes()
    hashes = [one] * count + [hash.tobytes() for hash in random.integers(0, 256, (count, HASH_BYTES), dtype=np.uint8)]
    about = {"id": [f"{i:05d}" for i in range(2 * count)], "class": np.arange(2 * count) % classes}
    about |= {"chunk": np.zeros(2 * count, int), "row": np.arange(2 * count), "fingerprint": hashes}
    table = table_of(probability=np.linspace(1, 0.5, 2 * count, dtype=np.float32), **about)
    pool = parts_of(tmp_path, table).pool()
    tracemalloc.start()
    try:
        kept, dropped = dedup.without_duplicates(pool, [2 * count] * classes, distance)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # Of the placeholders the most probable is kept, and the others are told as its duplicates.
    rows = table["row"].to_numpy()
    assert sorted(rows[kept]) == [0, *range(count, 2 * count)]
    assert sorted(rows[dropped.place]) == list(range(1, count))
    assert set(rows[dropped.other]) == {0} and set(dropped.bits) == {0}
    assert peak < 2**25  # 25 million pairs of one dict entry each were over 2 GiB.
