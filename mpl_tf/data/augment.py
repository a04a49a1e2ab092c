"""Weak and strong random views of a batch, as pure functions of (images, seed): same seed, same bits.

Sources: RandAugment (Cubuk et al. 2020) as released with Meta Pseudo Labels: every image draws a probability in
[0.2, 0.8]; in each of `num_ops` slots it draws one of the operations, applied with that probability; then a cutout
square, a horizontal flip and a shift.

Deviations from the released code: its wrapped values (blend, solarize) are not copied, see operations.py. It flips and
shifts an image before RandAugment too, so that places are up to twice the shift away; two flips are one in law, and the
second shift alone is drawn here, as RandAugment's translations shift too.

A batch is split by operation, so an image pays for its own operation alone. Keras' and keras_cv's RandAugment draw
from a stateful generator, so a resumed run would not repeat itself.
"""

import tensorflow as tf

from mpl_tf.data.operations import OPERATIONS, grid, in_square, take, whole


def _checked(images):
    """Images as a tensor; raises ValueError unless they are uint8 [N, H, W, 3] with H and W static."""
    images = tf.convert_to_tensor(images)
    if images.dtype != tf.uint8 or images.shape.rank != 4 or None in images.shape[1:] or images.shape[3] != 3:
        raise ValueError(
            "images: expected uint8 [N, H, W, 3] with H and W static, "
            f"received {images.dtype.name} {images.shape}; cast or set the shape first"
        )
    return images


def _one_operation_each(images, draws, chance, operations, magnitude, fill):
    """One slot of RandAugment.

    draws: float32 [N, 5] in [0, 1): operation, one that is not used, applied or not, the operation's own two.
    chance: float32 [N], of applying it. operations: dict of functions as OPERATIONS.
    """
    operation = tf.cast(draws[:, 0] * len(operations), tf.int32)
    group = tf.where(draws[:, 2] < chance, operation, len(operations))  # the last group stays as it is

    def split(values):
        return tf.dynamic_partition(values, group, len(operations) + 1)

    *parts, untouched = split(images)
    *own_draws, _ = split(draws[:, 3:])
    places = split(tf.range(tf.shape(images)[0]))
    done = [
        operate(part, magnitude, own, fill)
        for operate, part, own in zip(operations.values(), parts, own_draws, strict=True)
    ]
    return tf.ensure_shape(tf.dynamic_stitch(places, [*done, untouched]), images.shape)


def _cut_flip_shift(images, seed, *, size, flip, shift, fill):
    """Cutout of side `size` (0: none), flip, then shift, as one gather."""
    if not (flip or shift or size):
        return images
    rows, columns = grid(images)
    draws = tf.random.stateless_uniform([tf.shape(images)[0], 5], seed)
    if shift:
        rows += whole(draws[:, 0], 2 * shift + 1) - shift  # [N, H, 1]
        columns += whole(draws[:, 1], 2 * shift + 1) - shift  # [N, 1, W]
    if flip:
        columns = tf.where(draws[:, 2, None, None] < 0.5, images.shape[2] - 1 - columns, columns)  # [N, 1, W]
    hole = in_square(images, rows, columns, size, draws[:, 3:]) if size else None
    return take(images, rows, columns, fill, hole)


def weak_view(images, seed, *, flip, shift, fill=128):
    """Each image shifted by up to `shift` pixels on both axes and, if `flip`, mirrored with probability 1/2.

    images: uint8 [N, H, W, 3], H and W static. seed: int32 or int64 [2], the same seed gives the same bits.
    flip: bool, False for digits. shift: whole pixels >= 0, each place in -shift..shift equally likely.
    fill: grey level 0..255 of what the shift uncovers.
    Returns uint8 [N, H, W, 3]. Raises ValueError for images of another dtype or shape.
    """
    return _cut_flip_shift(_checked(images), seed, size=0, flip=flip, shift=shift, fill=fill)


def strong_view(images, seed, *, flip, shift, num_ops, magnitude, cutout, fill=128, operations=OPERATIONS):
    """RandAugment, then a cutout square, then the flip and shift of weak_view.

    images, seed, flip, shift: as in weak_view.
    num_ops: number of slots >= 0. magnitude: Python number >= 0, 10 is full range (see OPERATIONS).
    cutout: side of the square, a fraction 0..1 of the image's shorter side, 0 for none; its centre is uniform over
    the image and what lies outside is cut off.
    fill: grey level 0..255 of every uncovered pixel, those of geometric operations and cutouts included.
    operations: what a slot draws from, dict of functions as OPERATIONS.
    Returns uint8 [N, H, W, 3]. Raises ValueError for images of another dtype or shape.
    """
    images = _checked(images)
    slots_seed, end_seed = tf.unstack(tf.random.split(tf.cast(seed, tf.int64), 2))
    draws = tf.random.stateless_uniform([num_ops, tf.shape(images)[0], 5], slots_seed)
    for slot in range(num_ops):
        # One chance an image, for all its slots: that of the first.
        chance = 0.2 + 0.6 * draws[0, :, 1]
        images = _one_operation_each(images, draws[slot], chance, operations, magnitude, fill)
    size = int(cutout * min(images.shape[1:3]))
    return _cut_flip_shift(images, end_seed, size=size, flip=flip, shift=shift, fill=fill)


def noise_view(points, seed, *, stddev):
    """Points float32 [N, D] plus normal noise of mean 0 and standard deviation `stddev`; seed: int32 or int64 [2]."""
    return points + tf.random.stateless_normal(tf.shape(points), seed, stddev=stddev)
