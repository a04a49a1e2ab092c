"""The 15 operations of RandAugment on a batch: uint8 [N, H, W, 3] -> uint8 [N, H, W, 3], H and W static, N free.

Source: RandAugment (Cubuk et al. 2020), with the list and levels released with Meta Pseudo Labels. The answer of each
operation is that of Pillow (ImageOps, ImageEnhance, Image.transform and Image.rotate with NEAREST): exactly, except
where a docstring says otherwise. No value wraps around.

All moves of pixels are one integer gather, which takes Pillow's side in every tie and is quicker than
ImageProjectiveTransformV3 (1.5 ms, indices included, against 3.5 ms for 256 images of 32x32 on one core).

Library layers were set against Pillow 13 on noise and on smooth images (greatest difference in grey levels; time per
32x32 image on one core in batches of 256):
- keras AutoContrast: used. 1 level, at about 1 % of the values; 20 us. keras_cv has the same answer and time.
- keras RandomPosterization, which draws nothing when its range is one value: used. Exact; 1.5 us. keras_cv: 3.9 us.
- keras Equalization: 233 levels (one histogram for the whole batch). keras_cv Equalization: 127 levels (it leaves out
  the rarest grey level where Pillow leaves out the brightest); 44 us, against 25 us here.
- keras Solarization: 253 levels (it always draws its threshold). keras_cv: exact up to threshold 255 but refuses 256,
  which changes nothing and is every magnitude's from 10 up; 12 us, against 2 us here.
- keras RandomInvert, RandomColorDegeneration (1 level) and RandomSharpness (135 levels, at the border) draw from a
  stateful generator when called, so a resumed run would not repeat itself. RandomContrast has a mean per channel.
"""

import functools
import math

import keras
import tensorflow as tf


@functools.cache
def _layer(make, **arguments):
    """A keras layer in float32 whatever the global policy; its variable (an unused seed) is made outside any graph."""
    with tf.init_scope():
        return make(dtype="float32", **arguments)


# ---- Where a pixel comes from -------------------------------------------------------------------------------------


def take(images, rows, columns, fill, hole=None):
    """Image n of the answer has at (y, x) the pixel (rows, columns)[n, y, x] of image n, or `fill` outside it.

    images uint8 [N, H, W, 3]; rows, columns int32, hole bool (True reads `fill` too): each broadcasts to [N, H, W].
    """
    _, height, width, _ = images.shape
    count = tf.shape(images)[0]
    inside = (rows >= 0) & (rows < height) & ((columns >= 0) & (columns < width))
    if hole is not None:
        inside &= ~hole
    pixels = tf.concat([tf.reshape(images, [-1, 3]), tf.fill([1, 3], tf.constant(fill, tf.uint8))], 0)
    first = tf.reshape(tf.range(count) * (height * width), [-1, 1, 1])
    index = tf.where(inside, (first + rows * width) + columns, count * (height * width))  # [N, H, W]
    return tf.ensure_shape(tf.gather(pixels, index), images.shape)


def grid(images):
    """Row numbers int32 [1, H, 1] and column numbers int32 [1, 1, W]."""
    return tf.range(images.shape[1])[None, :, None], tf.range(images.shape[2])[None, None, :]


def whole(draws, count):
    """Uniform draws in [0, 1), float32 [N], to whole numbers 0..count-1, int32 [N, 1, 1]."""
    return tf.cast(draws * count, tf.int32)[:, None, None]


def in_square(images, rows, columns, size, centre):
    """Whether (rows, columns) lies in a square of side `size`; its centre: draws in [0, 1), float32 [N, 2]."""
    below = rows - whole(centre[:, 0], images.shape[1]) + size // 2
    right = columns - whole(centre[:, 1], images.shape[2]) + size // 2
    return ((below >= 0) & (below < size)) & ((right >= 0) & (right < size))  # [N, H, W]


def _affine(images, matrices, second, fill):
    """Pillow's transform(AFFINE, NEAREST): pixel (x, y) reads (a x + b y + c, d x + e y + f) of (a, b, c, d, e, f).

    matrices: two of them; second: bool [N], which images take the second one. Like Pillow it steps in 16.16 fixed
    point from pixel centres, so its ties are Pillow's. Sides up to 10,000 pixels (int32).
    """
    centred = [(a, b, c + (a + b) / 2, d, e, f + (d + e) / 2) for a, b, c, d, e, f in matrices]
    fixed = tf.constant([[math.floor(v * 65536 + 0.5) for v in row] for row in centred], tf.int32)
    a, b, c, d, e, f = (v[:, None, None] for v in tf.unstack(tf.gather(fixed, tf.cast(second, tf.int32)), axis=1))
    y, x = grid(images)
    rows, columns = d * x + (e * y + f), a * x + (b * y + c)  # [N, H, W]
    return take(images, tf.bitwise.right_shift(rows, 16), tf.bitwise.right_shift(columns, 16), fill)


