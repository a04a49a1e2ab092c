"""One file to pixels: formats, transparency, CMYK, size, what is refused, and what is told of many files.

tests/data/test_folder.py has modes, sizes, turns and broken files, by way of a folder.
"""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mpl_tf.base.errors import RunError, UsageError
from mpl_tf.data import decode, file_kinds, shards, tfrecord, unreadable

SOFT = Image.fromarray(np.random.default_rng(0).integers(0, 256, (5, 5, 3), np.uint8)).resize((24, 20))
# Pillow's names of the formats, and how each is written without loss or nearly so.
WRITERS = {
    "JPEG": {"quality": 100, "subsampling": 0},
    "PNG": {},
    "WEBP": {"lossless": True},
    "BMP": {},
    "GIF": {},
    "TIFF": {"compression": "tiff_lzw"},
}


def saved(path, image, form=None, **how):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, form, **how)
    return path


def upright(image, form="PNG", background=decode.WHITE, **how):
    """(pixels, conversion) of an image that was written and read."""
    file = io.BytesIO()
    image.save(file, form, **how)
    with decode.open_image(io.BytesIO(file.getvalue())) as opened:
        found, conversion = decode.upright(opened, background)
    assert found.mode == "RGB"
    return np.asarray(found), conversion


# ---- Formats ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", file_kinds.FORMATS)
def test_every_format_is_read_whatever_the_name_says(tmp_path, form):
    colours = SOFT.quantize(64) if form == "GIF" else SOFT
    for ending in (*file_kinds.FORMATS[form], ".png"):
        path = saved(tmp_path / f"a{ending}", colours, form, **WRITERS[form])
        found = decode.decode(path, 20)
        expected = np.asarray(colours.convert("RGB").crop((2, 0, 22, 20)))
        np.testing.assert_allclose(found, expected, atol=6 if form == "JPEG" else 0)


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n0 0 9 9 rectfill\nshowpage\n%%EOF\n"
SVG = b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>"


@pytest.mark.parametrize("kind", ["eps", "svg", "ppm", "ico", "pcx"])
def test_other_formats_reach_no_plugin(tmp_path, kind, monkeypatch):
    """An EPS named .png would start Ghostscript."""
    from PIL import EpsImagePlugin

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", None)  # Called, it would raise another error.
    path = tmp_path / "a.png"
    if kind in ("eps", "svg"):
        path.write_bytes({"eps": EPS, "svg": SVG}[kind])
    else:
        SOFT.save(path, kind)
    with pytest.raises(RunError) as caught:
        decode.decode_files([path], 8, False)
    assert str(caught.value).startswith(
        f"{path}: expected a readable JPEG, PNG, WebP, BMP, GIF or TIFF image, got no image of these formats;"
    )


