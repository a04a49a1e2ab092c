"""Images of more than 8 bits: cut to the upper 8 of those in use, whatever Pillow makes of them."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from mpl_tf.data import decode

RAMP = np.linspace(0, 65_535, 32 * 24).round().astype(np.uint16).reshape(24, 32)


def png(values, key=b""):
    """A PNG of uint16 [H, W, C], C = 1 to 4, and the tRNS chunk of a transparent colour; Pillow writes grey alone."""

    def part(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, channels = values.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    chunks = part(b"IHDR", header) + (part(b"tRNS", key) if key else b"") + part(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + chunks + part(b"IEND", b"")


def read(data, background=decode.WHITE):
    with decode.open_image(io.BytesIO(data)) as image:
        found, conversion = decode.upright(image, background)
    return np.asarray(found), conversion


def channels(count):
    """uint16 [24, 32, count]: a ramp in each channel, each in another direction; alpha is opaque."""
    parts = [RAMP, RAMP[::-1], RAMP[:, ::-1]][: count - 1 + count % 2]
    parts += [np.full_like(RAMP, 65_535)] * (count % 2 == 0)
    return np.stack(parts, axis=-1)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize(("shift", "told"), [(0, "sixteen_bit"), (1, "few_bits"), (4, "twelve_bit")])
def test_grey_and_colours_with_and_without_alpha(count, shift, told):
    """Of 16 bits the upper 8; 15 are taken for 16 and told; of 12 the upper 8, which Pillow makes nearly black."""
    values = channels(count)
    values[..., : count - 1 + count % 2] >>= shift
    pixels, conversion = read(png(values))
    visible = values[..., : count - 1 + count % 2] >> (4 if shift == 4 else 8)
    np.testing.assert_array_equal(pixels, np.broadcast_to(visible, (24, 32, 3)))
    assert conversion == told and pixels.max() == (127 if shift == 1 else 255)


def test_alpha_of_sixteen_bits_is_laid_on_the_background():
    values = channels(4)
    values[..., 3] = np.where(RAMP < 30_000, 0, 65_535)
    pixels, _ = read(png(values), (255, 128, 0))
    clear = RAMP < 30_000
    assert (pixels[clear] == (255, 128, 0)).all()
    np.testing.assert_array_equal(pixels[~clear], values[..., :3][~clear] >> 8)


def test_a_transparent_colour_of_sixteen_bits():
    grey = np.array([[[1000], [1001], [40_000]]], np.uint16)
    np.testing.assert_array_equal(read(png(grey, struct.pack(">H", 1000)))[0][..., 0], [[255, 3, 156]])
    colours = np.array([[[1000, 2, 3], [1000, 2, 4], [40_000, 0, 0]]], np.uint16)
    pixels, _ = read(png(colours, struct.pack(">HHH", 1000, 2, 3)))
    np.testing.assert_array_equal(pixels, [[[255, 255, 255], [3, 0, 0], [156, 0, 0]]])


def test_single_rows_and_columns_keep_their_shape():
    for values in (RAMP[:1, :, None], RAMP[:, :1, None], RAMP[:1, :1, None]):
        assert read(png(values))[0].shape == (*values.shape[:2], 3)


def tiff(array):
    file = io.BytesIO()
    Image.fromarray(array).save(file, "TIFF")
    return file.getvalue()


def test_grey_tiffs_of_sixteen_and_of_thirty_two_bits():
    np.testing.assert_array_equal(read(tiff(RAMP))[0][..., 0], RAMP >> 8)
    np.testing.assert_array_equal(read(tiff(RAMP.astype(np.int32)))[0][..., 0], RAMP >> 8)
    for array in (RAMP.astype(np.int32) * 2, RAMP.astype(np.int32) - 1, RAMP.astype(np.float32) / 65_535):
        with pytest.raises(
            ValueError, match="^values from .* to .*, whose range is not known; save it with 8 or 16 bits"
        ):
            read(tiff(array))


def colour_tiff(values):
    """A plain TIFF of RGB of 16 bits, which Pillow does not write."""
    height, width, _ = values.shape
    data = values.astype("<u2").tobytes()
    after = 8 + len(data)
    entries = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 3, after + 6 + 12 * 9),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (273, 4, 1, 8),
        (277, 3, 1, 3),
        (278, 4, 1, height),
        (279, 4, 1, len(data)),
    ]
    folder = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return (
        struct.pack("<2sHI", b"II", 42, after) + data + folder + struct.pack("<I", 0) + struct.pack("<3H", 16, 16, 16)
    )


def test_colour_tiffs_come_out_right_or_are_refused():
    """Of these Pillow gives the upper 8 bits alone."""
    pixels, conversion = read(colour_tiff(channels(3)))
    np.testing.assert_array_equal(pixels, channels(3) >> 8)
    assert conversion == "sixteen_bit"
    with pytest.raises(
        ValueError, match="^colours of 16 bits with no more than 12 in use; save it as PNG, or with 8 bits"
    ):
        read(colour_tiff(channels(3) >> 4))
