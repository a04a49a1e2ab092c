"""CIFAR-10-4K and SVHN-1K, read through TensorFlow Datasets and decoded once into memory."""

import contextlib
import io
import logging

import numpy as np

from mpl_tf.data.source import Dataset, Source
from mpl_tf.data.splits import hold_out, labeled_split
from mpl_tf.errors import RunError

HELD_OUT = 5000  # CIFAR-10: 45,000 for training, 5,000 kept for tuning (Oliver et al. 2018, paper section 3.2).


def cifar10(config):
    """CIFAR-10: of 50,000 training images 5,000 held out, config.num_labels labeled, the others unlabeled.

    With --num_labels=4000: 4,000 labeled (400 a class), 41,000 unlabeled, 10,000 test images, uint8 [N, 32, 32, 3].
    """
    train, test, names = _read("cifar10", ("train", "test"), config.data_dir)
    _, used = hold_out(len(train), min(HELD_OUT, len(train) // 10), config.seed)
    return _split(
        "cifar10_4k",
        train.take(used),
        test,
        names,
        config,
        flip=True,
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2470, 0.2435, 0.2616),
    )


def svhn(config):
    """SVHN (cropped): of train + extra config.num_labels of train labeled, all others unlabeled; never flipped.

    With --num_labels=1000: 1,000 labeled (100 a class), 603,388 unlabeled, 26,032 test images, uint8 [N, 32, 32, 3].
    """
    train, extra, test, names = _read("svhn_cropped", ("train", "extra", "test"), config.data_dir)
    return _split(
        "svhn_1k",
        train,
        test,
        names,
        config,
        flip=False,
        extra=extra,
        mean=(0.4376821, 0.4437697, 0.47280442),
        std=(0.19803012, 0.20101562, 0.19703614),
    )


def _split(name, train, test, names, config, extra=None, **about):
    chosen, rest = labeled_split(train.labels, config.num_labels, len(names), config.seed, names)
    unlabeled = train.images[rest]
    if extra is not None:
        unlabeled = np.concatenate([unlabeled, extra.images])
    return Dataset(name, train.take(chosen), Source(unlabeled) if len(unlabeled) else None, test, names, **about)


def _read(name, splits, data_dir):
    """The Source of each split of a TFDS data set, then its class names.

    Raises:
        RunError: the data set is not in `data_dir` and cannot be downloaded, or its files are damaged.
    """
    import tensorflow_datasets as tfds

    tfds.disable_progress_bar()
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # Its retries; the last failure is told below.
    try:
        builder = tfds.builder(name, data_dir=data_dir or None)
        if not builder.data_path.exists():
            print(f"{name} is not in {builder.data_path.parent}; downloading it", flush=True)
        with contextlib.redirect_stdout(io.StringIO()):
            builder.download_and_prepare()
    except Exception as error:  # TFDS passes on whatever its downloader, file system or network raised.
        raise RunError(
            f"--data_dir: {name} is not in {data_dir or '~/tensorflow_datasets'} and its download failed "
            f"({type(error).__name__}: {_first_line(error)}); connect to the network, or give the folder that holds it"
        ) from error
    try:
        parts = [tfds.as_numpy(builder.as_dataset(split=split, batch_size=-1)) for split in splits]
    except Exception as error:
        raise RunError(
            f"--data_dir: {name} in {builder.data_dir} cannot be read ({_first_line(error)}); "
            "delete that folder so that it is prepared anew"
        ) from error
    sources = [Source(part["image"], part["label"].astype(np.int32)) for part in parts]
    return *sources, tuple(builder.info.features["label"].names)


def _first_line(error):
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else ""
