"""Batches with their views from tf.data sets of images, such as keras.utils.image_dataset_from_directory gives.

    labeled = keras.utils.image_dataset_from_directory("photos/labeled", image_size=(32, 32), seed=0)
    unlabeled = keras.utils.image_dataset_from_directory("photos/more", labels=None, image_size=(32, 32), seed=0)
    method.fit(mpl_tf.datasets.from_keras(labeled, unlabeled), steps_per_epoch=100)

The program's own pipeline (pipeline.py) draws from sources with random access and goes on at any step; a set that
somebody else reads has an order of its own, and begins where it begins.
"""

import types

import numpy as np
import tensorflow as tf

from mpl_tf.base.errors import UsageError
from mpl_tf.data.draws import seed_of
from mpl_tf.data.pipeline import FIELDS, VIEWS, make_views
from mpl_tf.data.source import Dataset
from mpl_tf.settings import arguments, catalogue

KEYS = ("x_l", "y_l", "x_u_weak", "x_u_strong")
# Flags that are arguments here, with the values of own images (flags/folder.flags) where they are not given.
TAKEN = ("labeled_batch", "mu", "seed", "flip", "shift", "cutout")
TAKEN += tuple(f"randaugment_{name}" for name in ("ops", "magnitude", "translate", "cutout", "without"))


def from_keras(labeled, unlabeled=None, keys=KEYS, fill=None, buffer=1000, **given):
    """Training batches without an end, for the fit() of a method.

    The views are a function of `seed` and the batch's number. So is the order, as far as the sets have one and under
    the same global seed (keras.utils.set_random_seed); image_dataset_from_directory takes a seed of its own.

    Args:
        labeled: tf.data.Dataset of (images, labels), in batches of any size or single: [H, W, 3] or [H, W, 1], uint8 or
            float in [0, 255], H and W known; labels integers.
        unlabeled: the same, with labels, which are left aside, or without; None where no key asks for it.
        keys: of the parts to make, as a method's `batch_keys` says: x_l, x_l_strong, y_l, x_u_weak, x_u_weak_2,
            x_u_strong.
        fill: grey level, 0 to 255, of what a shift, a rotation or a cutout uncovers; None: 128.
        buffer: examples of each set among which the order is shuffled.
        **given: flags of the views and the batches by their names (TAKEN).
    Returns:
        tf.data.Dataset of dicts: x_l float32 [labeled_batch, H, W, 3], `normalised`; y_l int32 [labeled_batch]; x_u_...
        float32 [mu * labeled_batch, H, W, 3], views of the same examples.
    Raises:
        UsageError: sets, keys or values that do not do.
    """
    with arguments.told():
        values = types.SimpleNamespace(**arguments.some(TAKEN, given))
    sources = _wanted(keys, unlabeled)
    images, shape = _images(labeled, "labeled", with_labels=True)
    parts = {"labeled": _drawn(images, values.labeled_batch, 2 * values.seed, buffer)}
    if "unlabeled" in sources:
        images, other = _images(unlabeled, "unlabeled", with_labels=False)
        if other != shape:
            raise UsageError(f"unlabeled: expected images of {shape}, as the labeled ones are, got {other}")
        parts["unlabeled"] = _drawn(images, values.mu * values.labeled_batch, 2 * values.seed + 1, buffer)

    # The views of the program, of own images.
    views = make_views(_described(shape, values.flip, fill), values)

    def batch(counter, examples):
        made = {}
        for key in keys:
            if key == "y_l":
                made[key] = examples["labeled"][1]
                continue
            source, view, stream = VIEWS[key]
            seed = seed_of(values.seed, stream, counter)
            made[key] = views.normalise(getattr(views, view)(examples[source][0], seed))
        return made

    numbered = tf.data.Dataset.zip((tf.data.Dataset.counter(), parts))
    batch = tf.autograph.experimental.do_not_convert(batch)
    return numbered.map(batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).prefetch(2)


