"""digits_50: scikit-learn's 1,797 handwritten digits (UCI Optical Recognition, 8 x 8, 17 grey levels)."""

import numpy as np

from mpl_tf.data.source import Dataset, Source
from mpl_tf.data.splits import hold_out, hold_out_of_each, training_split

TEST_SEED = 1797  # The test quarter is the same for every --seed.
VALIDATION_PART, VALIDATION_SEED = 5, 1798  # A fifth of each class of the others, for choosing settings; the same, too.
CLASSES = tuple("0123456789")


def load(row, config):
    """A fixed quarter (449 images) as test, config.num_labels of the others labeled, the rest unlabeled.

    For validation a fixed fifth of each class of the others is held out of both.

    Images are uint8 [N, 8, 8, 3], grey in three equal channels; never flipped.
    """
    from sklearn.datasets import load_digits

    raw = load_digits()
    grey = np.round(raw.images * (255 / 16)).astype(np.uint8)
    images = np.repeat(grey[..., None], 3, axis=-1)  # [1797, 8, 8, 3]
    everything = Source(images, raw.target.astype(np.int32))
    test, train = hold_out(len(everything), len(everything) // 4, TEST_SEED)
    held = train[:0]
    if config.holds_out:
        of_train, used = hold_out_of_each(everything.labels[train], VALIDATION_PART, VALIDATION_SEED)
        held, train = train[of_train], train[used]
    chosen, rest, left_out = training_split(everything.labels[train], config, row.classes, CLASSES)
    pixels = images[train] / 255
    return Dataset(
        name=row.name,
        labeled=everything.take(train[chosen]),
        unlabeled=everything.take(train[rest], with_labels=False) if len(rest) else None,
        test=everything.take(test),
        held_out=everything.take(held) if len(held) else None,
        unused=everything.take(train[left_out]) if len(left_out) else None,
        class_names=CLASSES,
        mean=(float(pixels.mean()),) * 3,
        std=(float(pixels.std()),) * 3,
        flip=row.flip,
        fill=row.fill,
    )
