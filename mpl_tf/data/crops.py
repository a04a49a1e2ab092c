"""Crops of encoded images, decoded no further than needed.

A training image is decoded with its random crop in one operation; the crop (Szegedy et al. 2015, "Inception") has 8 to
100 % of the image's area and an aspect of 3/4 to 4/3. In evaluation the middle is cut out, S / (S + 32) of the shorter
side. Both are resized to S x S by bicubic interpolation.

Grey and RGB JPEGs, which nearly all are, are decoded by TensorFlow, and only where the crop is; all else whole, by
mpl_tf/data/decode.py: transparent, turned, CMYK, PNG, WebP and the others.
"""

import tensorflow as tf

from mpl_tf.data import decode

CROP_AREA, CROP_ASPECT = (0.08, 1.0), (3 / 4, 4 / 3)
CENTRE_PADDING = 32  # Pixels around the middle at 224: 224 of 256.


def random_crop(encoded, seed, size, background=decode.WHITE):
    """Inception crop of an encoded image.

    Args:
        encoded: string tensor [], of a format in mpl_tf/data/file_kinds.py.
        seed: int32 [2]; the same seed gives the same crop.
        size: side of the result, pixels.
        background: RGB, what transparent images are laid on.
    Returns:
        uint8 [size, size, 3].
    """

    def window(shape):
        begin, extent, _ = tf.image.stateless_sample_distorted_bounding_box(
            shape,
            tf.constant([[[0.0, 0.0, 1.0, 1.0]]]),
            seed,
            min_object_covered=0.0,
            aspect_ratio_range=CROP_ASPECT,
            area_range=CROP_AREA,
            max_attempts=10,
        )
        return tf.concat([begin[:2], extent[:2]], axis=0)  # [4]: top, left, height, width

    return _cut(encoded, window, size, background)


def centre_crop(encoded, size, background=decode.WHITE):
    """The middle of an encoded image: size / (size + 32) of its shorter side, resized; uint8 [size, size, 3]."""

    def window(shape):
        side = tf.minimum(shape[0], shape[1])
        part = tf.cast(tf.round(size / (size + CENTRE_PADDING) * tf.cast(side, tf.float32)), tf.int32)
        return tf.stack([(shape[0] - part) // 2, (shape[1] - part) // 2, part, part])

    return _cut(encoded, window, size, background)


def _cut(encoded, window, size, background):
    """Decode the window (a function of the image's int32 [3] shape) and resize it to uint8 [size, size, 3]."""

    def from_jpeg():
        place = window(tf.io.extract_jpeg_shape(encoded))
        return tf.image.decode_and_crop_jpeg(encoded, place, channels=3)

    def from_other():
        image = _python(lambda data: decode.whole(data, background), encoded, tf.uint8, [None, None, 3])
        top, left, height, width = tf.unstack(window(tf.shape(image)))
        return image[top : top + height, left : left + width]

    image = tf.cond(_python(decode.is_plain_jpeg, encoded, tf.bool, []), from_jpeg, from_other)
    image = tf.image.resize(tf.ensure_shape(image, [None, None, 3]), [size, size], "bicubic")
    return tf.cast(tf.clip_by_value(tf.round(image), 0, 255), tf.uint8)


def _python(function, encoded, dtype, shape):
    """A function of bytes as an operation; in eager mode numpy_function would cut zeros off the end of the bytes."""
    if tf.executing_eagerly():
        return tf.constant(function(tf.convert_to_tensor(encoded).numpy()))
    return tf.ensure_shape(tf.numpy_function(function, [encoded], dtype, stateful=False), shape)
