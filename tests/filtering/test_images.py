"""Every kind of bad and odd image: told, never raised; hashes are ImageHash's; what is stored TensorFlow decodes."""

import io
import struct
import zlib

import imagehash
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from mpl_tf.data import shards
from mpl_tf.filtering import images

SOFT = Image.fromarray(np.random.default_rng(0).integers(0, 256, (5, 5, 3), np.uint8)).resize((24, 20))
TURNED = Image.Exif()
TURNED[0x0112] = 6


def encoded(image, form, **how):
    output = io.BytesIO()
    image.save(output, form, **how)
    return output.getvalue()


def bomb(side=30_000):
    """A PNG of side x side pixels in a few bytes: its header is right, its data are not there."""

    def part(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", header) + part(b"IDAT", zlib.compress(b"")) + part(b"IEND", b"")


REFUSED = {
    "empty_file": b"",
    "unreadable": b"this is no image" * 9,
    "truncated": encoded(SOFT, "JPEG")[:-200],
    "too_large": bomb(),
    "too_large by little": bomb(9_500),
}
CONVERTED = {
    "cmyk": encoded(SOFT.convert("CMYK"), "JPEG"),
    "sixteen_bit": encoded(Image.fromarray(np.full((20, 24), 40_000, np.uint16)), "PNG"),
    "animated": encoded(SOFT, "GIF", save_all=True, append_images=[Image.new("RGB", SOFT.size)]),
}
FINE = {
    "jpeg": encoded(SOFT, "JPEG"),
    "grey jpeg": encoded(SOFT.convert("L"), "JPEG"),
    "png": encoded(SOFT, "PNG"),
    "palette": encoded(SOFT.quantize(9), "PNG"),
    "transparent": encoded(SOFT.convert("RGBA"), "PNG"),
    "bmp": encoded(SOFT, "BMP"),
    "webp": encoded(SOFT, "WEBP", lossless=True),
    "turned": encoded(SOFT, "JPEG", exif=TURNED),
}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_used_is_told(name):
    result = images.decode_all([FINE["png"], REFUSED[name]], 8, True)
    assert result[0].usable and result[0].pixels.shape == (8, 8, 3)
    assert not result[1].usable and result[1].problem == name.split()[0] and result[1].detail
    assert result[1].pixels is None and result[1].hashes == () and "\n" not in result[1].detail


@pytest.mark.parametrize("name", CONVERTED)
def test_what_is_converted_is_told(name):
    result = images.decode_all([CONVERTED[name]], 8, True)[0]
    assert result.usable and result.problem == name and result.pixels.shape == (8, 8, 3)


def test_a_sixteen_bit_image_keeps_its_level_and_an_animation_its_first_frame():
    grey, first = images.decode_all([CONVERTED["sixteen_bit"], CONVERTED["animated"]], 8, False)
    assert set(grey.pixels.ravel().tolist()) == {40_000 >> 8}
    assert first.pixels.max() > 50


@pytest.mark.parametrize("name", [*CONVERTED, *FINE])
def test_what_is_stored_is_what_tensorflow_decodes(name):
    data = (CONVERTED | FINE)[name]
    stored = images.storable(data)
    np.testing.assert_array_equal(shards.decode(tf.constant(stored)).numpy(), np.asarray(images.decode(data)[1]))
    assert (stored == data) == (name in ("jpeg", "grey jpeg", "png"))


def test_hashes_are_imagehashs_bit_for_bit():
    random = np.random.default_rng(0)
    sizes = random.integers(3, 90, (100, 2))
    pictures = [Image.fromarray(random.integers(0, 256, (6, 6, 3), np.uint8)).resize(size.tolist()) for size in sizes]
    pictures += [Image.new("RGB", (32, 32), (level,) * 3) for level in (0, 1, 128, 255)]
    library = [np.packbits(imagehash.phash(one, images.HASH_SIDE, 2).hash).tobytes() for one in pictures]
    assert images.perceptual_hashes(pictures) == library
    assert images.perceptual_hashes([]) == []


def bits_of(hashes):
    return np.unpackbits(np.frombuffer(b"".join(hashes), np.uint8).reshape(len(hashes), -1), axis=1)


def test_hashes_of_mirror_images_are_those_of_the_mirrored_pixels():
    random = np.random.default_rng(1)
    sizes = random.integers(3, 90, (100, 2))
    pictures = [Image.fromarray(random.integers(0, 256, (6, 6, 3), np.uint8)).resize(size.tolist()) for size in sizes]
    found = images.perceptual_hashes(pictures, mirrored=True)
    assert found[::2] == images.perceptual_hashes(pictures)
    expected = bits_of(images.perceptual_hashes(list(map(ImageOps.mirror, pictures))))
    differing = (bits_of(found[1::2]) != expected).sum(axis=1)
    # Rounding in the resize and of sums near the median: a bit here and there.
    assert differing.max() <= 4 and differing.mean() < 0.5


def test_an_evaluation_image_is_hashed_with_its_slight_crops():
    result = images.decode_all([encoded(SOFT, "PNG"), encoded(SOFT.crop((0, 0, 2, 2)), "PNG")], 0, True, evaluated=True)
    assert len(result[0].hashes) == 32 and result[1].hashes == () and result[0].pixels is None
    corner = images.perceptual_hashes([SOFT.crop((1, 1, 23, 19))])[0]
    assert result[0].hashes[0] == images.perceptual_hashes([SOFT])[0] and corner == result[0].hashes[-2]
