"""Images of more than 8 bits a channel, which Pillow cuts wrongly: colours to their upper 8, grey at 255.

Of 16 bits the upper 8 are kept. Where no value is above 4095, 12 bits are taken to be in use, as cameras and scanners
write them, and the upper 8 of these are kept.
"""

import numpy as np
import tensorflow as tf
from PIL import Image

TWELVE, FIFTEEN = 2**12, 2**15  # Values below these leave the upper 4 bits, or the highest, unused.


def has_colours(image):
    """Whether a PIL image that is not loaded yet has several channels of 16 bits, which its mode does not tell."""
    return image.mode in ("LA", "RGB", "RGBA") and any(";16" in str(tile[3]) for tile in image.tile)


def colours(image):
    """The values of a PIL image that `has_colours`, before it is loaded: uint16 [H, W, C].

    Raises:
        ValueError: 12 bits are in use, of which Pillow gives 4.
    """
    if image.format == "PNG":
        place = image.fp.tell()
        image.fp.seek(0)
        values = tf.io.decode_png(image.fp.read(), dtype=tf.uint16).numpy()
        image.fp.seek(place)
        return values
    values = np.asarray(image).astype(np.uint16) * 256  # All that Pillow gives of a TIFF.
    if values[..., :3].max() < TWELVE:
        raise ValueError("colours of 16 bits with no more than 12 in use; save it as PNG, or with 8 bits")
    return values


def grey(image):
    """The values of a loaded PIL image of one channel of 16 or 32 bits: uint16 [H, W, 1].

    Raises:
        ValueError: floating-point values, or some that 16 bits do not hold.
    """
    values = np.asarray(image)[..., None]
    if image.mode == "F" or values.min() < 0 or values.max() > 65_535:
        raise ValueError(
            f"values from {values.min():g} to {values.max():g}, whose range is not known; save it with 8 or 16 bits"
        )
    return values.astype(np.uint16)


def to_eight(values, key=None):
    """The image of 8 bits.

    Args:
        values: uint16 [H, W, C], C = 1 (grey), 2 (with alpha), 3 (RGB) or 4 (with alpha).
        key: the value or the values of the colour that is transparent; None: there is none.
    Returns:
        (PIL image of mode L, LA, RGB or RGBA; "sixteen_bit", "twelve_bit" or, of 13 to 15 bits in use, "few_bits").
    """
    if key is not None:
        alpha = np.where((values == key).all(axis=-1, keepdims=True), 0, 65_535).astype(np.uint16)
        values = np.concatenate([values, alpha], axis=-1)  # [H, W, C + 1]
    opaque = values.shape[-1] % 2 == 1
    visible, alpha = (values, values[..., :0]) if opaque else (values[..., :-1], values[..., -1:])
    largest = visible.max()
    shifted = [part >> (4 if part.max(initial=0) < TWELVE else 8) for part in (visible, alpha)]
    pixels = np.concatenate(shifted, axis=-1).astype(np.uint8)  # [H, W, C]
    image = Image.fromarray(pixels if pixels.shape[-1] > 1 else pixels[..., 0])
    return image, "twelve_bit" if largest < TWELVE else "few_bits" if largest < FIFTEEN else "sixteen_bit"
