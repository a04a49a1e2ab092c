"""The forms of an evaluation image whose features are known beside its own: what copies of it may have gone through.

Features forgive a new JPEG and other sizes, less so a frame or a turn: on CIFAR-10, features of a network trained on
ImageNet find 23 of 100 images turned by 5 degrees, and none of those with a frame; with these forms all of both.
"""

import io

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from mpl_tf.data import decode

BILINEAR = Image.Resampling.BILINEAR
BLACK = (0, 0, 0)


def _cropped(image, share):
    """Without a share of its side at each side, one pixel at least."""
    x, y = (max(round(share * side), 1) for side in image.size)
    if min(image.width - 2 * x, image.height - 2 * y) < 1:
        return image
    return image.crop((x, y, image.width - x, image.height - y))


def _framed(image, share):
    """With a black frame of a share of its shorter side, one pixel at least."""
    return ImageOps.expand(image, max(round(share * min(image.size)), 1), BLACK)


def _softened(image):
    """At half its size and back."""
    return image.resize([max(side // 2, 1) for side in image.size], BILINEAR).resize(image.size, BILINEAR)


def _squeezed(image):
    """As a JPEG of quality 20."""
    output = io.BytesIO()
    image.save(output, "JPEG", quality=20)
    with Image.open(output) as opened:
        return opened.convert("RGB")


FORMS = (
    lambda image: image,
    lambda image: _cropped(image, 1 / 32),
    lambda image: _cropped(image, 1 / 20),
    lambda image: _framed(image, 1 / 64),
    lambda image: _framed(image, 1 / 8),
    lambda image: image.rotate(5, BILINEAR),
    lambda image: image.rotate(-5, BILINEAR),
    lambda image: image.convert("L").convert("RGB"),
    _softened,
    lambda image: ImageEnhance.Brightness(image).enhance(1.5),
    _squeezed,
)
COUNT = 2 * len(FORMS)  # With their mirror images.


def looks(image, size, evaluated, resize="crop", background=decode.WHITE):
    """A PIL image, RGB, as a model takes it: uint8 [1, size, size, 3].

    Args:
        image, size, resize, background: as in data/decode.py's fit.
        evaluated: whether all COUNT forms are made, the image itself first and each followed by its mirror image.
    """
    if not evaluated:
        return decode.fit(image, size, resize, background)[None]
    made = [decode.fit(form(image), size, resize, background) for form in FORMS]
    return np.stack([one for form in made for one in (form, form[:, ::-1])])
