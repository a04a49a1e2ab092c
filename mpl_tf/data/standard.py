"""Standard data sets, read through TensorFlow Datasets and decoded once into memory.

| name         | --num_labels | unlabeled | test   | images, uint8   | not used | flip |
|--------------|--------------|-----------|--------|-----------------|----------|------|
| cifar10_4k   | 4,000        | 41,000    | 10,000 | [N, 32, 32, 3]  | 5,000    | yes  |
| cifar100_10k | 10,000       | 35,000    | 10,000 | [N, 32, 32, 3]  | 5,000    | yes  |
| svhn_1k      | 1,000        | 603,388   | 26,032 | [N, 32, 32, 3]  |          | no   |
| stl10_1k     | 1,000        | 104,000   | 8,000  | [N, 96, 96, 3]  |          | yes  |
| eurosat      | 1,000        | 20,600    | 5,400  | [N, 64, 64, 3]  |          | yes  |

Training images that --num_labels leaves over are unlabeled, together with the split `extra` of SVHN and `unlabelled` of
STL-10, whose images are decoded in place: STL-10 takes 3.1 GB of memory, SVHN 2 GB. The input's tensor takes as much
again, and for a moment twice as much.

Where TFDS has no test images, as of EuroSAT, a fifth of each class is split off, the same for every --seed.
"""

import functools

import numpy as np

from mpl_tf.data.source import Dataset, Source
from mpl_tf.data.splits import hold_out, hold_out_of_each, training_split
from mpl_tf.data.tfds import TfdsData

TEST_PART, TEST_SEED = 5, 2**31  # One in five images of a class; no --seed is as large.


def load_test(row, config, class_names=None):
    """The test images alone, as `load` has them; where they are split off from the training images, these are read too.

    Args:
        row: as in `load`.
        config: Config.
        class_names: not used, as the files have them.
    Returns:
        Dataset without labeled and unlabeled examples.
    Raises:
        RunError: see TfdsData.
    """
    files, read = _files(row, config)
    if row.tfds.test:
        return _dataset(row, files, test=read(row.tfds.test))
    train = read(row.tfds.train)
    return _dataset(row, files, test=train.take(_test_of(train)[0]))


def load(row, config):
    """Of the training images some held out, config.num_labels labeled, the others unlabeled; see the table.

    Args:
        row: catalogue.DataRow with `tfds`; where it fixes no shape, images are resized to --image_size.
        config: Config.
    Raises:
        UsageError: --num_labels is no multiple of the classes, or larger than a class allows.
        RunError: see TfdsData.
    """
    splits, (files, read) = row.tfds, _files(row, config)
    names, train = files.class_names, read(splits.train)
    tested, others = (np.arange(0), np.arange(len(train))) if splits.test else _test_of(train)
    held, used = hold_out(len(others), min(splits.held_out, len(others) // 10), config.seed)
    held, used = others[held], others[used]
    chosen, rest, left_out = training_split(train.labels[used], config, len(names), names)
    unlabeled = train.images[used[rest]]
    if splits.extra and config.unlabeled_source == "rest":
        unlabeled = read(splits.extra, after=unlabeled).images
    return _dataset(
        row,
        files,
        labeled=train.take(used[chosen]),
        unlabeled=Source(unlabeled) if len(unlabeled) else None,
        test=read(splits.test) if splits.test else train.take(tested),
        held_out=train.take(held) if len(held) else None,
        unused=train.take(used[left_out]) if len(left_out) else None,
    )


def _files(row, config):
    """(TfdsData, its `read` with the images' side and how they come to it; as they are where the row has a shape)."""
    files = TfdsData(row.tfds.builder, config.data_dir, label=row.tfds.label)
    size = None if row.shape else config.image_size
    return files, functools.partial(files.read, size=size, resize=config.resize)


def _test_of(train):
    """Indices of the training images that are the test set where TFDS has none, and of the others."""
    return hold_out_of_each(train.labels, TEST_PART, TEST_SEED)


def _dataset(row, files, test, **parts):
    """The Dataset of these parts."""
    parts = {"labeled": None, "unlabeled": None} | parts
    about = {"mean": row.mean, "std": row.std, "flip": row.flip, "fill": row.fill}
    return Dataset(row.name, test=test, class_names=files.class_names, **parts, **about)
