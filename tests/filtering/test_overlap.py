"""Near hashes against all pairs; planted copies of an evaluation set."""

import io
import tracemalloc

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageOps

from mpl_tf.filtering import images, overlap, tables

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
    columns += [[one.smooth for one in decoded]]
    return overlap.Evaluation(pa.table(columns, schema=tables.EVALUATION), distance)


def scores_of(files):
    """(scores, smooth) as Evaluation.overlaps takes them."""
    decoded = images.decode_all(files, 0, True)
    columns = {"usable": [one.usable for one in decoded], "sha256": [one.sha256 for one in decoded]}
    columns |= {"hash": pa.array([one.hashes[0] if one.hashes else None for one in decoded], tables.BYTES)}
    rows = [row for row, one in enumerate(decoded) if one.smooth]
    return pa.table(columns), pa.table([rows, [decoded[row].smooth for row in rows]], schema=tables.SMOOTH)


def test_copies_are_found_and_others_are_not():
    random = np.random.default_rng(0)
    tests, others = ([photograph(random) for _ in range(count)] for count in (60, 300))
    known, exact_alone = evaluation(tests, DISTANCE), evaluation(tests, overlap.EXACT)
    missed = 0
    for kind, copy in COPIES.items():
        files = [b"", *map(copy, tests)]
        found = known.overlaps(*scores_of(files)).to_pylist()
        assert all(one["overlaps"] == f"test{one['row'] - 1}" and one["other_chunk"] == 7 for one in found)
        assert all(one["other_row"] == one["row"] - 1 and one["distance"] <= DISTANCE for one in found)
        assert kind != "exact" or [one["distance"] for one in found] == [0] * 60
        missed += 60 - len(found)
        assert len(exact_alone.overlaps(*scores_of(files))) == (60 if kind == "exact" else 0)
    assert missed <= 0.02 * 300
    innocent = scores_of(map(encoded, others))
    assert len(known.overlaps(*innocent)) == 0 and len(exact_alone.overlaps(*innocent)) == 0


def test_equal_pixels_in_another_form_are_exact():
    picture = photograph(np.random.default_rng(1))
    first, second = images.decode_all([encoded(picture), encoded(picture, "BMP")], 0, True)
    assert first.sha256 == second.sha256
    turned = images.decode_all([encoded(picture.rotate(90, expand=True))], 0, True)[0]
    assert turned.sha256 != first.sha256


def test_thousands_of_one_picture_in_both_sets():
    count, picture = 5000, photograph(np.random.default_rng(2))
    one = images.decode_all([encoded(picture)], 0, True)[0]
    tests = {
        "usable": [True] * count,
        "sha256": [b"%d" % i for i in range(count)],
        "hashes": [[*one.hashes] * 2] * count,
    }
    tests |= {"id": [f"test{i}" for i in range(count)], "chunk": [0] * count, "row": list(range(count))}
    tests |= {"smooth": [None] * count}
    blank = {name: [""] * count for name in ("source", "problem", "detail")}
    table = pa.table({name: (tests | blank)[name] for name in tables.EVALUATION.names}).cast(tables.EVALUATION)
    scores = pa.table({"usable": [True] * count, "sha256": [b"other"] * count, "hash": [one.hashes[0]] * count})
    tracemalloc.start()
    try:
        found = overlap.Evaluation(table, DISTANCE).overlaps(scores, tables.SMOOTH.empty_table())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # Each is told to overlap the first of those that are equally near.
    assert found["row"].to_pylist() == list(range(count)) and set(found["distance"].to_pylist()) == {0}
    assert set(found["overlaps"].to_pylist()) == {"test0"} and peak < 2**25
