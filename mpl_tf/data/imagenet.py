"""ImageNet (ILSVRC 2012), streamed: mpl_tf/data/streamed.py says how images are cut.

| name        | labeled                          | unlabeled               | not used | test               |
|-------------|----------------------------------|-------------------------|----------|--------------------|
| imagenet_10 | 128,116: TFDS' 10 % subset       | 1,281,167: all training | none     | 50,000: validation |
| imagenet    | 1,281,167: all training          | none                    | none     | 50,000             |
| imagenet_jft| 1,256,167                        | --unlabeled_dir         | 25,000   | 50,000             |

--data_dir is a folder of TFDS data sets (imagenet2012, imagenet2012_subset/10pct, imagenet2012_real) or holds the usual
TFRecord shards train-00000-of-01024 and validation-00000-of-00128 of image/encoded and image/class/label, which counts
from 1 where there is an image/class/synset too, else from 0. The subset, which the usual shards do not mark, is then
given as shards in --labeled_dir. --unlabeled_dir holds TFRecord shards (mpl_tf/data/shards.py) or images.

Where imagenet2012_real is there, ImageNet-ReaL is scored too (Beyer et al. 2020).
"""

import dataclasses
import fnmatch

import numpy as np
import tensorflow as tf

from mpl_tf.base import storage
from mpl_tf.base.errors import RunError, UsageError, reason
from mpl_tf.data import ahead, decode, listing, nearby, shards, streamed, tfrecord
from mpl_tf.data.source import Dataset
from mpl_tf.data.splits import hold_out
from mpl_tf.data.tfds import TfdsData

HELD_OUT = 25_000  # For tuning, beside JFT (paper section 4); of a smaller set a tenth.
USUAL = {
    "image/encoded": tf.io.FixedLenFeature([], tf.string),
    "image/class/label": tf.io.FixedLenFeature([], tf.int64),
    "image/class/synset": tf.io.FixedLenFeature([], tf.string, ""),
}


def load_10(row, config):
    """ImageNet-10%: a tenth labeled, the whole training set unlabeled (paper section 3.2)."""
    files = _files(config)
    if config.labeled_dir:
        found = listing.shards(config.labeled_dir, "--labeled_dir")
        labeled = _usual(row, found, config, f"--labeled_dir: no TFRecord shard in {config.labeled_dir}")
    elif isinstance(files, TfdsData):
        labeled = TfdsData("imagenet2012_subset/10pct", config.data_dir).streamed("train", config.image_size)
    else:
        raise UsageError(
            f"--labeled_dir: expected TFRecord shards of the labeled tenth, as --data_dir {config.data_dir} holds "
            "plain shards, which do not mark it; got nothing"
        )
    unlabeled = _split(row, files, "train", config).take(slice(None), with_labels=False)
    return _dataset(row, config, files, labeled, unlabeled)


def load_whole(row, config):
    """All of the training set labeled (paper, Table 2, "supervised" on the full set)."""
    files = _files(config)
    return _dataset(row, config, files, _split(row, files, "train", config), None)


