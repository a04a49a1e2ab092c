"""Near hashes against all pairs; planted copies of an evaluation set; duplicates against a plain loop."""

import io
import tracemalloc

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageOps

from mpl_tf.filtering import images, overlap, select, tables

DISTANCE = 18  # The tool's default.


@pytest.mark.parametrize("distance", [0, 3, 20, 60])
def test_index_finds_every_near_pair(distance):
    random = np.random.default_rng(distance)
    hashes = random.integers(0, 256, (300, images.HASH_BYTES), dtype=np.uint8)
    bits = np.unpackbits(np.concatenate([hashes[:100]] * 2), axis=1)
    for row, flips in enumerate(random.integers(0, 80, len(bits))):
        bits[row, random.permutation(overlap.BITS)[:flips]] ^= 1
    queries = np.packbits(bits, axis=1)
    every = (bits[:, None] != np.unpackbits(hashes, axis=1)[None]).sum(axis=2)
    expected = {(q, h, every[q, h]) for q, h in np.argwhere(every <= distance)}
    assert set(map(tuple, overlap.Index(hashes, distance).pairs(queries).T)) == expected
    own = overlap.Index(queries, distance)
    assert set(map(tuple, own.pairs(queries, own=True).T)) == {
        pair for pair in map(tuple, own.pairs(queries).T) if pair[0] < pair[1]
    }
    assert distance == 0 or len(expected) > 5