def png_of(width, height):
    """A PNG of that size in a few bytes: its header is right, its data are not there."""

    def part(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", header) + part(b"IDAT", zlib.compress(b"")) + part(b"IEND", b"")


@pytest.mark.parametrize(
    ("width", "height", "told"),
    [
        (9_500, 9_500, "an image of 9500 x 9500 pixels, more than 89 megapixels"),
        (89_478_486, 1, "an image of 89478486 x 1 pixels, more than 89 megapixels"),
        (30_000, 30_000, "an image of more than 89 megapixels"),
    ],
)
def test_large_images_are_refused_by_name_and_without_a_warning(tmp_path, width, height, told):
    path = tmp_path / "large.png"
    path.write_bytes(png_of(width, height))
    with warnings.catch_warnings(record=True) as raised, pytest.raises(RunError, match=f"^{path}: expected .*{told}"):
        warnings.simplefilter("always")
        warnings.filterwarnings("ignore", module=r"PIL\.")  # As the module asks; pytest had taken it back.
        decode.decode_files([path], 8, False)
    assert not raised


def test_the_largest_image_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(decode, "BOMB", 24 * 20)
    path = saved(tmp_path / "a.png", SOFT)
    assert decode.decode(path, 8).shape == (8, 8, 3)
    monkeypatch.setattr(decode, "BOMB", 24 * 20 - 1)
    with pytest.raises(Image.DecompressionBombError):
        decode.decode(path, 8)


# ---- Transparency -------------------------------------------------------------------------------------------------

CLEAR = Image.new("RGBA", (4, 2), (0, 0, 0, 0))
CLEAR.putpixel((1, 1), (200, 100, 50, 255))
CLEAR.putpixel((2, 1), (200, 100, 50, 51))  # A fifth.
SEEN = {(1, 1): (200, 100, 50)}
ORANGE = (255, 128, 0)


@pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("background", [decode.WHITE, (0, 0, 0), ORANGE])
def test_transparency_is_laid_on_the_background(form, background):
    how = {"lossless": True, "exact": True} if form == "WEBP" else {}
    pixels, conversion = upright(CLEAR, form, background, **how)
    expected = np.broadcast_to(background, (2, 4, 3)).copy()
    expected[1, 1] = (200, 100, 50)
    fifth = 0.2 * np.array((200, 100, 50)) + 0.8 * np.array(background)
    np.testing.assert_allclose(pixels[1, 2], fifth, atol=0.6)
    expected[1, 2] = pixels[1, 2]
    np.testing.assert_array_equal(pixels, expected)
    assert conversion == ""


def test_grey_palettes_and_single_colours_are_transparent_too():
    grey = Image.fromarray(np.array([[[7, 0], [7, 255]]], np.uint8))  # LA.
    np.testing.assert_array_equal(upright(grey)[0][..., 0], [[255, 7]])
    palette = Image.fromarray(np.array([[0, 1, 2]], np.uint8))
    palette = palette.convert("P")
    palette.putpalette([0, 0, 0, 10, 20, 30, 40, 50, 60])
    for how in ({"transparency": 0}, {"transparency": bytes([0, 255, 255])}):
        np.testing.assert_array_equal(upright(palette, **how)[0], [[[255] * 3, [10, 20, 30], [40, 50, 60]]])
    keyed = Image.fromarray(np.array([[[1, 2, 3], [1, 2, 4]]], np.uint8))
    np.testing.assert_array_equal(upright(keyed, transparency=(1, 2, 3))[0], [[[255] * 3, [1, 2, 4]]])
    gif = Image.fromarray(np.array([[0, 1]], np.uint8)).convert("P")
    gif.putpalette([9, 9, 9, 10, 20, 30])
    np.testing.assert_array_equal(upright(gif, "GIF", transparency=0)[0], [[[255] * 3, [10, 20, 30]]])
    line = Image.fromarray(np.array([[False, True]]))
    np.testing.assert_array_equal(upright(line, transparency=0)[0][..., 0], [[255, 255]])


def test_an_opaque_image_with_an_alpha_channel_keeps_every_value():
    random = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    opaque = np.dstack([random, np.full((64, 64), 255, np.uint8)])
    np.testing.assert_array_equal(upright(Image.fromarray(opaque), background=ORANGE)[0], random)


def test_an_image_that_is_wholly_clear_is_told():
    pixels, conversion = upright(Image.new("RGBA", (3, 2), (9, 8, 7, 0)), background=ORANGE)
    np.testing.assert_array_equal(pixels, np.broadcast_to(ORANGE, (2, 3, 3)))
    assert conversion == "clear"


def test_colours_of_the_flag():
    names = {"white": (255, 255, 255), "black": (0, 0, 0), "#ff8000": ORANGE, "#FF8000": ORANGE}
    assert {name: decode.colour(name) for name in names} == names
    for wrong in ("", "red", "#fff", "ff8000", "#ff80001", "rgb(1,2,3)"):
        with pytest.raises(UsageError, match="^--background: expected white, black or #rrggbb, "):
            decode.colour(wrong)


# ---- CMYK and animations ------------------------------------------------------------------------------------------


def without_adobe(data):
    """A JPEG without its Adobe segment, as other programs write CMYK: its values are then not inverted."""
    at = data.index(b"\xff\xee")
    return data[:at] + data[at + 2 + int.from_bytes(data[at + 2 : at + 4], "big") :]


def test_cmyk_comes_out_right_of_whatever_program():
    image = Image.new("CMYK", (16, 16), (0, 128, 255, 51))  # Red 204, green 204 * 127 / 255, no blue.
    expected = np.array([204, 102, 0])
    pixels, conversion = upright(image, "JPEG", quality=100)
    np.testing.assert_allclose(pixels, np.broadcast_to(expected, (16, 16, 3)), atol=3)
    assert conversion == "cmyk"
    np.testing.assert_allclose(upright(image, "TIFF")[0], np.broadcast_to(expected, (16, 16, 3)), atol=1)
    # The same numbers in a file that does not say that they are Adobe's.
    file = io.BytesIO()
    Image.eval(image, lambda value: 255 - value).save(file, "JPEG", quality=100)
    plain = without_adobe(file.getvalue())
    with decode.open_image(io.BytesIO(plain)) as opened:
        found = np.asarray(decode.upright(opened)[0])
    np.testing.assert_allclose(found, np.broadcast_to(expected, (16, 16, 3)), atol=3)
    np.testing.assert_allclose(found, tf.io.decode_jpeg(plain, channels=3), atol=3)  # libjpeg-turbo's word on it.


def test_of_an_animation_the_first_frame_counts():
    for form in ("GIF", "WEBP", "TIFF", "PNG"):
        how = {"lossless": True} if form == "WEBP" else {}
        pixels, conversion = upright(
            Image.new("RGB", (4, 4), (255, 0, 0)), form, save_all=True, append_images=[Image.new("RGB", (4, 4))], **how
        )
        np.testing.assert_array_equal(pixels, np.broadcast_to((255, 0, 0), (4, 4, 3)))
        assert conversion == "animated"


# ---- For TensorFlow's decoder -------------------------------------------------------------------------------------


def test_tensorflow_decodes_plain_jpegs_alone():
    def encoded(image, form="JPEG", **how):
        file = io.BytesIO()
        image.save(file, form, **how)
        return file.getvalue()

    turned = Image.Exif()
    turned[decode.ORIENTATION] = 6
    noted = Image.Exif()
    noted[0x010E] = "a description"
    plain = [encoded(SOFT), encoded(SOFT.convert("L")), encoded(SOFT, exif=noted), encoded(SOFT, progressive=True)]
    others = [encoded(SOFT, exif=turned), encoded(SOFT.convert("CMYK")), encoded(SOFT, "PNG"), encoded(SOFT, "WEBP")]
    assert all(map(decode.is_plain_jpeg, plain)) and not any(map(decode.is_plain_jpeg, others))
    for data in plain:
        theirs = tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE").numpy()
        np.testing.assert_array_equal(decode.whole(data), theirs)


# ---- Many files ---------------------------------------------------------------------------------------------------


def test_all_unreadable_files_are_told_at_once(tmp_path):
    paths = [saved(tmp_path / f"{number:02d}.png", SOFT) for number in range(20)]
    for path in paths[3:16:4]:
        path.write_bytes(b"no image")
    with pytest.raises(RunError) as caught:
        decode.decode_files(paths, 8, False)
    message = str(caught.value)
    assert message.startswith("4 images: expected readable JPEG, PNG, WebP, BMP, GIF or TIFF files, got ")
    assert all(f"{path} (no image of these formats)" in message for path in paths[3:16:4]) and "more" not in message
    assert message.endswith("; mend or remove them, or give --skip_bad_images")


def test_of_many_ten_are_named_and_a_file_has_all(tmp_path, monkeypatch):
    monkeypatch.setattr(unreadable.tempfile, "tempdir", str(tmp_path))
    paths = [tmp_path / f"{number:02d}.png" for number in range(13)]
    for path in paths:
        path.write_bytes(b"")
    with pytest.raises(RunError) as caught:
        decode.decode_files(paths, 8, False)
    (written,) = tmp_path.glob("unreadable-images-*.txt")
    assert f"and 3 more, all of them in {written};" in str(caught.value)
    assert written.read_text().splitlines() == [f"{path} (no image of these formats)" for path in paths]
    assert str(paths[9]) in str(caught.value) and str(paths[10]) not in str(caught.value)
    # Left out, they are told the same way.
    decoded = decode.decode_files(paths, 8, True)
    assert not decoded.good.any() and not decoded.images.any()
    assert decoded.notes[0].startswith(f"unreadable images left out: {paths[0]} (no image of these formats), ")


def test_what_was_converted_is_counted(tmp_path):
    paths = [saved(tmp_path / f"{number}.jpg", SOFT.convert("CMYK")) for number in range(2)]
    paths.append(saved(tmp_path / "a.png", Image.fromarray(np.full((4, 4), 4095, np.uint16))))
    decoded = decode.decode_files([*paths, saved(tmp_path / "b.png", SOFT)], 4, False)
    assert decoded.good.all() and (decoded.images[2] == 255).all()
    (line,) = decoded.notes
    assert line == (
        "images converted: 2 CMYK, without their colour profiles, "
        "1 of 16 bits with no more than 12 in use, cut to the upper 8 of these"
    )


def test_a_record_with_a_wrong_checksum_is_named_and_the_others_are_read(tmp_path):
    file = io.BytesIO()
    SOFT.save(file, "BMP")
    path = tmp_path / "a.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for number in range(5):
            writer.write(shards.serialize(file.getvalue(), str(number), 0, 0.5))
    records = tfrecord.records(path)
    content = bytearray(path.read_bytes())
    content[records[3].offset + 700] ^= 1  # A pixel: nothing but the checksum tells.
    path.write_bytes(content)
    with pytest.raises(RunError, match=f"^{path}#3: expected .*, got a record whose checksum is wrong; mend"):
        decode.decode_files(records, 8, False)
    decoded = decode.decode_files(records, 8, True)
    assert decoded.good.tolist() == [True, True, True, False, True]