def load_jft(row, config):
    """ImageNet labeled but for 25,000 images, --unlabeled_dir unlabeled (paper section 4)."""
    files = _files(config)
    train = _split(row, files, "train", config)
    held, used = hold_out(len(train), min(HELD_OUT, len(train) // 10), config.seed)
    unlabeled, passed = None, listing.PassedOver()
    if config.unlabeled_dir:
        background = decode.colour(config.background)
        unlabeled = unlabeled_files(config.unlabeled_dir, config.image_size, background, passed)
    dataset = _dataset(row, config, files, train.take(used), unlabeled)
    return dataclasses.replace(dataset, held_out=train.take(held), notes=passed.told("--unlabeled_dir"))


def load_test(row, config, class_names=None):
    """The validation images alone, and their ReaL labels where these are; the training images may be gone.

    Args:
        row: catalogue.DataRow.
        config: Config.
        class_names: not used, as the files have them.
    """
    return _dataset(row, config, _files(config, "validation"), None, None)


def unlabeled_files(folder, size, background=decode.WHITE, passed=None):
    """The images of --unlabeled_dir: TFRecord shards, or image files, at any depth.

    Args:
        folder: path.
        size: side of the images, pixels.
        background: RGB, what transparent images are laid on.
        passed: listing.PassedOver, which counts the other files; None: nobody asks.
    Returns:
        Streamed, without labels; an image of image/copies n stands n times in its order.
    Raises:
        UsageError: no shard and no image, or both.
        RunError: a shard that ends within a record, or asks for too many copies.
    """
    found = listing.find(folder, "--unlabeled_dir", shards=True)
    if passed is not None:
        passed.update(found.passed)
    if found.shards and found.images:
        raise UsageError(
            f"--unlabeled_dir: expected TFRecord shards or images in {folder}, found {len(found.shards)} shards and "
            f"{len(found.images)} images; give a folder of one kind"
        )
    options = {"labeled": False, "background": background}
    if not found.shards:
        places = np.zeros([len(found.images), 3], np.int64)
        places[:, 0] = np.arange(len(places))
        return streamed.Streamed(found.images, places, lambda data: (data, -1), size, framed=False, **options)

    def parse(record):
        example = shards.parse(record)
        return example["image/encoded"], example["image/class/label"]

    copies = np.concatenate(ahead.each(lambda path: shards.copies(tfrecord.records(path)), found.shards))
    return streamed.index(found.shards, parse, size, order=shards.order(copies), **options)


def _files(config, split="train"):
    """TFDS' imagenet2012, or the folder of the usual shards, which holds those of a split."""
    if config.num_labels:
        raise UsageError(
            f"--num_labels: expected 0, as {config.dataset} takes all of its labels, got {config.num_labels}"
        )

    def usual(folder):
        return any(fnmatch.fnmatch(name, f"{split}-*-of-*") for name in storage.names(folder))

    folder = storage.path(config.data_dir) if config.data_dir else None
    if folder and usual(folder):
        return folder
    if folder and not (storage.is_url(folder) or (folder / "imagenet2012").is_dir()):
        nearby.refuse_misplaced("ImageNet's usual shards", folder, usual)
    return TfdsData("imagenet2012", config.data_dir)


def _split(row, files, split, config):
    if isinstance(files, TfdsData):
        return files.streamed(split, config.image_size)
    found = [path for path in listing.shards(files, "--data_dir") if path.name.startswith(f"{split}-")]
    return _usual(row, found, config, f"--data_dir: no shard {split}-00000-of-... in {files}")


def _usual(row, found, config, absent):
    """The usual shards, the first label of each checked."""
    if not found:
        raise UsageError(absent)

    def parse(record):
        example = tf.io.parse_single_example(record, USUAL)
        first = tf.cast(example["image/class/synset"] != "", tf.int64)
        return example["image/encoded"], example["image/class/label"] - first

    source = streamed.index(found, parse, config.image_size)
    _, firsts = np.unique(source.places[:, 0], return_index=True)
    for path, first in zip(found, firsts, strict=True):
        try:
            label = int(source.example(first)[1])
        except tf.errors.OpError as error:
            raise RunError(
                f"{path}: expected records of image/encoded and image/class/label ({reason(error)})"
            ) from error
        if not 0 <= label < row.classes:
            raise RunError(f"{path}: expected labels from 0, or from 1 beside image/class/synset; got {label} from 0")
    return source


def _dataset(row, config, files, labeled, unlabeled):
    real, names = None, tuple(map(str, range(row.classes)))
    if isinstance(files, TfdsData):
        names = files.class_names
        real = TfdsData("imagenet2012_real", config.data_dir, wanted=False)
        real = real.streamed("validation", config.image_size, "real_label") if real.there else None
    return Dataset(
        row.name,
        labeled=labeled,
        unlabeled=unlabeled,
        test=_split(row, files, "validation", config),
        class_names=names,
        mean=row.mean,
        std=row.std,
        flip=row.flip,
        fill=row.fill,
        real=real,
    )