def photograph(random):
    """A random picture much like a photograph: noise of four scales, the coarse ones stronger and in colour."""
    layers = [random.normal(size=(2**n, 2**n, 3 if n < 3 else 1)) * 1.4**-n for n in (1, 2, 3, 4)]
    picture = sum(np.kron(layer, np.ones((32 // len(layer),) * 2 + (1,))) for layer in layers)
    picture = 255 * (picture - picture.min()) / np.ptp(picture)
    return Image.fromarray(picture.astype(np.uint8)).resize((40, 40), Image.Resampling.BICUBIC)


def encoded(image, form="PNG", **how):
    output = io.BytesIO()
    image.save(output, form, **how)
    return output.getvalue()


def resized(image):
    small = image.resize([round(0.9 * side) for side in image.size], Image.Resampling.BILINEAR)
    return small.resize(image.size, Image.Resampling.BILINEAR)


COPIES = {
    "exact": encoded,
    "jpeg": lambda image: encoded(image, "JPEG", quality=60),
    "resized": lambda image: encoded(resized(image)),
    "cropped": lambda image: encoded(image.crop((1, 1, image.width - 1, image.height - 1))),
    "mirrored": lambda image: encoded(ImageOps.mirror(image), "JPEG", quality=75),
    "mirrored and cropped": lambda image: encoded(ImageOps.mirror(image).crop((0, 1, image.width - 1, image.height))),
}


def evaluation(pictures, distance):
    decoded = images.decode_all([encoded(picture) for picture in pictures], 0, True, evaluated=True)
    count = range(len(pictures))
    columns = [[f"test{i}" for i in count], ["" for i in count], ["" for i in count], ["" for i in count]]
    columns += [[True for i in count], [7 for i in count], list(count)]
    columns += [[one.sha256 for one in decoded], [list(one.hashes) for one in decoded]]
    return overlap.Evaluation(pa.table(columns, schema=tables.EVALUATION), distance)


def scores_of(files):
    decoded = images.decode_all(files, 0, True)
    columns = {"usable": [one.usable for one in decoded], "sha256": [one.sha256 for one in decoded]}
    return pa.table(
        columns | {"hash": pa.array([one.hashes[0] if one.hashes else None for one in decoded], tables.BYTES)}
    )


def test_copies_are_found_and_others_are_not():
    random = np.random.default_rng(0)
    tests, others = ([photograph(random) for _ in range(count)] for count in (60, 300))
    known, exact_alone = evaluation(tests, DISTANCE), evaluation(tests, overlap.EXACT)
    missed = 0
    for kind, copy in COPIES.items():
        files = [b"", *map(copy, tests)]
        found = known.overlaps(scores_of(files)).to_pylist()
        assert all(one["overlaps"] == f"test{one['row'] - 1}" and one["other_chunk"] == 7 for one in found)
        assert all(one["other_row"] == one["row"] - 1 and one["distance"] <= DISTANCE for one in found)
        assert kind != "exact" or [one["distance"] for one in found] == [0] * 60
        missed += 60 - len(found)
        assert len(exact_alone.overlaps(scores_of(files))) == (60 if kind == "exact" else 0)
    assert missed <= 0.02 * 300
    innocent = scores_of(map(encoded, others))
    assert len(known.overlaps(innocent)) == 0 and len(exact_alone.overlaps(innocent)) == 0


def test_equal_pixels_in_another_form_are_exact():
    picture = photograph(np.random.default_rng(1))
    first, second = images.decode_all([encoded(picture), encoded(picture, "BMP")], 0, True)
    assert first.sha256 == second.sha256
    turned = images.decode_all([encoded(picture.rotate(90, expand=True))], 0, True)[0]
    assert turned.sha256 != first.sha256


def slow_duplicates(pool, limits, distance):
    """What without_duplicates promises, by comparing every pair."""
    rows = pool.to_pylist()
    bits = [np.unpackbits(np.frombuffer(row["hash"], np.uint8)) for row in rows]
    kept, room, dropped = [], list(limits), set()
    for place in sorted(range(len(rows)), key=lambda i: (-rows[i]["probability"], rows[i]["id"])):
        row = rows[place]
        image = row["chunk"], row["row"]
        near = [
            o
            for o in kept
            if (bits[o] != bits[place]).sum() <= distance and image != (rows[o]["chunk"], rows[o]["row"])
        ]
        if room[row["class"]] and near:
            dropped.add(image)
        elif room[row["class"]]:
            kept.append(place)
            room[row["class"]] -= 1
    return sorted(kept), dropped


@pytest.mark.parametrize("seed", range(5))
def test_the_most_probable_of_duplicates_stays(seed):
    random = np.random.default_rng(seed)
    families = random.integers(0, 256, (12, images.HASH_BYTES), dtype=np.uint8)
    count = 80
    hashes = [families[random.integers(12)].copy() for _ in range(count)]
    for one in hashes:
        one[random.integers(images.HASH_BYTES)] ^= 1 << random.integers(8)
    rows = [f"image{i:02d}" for i in range(count)]
    columns = [rows, random.integers(0, 3, count), random.choice([0.5, 0.75, 1.0], count), np.zeros(count)]
    columns += [random.permutation(count) // 2, [b"%d" % i for i in range(count)], [one.tobytes() for one in hashes]]
    arrays = [pa.array(column if isinstance(column, list) else column.tolist()) for column in columns]
    pool = pa.table(arrays, names=tables.CANDIDATES.names).cast(tables.CANDIDATES)
    pool = select.best(pool, [100] * 3)
    limits = [3, 4, 100]
    kept, dropped = overlap.without_duplicates(pool, limits, DISTANCE)
    expected, expected_dropped = slow_duplicates(pool, limits, DISTANCE)
    assert kept["id"].to_pylist() == [pool["id"][i].as_py() for i in expected]
    assert set(dropped) == expected_dropped and dropped
    for other, bits in dropped.values():
        assert other in expected and 0 <= bits <= DISTANCE


def test_exact_duplicates_alone():
    columns = [
        ["a", "b", "c"],
        [0, 0, 1],
        [0.5, 0.75, 0.625],
        [0, 0, 0],
        [0, 1, 2],
        [b"x", b"x", b"y"],
        [b"", b"", b""],
    ]
    pool = select.best(pa.table(columns, names=tables.CANDIDATES.names).cast(tables.CANDIDATES), [9, 9])
    kept, dropped = overlap.without_duplicates(pool, [9, 9], overlap.EXACT)
    assert kept["id"].to_pylist() == ["b", "c"] and list(dropped) == [(0, 0)]


@pytest.mark.parametrize("distance", [DISTANCE, overlap.EXACT])
def test_thousands_of_one_picture_take_no_memory_for_their_pairs(distance):
    count, classes = 5000, 4
    random = np.random.default_rng(0)
    others = random.integers(0, 256, (count, images.HASH_BYTES), dtype=np.uint8)
    one_hash = random.integers(0, 256, images.HASH_BYTES, dtype=np.uint8).tobytes()
    hashes = [one_hash] * count + [hash.tobytes() for hash in others]
    sums = [b"one"] * count + [b"%d" % i for i in range(count)]
    labels = np.arange(2 * count) % classes
    places = [np.linspace(1, 0.5, 2 * count, dtype=np.float32), np.zeros(2 * count, int), np.arange(2 * count)]
    columns = [[f"{i:05d}" for i in range(2 * count)], labels, *places, sums, hashes]
    pool = pa.table([pa.array(column) for column in columns], names=tables.CANDIDATES.names).cast(tables.CANDIDATES)
    pool = select.best(pool, [2 * count] * classes)
    tracemalloc.start()
    try:
        kept, dropped = overlap.without_duplicates(pool, [2 * count] * classes, distance)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # Of the placeholders the most probable is kept, and the others are told as its duplicates.
    assert sorted(kept["row"].to_pylist()) == [0, *range(count, 2 * count)]
    assert set(dropped) == {(0, row) for row in range(1, count)}
    assert {pool["row"][at].as_py() for at, _ in dropped.values()} == {0} and {
        bits for _, bits in dropped.values()
    } == {0}
    assert peak < 2**27  # 25 million pairs of one dict entry each were over 2 GiB.


def test_thousands_of_one_picture_in_both_sets():
    count, picture = 5000, photograph(np.random.default_rng(2))
    one = images.decode_all([encoded(picture)], 0, True)[0]
    tests = {
        "usable": [True] * count,
        "sha256": [b"%d" % i for i in range(count)],
        "hashes": [[*one.hashes] * 2] * count,
    }
    tests |= {"id": [f"test{i}" for i in range(count)], "chunk": [0] * count, "row": list(range(count))}
    blank = {name: [""] * count for name in ("source", "problem", "detail")}
    table = pa.table({name: (tests | blank)[name] for name in tables.EVALUATION.names}).cast(tables.EVALUATION)
    scores = pa.table({"usable": [True] * count, "sha256": [b"other"] * count, "hash": [one.hashes[0]] * count})
    tracemalloc.start()
    try:
        found = overlap.Evaluation(table, DISTANCE).overlaps(scores)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # Each is told to overlap the first of those that are equally near.
    assert found["row"].to_pylist() == list(range(count)) and set(found["distance"].to_pylist()) == {0}
    assert set(found["overlaps"].to_pylist()) == {"test0"} and peak < 2**25
