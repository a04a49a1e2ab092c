"""Each change is what its name says; the photographs that copies are made of."""

import io

import numpy as np
import pytest
from PIL import Image

from tools.studies import plants

SIZES = {"twice the size": (80, 64), "crop of 1 pixel": (38, 30), "crop of 2 pixels": (36, 28)}
SIZES |= {
    "crop of 5 %": (36, 28),
    "border of 4 pixels": (48, 40),
    "white border of 3 pixels": (46, 38),
    "crop of 8 %": (34, 26),
}


def picture(seed=0):
    random = np.random.default_rng(seed)
    return Image.fromarray(random.integers(0, 256, (8, 10, 3), np.uint8)).resize((40, 32), Image.Resampling.BICUBIC)


def opened(data):
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB")).astype(int)


@pytest.mark.parametrize("kind", plants.KINDS)
def test_each_change_is_what_its_name_says(kind):
    image = picture()
    pixels, changed = np.asarray(image).astype(int), opened(plants.KINDS[kind](image))
    assert changed.shape == (*SIZES.get(kind, (40, 32))[::-1], 3)
    if kind == "PNG":
        np.testing.assert_array_equal(changed, pixels)
    elif kind == "mirror":
        np.testing.assert_array_equal(changed, pixels[:, ::-1])
    elif kind.startswith("shift"):
        np.testing.assert_array_equal(changed[2:, 2:], pixels[:-2, :-2])
        np.testing.assert_array_equal(changed[0, 2:], pixels[0, :-2])
    elif kind.startswith("crop"):
        y, x = ((whole - side) // 2 for whole, side in zip((32, 40), changed.shape[:2], strict=True))
        np.testing.assert_array_equal(changed, pixels[y:-y, x:-x])
    elif "border" in kind:
        width, level = (3, 255) if kind.startswith("white") else (4, 0)
        np.testing.assert_array_equal(changed[width:-width, width:-width], pixels)
        assert (changed[:width] == level).all() and (changed[:, -width:] == level).all()
    elif kind.startswith("brightness"):
        factor = float(kind.split()[-1])
        np.testing.assert_allclose(changed, np.minimum(pixels * factor, 255), atol=1)
    else:
        assert 0 < np.abs(changed[:32, :40] - pixels).mean() < 120


def test_large_photographs_and_smooth_pictures():
    smooth = plants.enlarged(picture(), cells=3)
    assert smooth.size == plants.LARGE and np.abs(np.diff(np.asarray(smooth).astype(int), axis=1)).max() < 12
    one = plants.large_photographs()[0]
    assert one.size == plants.LARGE and one.mode == "RGB"