# ---- Operations: uint8 [N, H, W, 3] -> uint8 [N, H, W, 3] ---------------------------------------------------------


def auto_contrast(images):
    """ImageOps.autocontrast: each channel stretched to 0..255; within one grey level (float32 for float64)."""
    if images.shape[0] == 0:  # outside a graph keras refuses an empty batch
        return images
    return tf.cast(_layer(keras.layers.AutoContrast)(images), tf.uint8)


def equalize(images):
    """ImageOps.equalize, exactly: the histogram of each channel of each image made flat."""
    _, height, width, _ = images.shape
    values = tf.cast(tf.reshape(tf.transpose(images, [0, 3, 1, 2]), [-1, height * width]), tf.int32)  # [N*3, H*W]
    histogram = tf.math.bincount(values, minlength=256, maxlength=256, axis=-1)  # [N*3, 256]
    brightest = tf.gather(histogram, tf.reduce_max(values, axis=1), batch_dims=1)  # [N*3]
    step = ((height * width - brightest) // 255)[:, None]
    table = (tf.cumsum(histogram, axis=1, exclusive=True) + step // 2) // tf.maximum(step, 1)
    table = tf.where(step > 0, tf.minimum(table, 255), tf.range(256))
    values = tf.reshape(tf.gather(tf.cast(table, tf.uint8), values, batch_dims=1), [-1, 3, height, width])
    return tf.transpose(values, [0, 2, 3, 1])


def invert(images):
    """ImageOps.invert, exactly."""
    return 255 - images


def posterize(images, bits):
    """ImageOps.posterize, exactly: the `bits` (1..8) highest bits of each value are kept."""
    return tf.cast(_layer(keras.layers.RandomPosterization, factor=(bits, bits), seed=0)(images), tf.uint8)


def solarize(images, threshold):
    """ImageOps.solarize, exactly: values from `threshold` (0..256) up are inverted, so 256 changes nothing."""
    if threshold > 255:
        return images
    # 255 - v is v with all its bits flipped: ten times quicker than tf.where on uint8.
    return tf.bitwise.bitwise_xor(images, 255 * tf.cast(images >= threshold, tf.uint8))


def _blend(plain, images, factor):
    """Image.blend(plain, images, factor), exactly: float32, saturated, then cut to whole numbers. plain broadcasts."""
    plain, images = tf.cast(plain, tf.float32), tf.cast(images, tf.float32)
    return tf.saturate_cast(plain + factor * (images - plain), tf.uint8)


def _grey(images):
    """Image.convert("L"), exactly: int32 [N, H, W, 1], 0..255."""
    red, green, blue = tf.split(tf.cast(images, tf.int32), 3, axis=-1)  # [N, H, W, 1] each
    return tf.bitwise.right_shift(19595 * red + 38470 * green + 7471 * blue + 32768, 16)


def color(images, factor):
    """ImageEnhance.Color, exactly: 0 is grey, 1 the image, above 1 more colourful."""
    return _blend(_grey(images), images, factor)


def contrast(images, factor):
    """ImageEnhance.Contrast, exactly: away from (factor > 1) or towards (< 1) the image's mean grey level."""
    pixels = images.shape[1] * images.shape[2]
    mean = (2 * tf.reduce_sum(_grey(images), axis=[1, 2, 3], keepdims=True) + pixels) // (2 * pixels)
    return _blend(mean, images, factor)


def brightness(images, factor):
    """ImageEnhance.Brightness, exactly: 0 is black, 1 the image."""
    return _blend(0, images, factor)


def sharpness(images, factor):
    """ImageEnhance.Sharpness, exactly: 0 is smoothed by (1 1 1; 1 5 1; 1 1 1) / 13 except the border, 1 the image."""
    images = tf.cast(images, tf.float32)
    centre = images[:, 1:-1, 1:-1]
    rows = images[:, :-2] + images[:, 1:-1] + images[:, 2:]
    weighted = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:] + 4 * centre
    change = tf.floor(weighted / 13 + 0.5) - centre
    return _blend(images + tf.pad(change, [[0, 0], [1, 1], [1, 1], [0, 0]]), images, factor)


def rotate(images, degrees, negate, fill=128):
    """Image.rotate, exactly: by `degrees` counter-clockwise about the centre, clockwise where `negate` (bool [N])."""
    _, height, width, _ = images.shape
    matrices = []
    for angle in (-math.radians(degrees), math.radians(degrees)):
        cos, sin = math.cos(angle), math.sin(angle)
        x, y = width / 2, height / 2
        matrices.append((cos, sin, x - cos * x - sin * y, -sin, cos, y + sin * x - cos * y))
    return _affine(images, matrices, negate, fill)


def shear_x(images, slope, negate, fill=128):
    """Image.transform of (1, slope, 0, 0, 1, 0), exactly; the slope is negated where `negate` (bool [N])."""
    return _affine(images, [(1, s, 0, 0, 1, 0) for s in (slope, -slope)], negate, fill)


def shear_y(images, slope, negate, fill=128):
    """Image.transform of (1, 0, 0, slope, 1, 0), exactly; the slope is negated where `negate` (bool [N])."""
    return _affine(images, [(1, 0, 0, s, 1, 0) for s in (slope, -slope)], negate, fill)


def translate_x(images, pixels, negate, fill=128):
    """Image.transform of (1, 0, pixels, 0, 1, 0); equal but for fractions within 2^-17 below one half."""
    return _affine(images, [(1, 0, p, 0, 1, 0) for p in (pixels, -pixels)], negate, fill)


def translate_y(images, pixels, negate, fill=128):
    """Image.transform of (1, 0, 0, 0, 1, pixels); equal but for fractions within 2^-17 below one half."""
    return _affine(images, [(1, 0, 0, 0, 1, p) for p in (pixels, -pixels)], negate, fill)


def cutout(images, size, centre, fill=128):
    """A square of side `size` set to `fill`, cut off at the borders; centre: draws in [0, 1), float32 [N, 2]."""
    rows, columns = grid(images)
    return take(images, rows, columns, fill, in_square(images, rows, columns, size, centre))


def _factor(magnitude):
    """0.1 at magnitude 0, 1 (no change) at 5, 1.9 at 10."""
    return 0.1 + 1.8 * magnitude / 10


def reaching(translate, half_side):
    """The operations that a data set's size scales; see OPERATIONS.

    Args:
        translate: length of a translation at magnitude 10, a fraction of the side along it.
        half_side: half the side of a cutout at magnitude 10, a fraction of the shorter side; cut to whole pixels.
    """
    return {
        "TranslateX": lambda x, m, u, fill: translate_x(x, x.shape[2] * translate * m / 10, u[:, 0] < 0.5, fill),
        "TranslateY": lambda x, m, u, fill: translate_y(x, x.shape[1] * translate * m / 10, u[:, 0] < 0.5, fill),
        "Cutout": lambda x, m, u, fill: cutout(x, 2 * int(min(x.shape[1:3]) * half_side * m / 10), u, fill),
    }


# Name -> function of x: images; m: magnitude, a Python number >= 0 on the 0..10 scale, where geometry and blends
# extrapolate above 10 (rotation is 48 degrees at 16) and the rest saturates; u: draws in [0, 1), float32 [N, 2], of
# which the first, below 1/2, negates geometry and both place the cutout; fill: grey level of uncovered pixels.
# Posterize keeps at least one bit, as Pillow demands.
OPERATIONS = {
    "AutoContrast": lambda x, m, u, fill: auto_contrast(x),
    "Equalize": lambda x, m, u, fill: equalize(x),
    "Invert": lambda x, m, u, fill: invert(x),
    "Rotate": lambda x, m, u, fill: rotate(x, 30 * m / 10, u[:, 0] < 0.5, fill),
    "Posterize": lambda x, m, u, fill: posterize(x, min(max(int(4 * m / 10), 1), 8)),
    "Solarize": lambda x, m, u, fill: solarize(x, min(int(256 * m / 10), 256)),
    "Color": lambda x, m, u, fill: color(x, _factor(m)),
    "Contrast": lambda x, m, u, fill: contrast(x, _factor(m)),
    "Brightness": lambda x, m, u, fill: brightness(x, _factor(m)),
    "Sharpness": lambda x, m, u, fill: sharpness(x, _factor(m)),
    "ShearX": lambda x, m, u, fill: shear_x(x, 0.3 * m / 10, u[:, 0] < 0.5, fill),
    "ShearY": lambda x, m, u, fill: shear_y(x, 0.3 * m / 10, u[:, 0] < 0.5, fill),
} | reaching(1 / 8, 1 / 8)  # Of the image's side at magnitude 10, as released for CIFAR and SVHN.


def chosen(translate, half_side, without):
    """OPERATIONS with the reaches of `reaching` and not those whose names are in `without`."""
    found = OPERATIONS | reaching(translate, half_side)
    return {name: operation for name, operation in found.items() if name not in without}