def normalised(data):
    """Images as `from_keras` hands them to the networks, for evaluate() and predict().

    Args:
        data: images in [0, 255], [..., 3] or [..., 1]: an array; or a tf.data.Dataset of them or of (images, labels).
    Returns:
        float32 [..., 3] of the same kind; labels as they are.
    """
    scale, offset = _described((1, 1, 3)).normalisation()

    def of_images(x):
        x = tf.cast(x, tf.float32)
        return (tf.repeat(x, 3, axis=-1) if x.shape[-1] == 1 else x) * scale + offset

    if not isinstance(data, tf.data.Dataset):
        return of_images(np.asarray(data)).numpy()
    if isinstance(data.element_spec, tuple):
        return data.map(lambda x, *others: (of_images(x), *others))
    return data.map(of_images)


def _described(shape, flip=True, fill=None):
    """The Dataset of own images, as far as its views ask."""
    row = catalogue.DATASETS["folder"]
    fill = row.fill if fill is None else fill
    return Dataset(row.name, types.SimpleNamespace(shape=shape), None, None, (), row.mean, row.std, flip, fill)


def _wanted(keys, unlabeled):
    """The sources that keys are of; UsageError where one is not there."""
    unknown = [key for key in keys if key not in VIEWS and key != "y_l"]
    if unknown:
        why = "a run of the program makes them (mpl_tf.train)" if unknown[0] in FIELDS else "there are no such parts"
        raise UsageError(f"keys: expected some of {', '.join([*VIEWS, 'y_l'])}, got {', '.join(unknown)}; {why}")
    sources = {"labeled" if key == "y_l" else VIEWS[key][0] for key in keys}
    if "unlabeled" in sources and unlabeled is None:
        raise UsageError("unlabeled: expected a tf.data.Dataset of images, got nothing; or give keys=('x_l', 'y_l')")
    return sources


def _images(data, role, with_labels):
    """(the tf.data.Dataset of single (image uint8 [H, W, 3], label or nothing), (H, W, 3))."""
    if not isinstance(data, tf.data.Dataset):
        raise UsageError(f"{role}: expected a tf.data.Dataset, got {type(data).__name__}")
    pair = isinstance(data.element_spec, tuple)
    spec = data.element_spec[0] if pair else data.element_spec
    if not isinstance(spec, tf.TensorSpec) or spec.shape.rank not in (3, 4) or None in spec.shape[-3:]:
        raise UsageError(f"{role}: expected images [H, W, 3] or batches of them, H and W known, got {spec}")
    if spec.shape[-1] not in (1, 3):
        raise UsageError(f"{role}: expected images of 1 or 3 channels, got {spec.shape[-1]}; give color_mode='rgb'")
    if spec.shape.rank == 4:
        data = data.unbatch()
    if with_labels:
        label = data.element_spec[1] if pair else None
        if label is None or label.shape.rank or not label.dtype.is_integer:
            got = "none" if label is None else f"{label.dtype.name} {label.shape}"
            raise UsageError(f"{role}: expected a class number beside each image, got {got}; give label_mode='int'")
    _check_range(data, role, pair)

    def single(image, label=None):
        if image.dtype != tf.uint8:
            image = tf.cast(tf.round(tf.clip_by_value(tf.cast(image, tf.float32), 0.0, 255.0)), tf.uint8)
        image = tf.repeat(image, 3, axis=-1) if image.shape[-1] == 1 else image
        return (image, tf.cast(label, tf.int32)) if with_labels else (image,)

    return data.map(single, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True), (*spec.shape[-3:-1], 3)


def _check_range(data, role, pair):
    """The first image has pixels in [0, 255] and not in [0, 1]; UsageError otherwise, or where there is none."""
    first = next(iter(data.take(1)), None)
    if first is None:
        raise UsageError(f"{role}: expected images, the data set is empty")
    image = np.asarray(first[0] if pair else first)
    if image.dtype != np.uint8 and (image.min() < 0 or image.max() <= 1 or image.max() > 255):
        raise UsageError(
            f"{role}: expected pixels in [0, 255], the first image has {image.min():g} to {image.max():g}; leave out "
            "what scales them"
        )


def _drawn(examples, batch, seed, buffer):
    """Batches without an end, in an order shuffled anew in each epoch."""
    return examples.shuffle(buffer, seed=seed).repeat().batch(batch, drop_remainder=True)
