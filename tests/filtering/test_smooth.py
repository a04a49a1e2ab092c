"""Pictures with little texture: their copies are found, others like them are not, whatever their hashes say."""

import io

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageOps
from scipy import fft

from mpl_tf.filtering import chunks, images, overlap, smooth, tables
from tests.filtering.test_overlap import DISTANCE, encoded, evaluation, scores_of

SIZE = (128, 96)


def sky(random, cells=4):
    """A picture of a few soft colours."""
    return Image.fromarray(random.integers(0, 256, (cells, cells, 3), np.uint8)).resize(SIZE, Image.Resampling.BICUBIC)


def half(image):
    return image.resize((SIZE[0] // 2, SIZE[1] // 2)).resize(SIZE)


COPIES = {
    "jpeg 75": lambda image: encoded(image, "JPEG", quality=75),
    "jpeg 20": lambda image: encoded(image, "JPEG", quality=20),
    "half": lambda image: encoded(half(image), "BMP"),
    "mirror": lambda image: encoded(ImageOps.mirror(image), "BMP"),
    "crop": lambda image: encoded(image.crop((1, 1, SIZE[0] - 1, SIZE[1] - 1)), "BMP"),
}


def test_texture_is_in_grey_levels():
    random = np.random.default_rng(0)
    pictures = [sky(random, cells) for cells in (1, 3, 5, 8, 16, 32)]
    low = images.coefficients(pictures)
    grey = [np.asarray(one.convert("L").resize((32, 32), Image.Resampling.LANCZOS), float) for one in pictures]
    expected = [fft.dctn(one)[:16, :16] / 64 for one in grey]
    expected = [np.median(np.abs(one - np.median(one))) for one in expected]
    found = smooth.texture(low, 32)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
    assert found[0] == 0 and (np.diff(found[:5]) > 0).all() and found[1] < 1 < smooth.SMOOTH < found[-1]


@pytest.mark.parametrize("kind", COPIES)
def test_copies_of_smooth_pictures_are_found_and_others_are_not(kind):
    random = np.random.default_rng(1)
    tests, others = ([sky(random) for _ in range(20)] for _ in range(2))
    known = evaluation(tests, DISTANCE)
    found = known.overlaps(*scores_of(list(map(COPIES[kind], tests)))).to_pylist()
    assert [one["overlaps"] for one in found] == [f"test{number}" for number in range(20)]
    assert {one["measure"] for one in found} <= {"smooth", "hash"}
    assert all(one["distance"] <= smooth.LEVELS for one in found if one["measure"] == "smooth")
    assert len(known.overlaps(*scores_of(list(map(COPIES[kind], others))))) == 0
    # The hash alone, as scores of earlier versions have it, lets them go.
    scores, _ = scores_of(list(map(COPIES[kind], tests)))
    assert kind == "mirror" or len(known.overlaps(scores, tables.SMOOTH.empty_table())) < 10


def test_plain_pictures_overlap_those_of_their_colour_alone():
    colours = [(0, 0, 0), (255, 255, 255), (200, 30, 30), (30, 30, 200), (128, 128, 128)]
    plain = [Image.new("RGB", SIZE, colour) for colour in colours]
    assert len(set(images.perceptual_hashes(plain))) == 2  # Of black the first bit is another.
    known = evaluation(plain[:3], DISTANCE)
    nearly = Image.new("RGB", (99, 40), (202, 28, 33))
    found = known.overlaps(*scores_of([encoded(one, "JPEG") for one in [*plain, nearly]])).to_pylist()
    assert [(one["row"], one["overlaps"], one["measure"]) for one in found] == [
        *((row, f"test{row}", measure) for row, measure in enumerate(("pixels", "pixels", "smooth"))),
        (5, "test2", "smooth"),
    ]
    # With --dedup they are duplicates where their pixels are equal.
    decoded = images.decode_all([encoded(plain[0]), encoded(plain[0], "BMP"), encoded(plain[1])], 0, True)
    assert decoded[0].hashes == decoded[1].hashes == (decoded[0].sha256,) != decoded[2].hashes


def test_the_difference_is_the_root_mean_square_of_grey_levels_and_the_mirror_image_counts():
    one = np.random.default_rng(2).integers(20, 200, (8, 8, 3), np.uint8)
    known = smooth.Smooth([None, one.tobytes(), None, (one // 2).tobytes()])
    queries = {4: one + 3, 5: one[:, ::-1] + np.eye(8, dtype=np.uint8)[:, :, None] * 16, 9: one + 6}
    table = pa.table([list(queries), [query.tobytes() for query in queries.values()]], schema=tables.SMOOTH)
    found = known.nearest(table)
    assert set(found) == {4} and found[4] == (1, pytest.approx(3.0))  # 16 in an eighth of the pixels: 5.66.
    assert known.nearest(tables.SMOOTH.empty_table()) == {} == smooth.Smooth([None]).nearest(table)


def test_the_file_beside_the_scores(tmp_path):
    chunk = chunks.Chunk(3, "place", 0, 9, 0)
    smooth.write(tmp_path, chunk, tables.SMOOTH.empty_table())
    assert not list(tmp_path.iterdir()) and smooth.read(tmp_path, chunk).equals(tables.SMOOTH.empty_table())
    table = pa.table([[2, 5], [b"a" * 192, b"b" * 192]], schema=tables.SMOOTH)
    smooth.write(tmp_path, chunk, table)
    assert [path.name for path in tmp_path.iterdir()] == ["smooth-00003.parquet"]
    assert smooth.read(tmp_path, chunk).equals(table)


def test_pictures_with_texture_have_no_such_pixels():
    noise = Image.fromarray(np.random.default_rng(3).integers(0, 256, (16, 16, 3), np.uint8)).resize(SIZE)
    output = io.BytesIO()
    noise.save(output, "PNG")
    found = images.decode_all([output.getvalue()], 0, True)[0]
    assert found.smooth is None and len(found.hashes[0]) * 8 == overlap.BITS
