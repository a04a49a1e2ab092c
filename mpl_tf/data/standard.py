"""Standard data sets, read through TensorFlow Datasets and decoded once into memory.

| name         | --num_labels | unlabeled | test   | images, uint8   | not used | flip |
|--------------|--------------|-----------|--------|-----------------|----------|------|
| cifar10_4k   | 4,000        | 41,000    | 10,000 | [N, 32, 32, 3]  | 5,000    | yes  |
| cifar100_10k | 10,000       | 35,000    | 10,000 | [N, 32, 32, 3]  | 5,000    | yes  |
| svhn_1k      | 1,000        | 603,388   | 26,032 | [N, 32, 32, 3]  |          | no   |
| stl10_1k     | 1,000        | 104,000   | 8,000  | [N, 96, 96, 3]  |          | yes  |

Training images that --num_labels leaves over are unlabeled, together with the split `extra` of SVHN and `unlabelled` of
STL-10, whose images are decoded in place: STL-10 takes 3.1 GB of memory, SVHN 2 GB. The input's tensor takes as much
again, and for a moment twice as much.
"""

import contextlib
import dataclasses
import io
import logging
import os

import numpy as np
import tensorflow as tf

from mpl_tf.base.errors import RunError, UsageError
from mpl_tf.data import streamed
from mpl_tf.data.source import Dataset, Source
from mpl_tf.data.splits import hold_out, labeled_split

HELD_OUT = 5000  # CIFAR: 45,000 for training, 5,000 kept for tuning (Oliver et al. 2018, paper section 3.2).
READ_BATCH = 256  # Images decoded before they are copied to their place.


@dataclasses.dataclass(frozen=True)
class Standard:
    """One of them: what tells it from the others.

    Attributes:
        name: as in DATASETS.
        tfds: name of the TFDS data set; its splits `train` and `test` have labels.
        mean, std, flip: see Dataset.
        held_out: training images that are kept for tuning; of a smaller set a tenth.
        extra: a split of unlabeled images, whose labels are not looked at.
    """

    name: str
    tfds: str
    mean: tuple
    std: tuple
    flip: bool = True
    held_out: int = 0
    extra: str | None = None

    def load(self, config):
        """Of the training images some held out, config.num_labels labeled, the others unlabeled; see the table.

        Raises:
            UsageError: --num_labels is no multiple of the classes, or larger than a class allows.
            RunError: see Files.
        """
        files = Files(self.tfds, config.data_dir)
        names, train = files.class_names, files.read("train")
        _, used = hold_out(len(train), min(self.held_out, len(train) // 10), config.seed)
        chosen, rest = labeled_split(train.labels[used], config.num_labels, len(names), config.seed, names)
        unlabeled = train.images[used[rest]]
        if self.extra and config.unlabeled_source == "rest":
            unlabeled = files.read(self.extra, after=unlabeled).images
        return Dataset(
            self.name,
            labeled=train.take(used[chosen]),
            unlabeled=Source(unlabeled) if len(unlabeled) else None,
            test=files.read("test"),
            class_names=names,
            mean=self.mean,
            std=self.std,
            flip=self.flip,
        )


CIFAR10 = Standard(
    "cifar10_4k", "cifar10", mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616), held_out=HELD_OUT
)
CIFAR100 = Standard(
    "cifar100_10k", "cifar100", mean=(0.5071, 0.4867, 0.4408), std=(0.2675, 0.2565, 0.2761), held_out=HELD_OUT
)
SVHN = Standard(
    "svhn_1k",
    "svhn_cropped",
    mean=(0.4376821, 0.4437697, 0.47280442),
    std=(0.19803012, 0.20101562, 0.19703614),
    flip=False,
    extra="extra",
)
STL10 = Standard("stl10_1k", "stl10", mean=(0.4467, 0.4398, 0.4066), std=(0.2603, 0.2566, 0.2713), extra="unlabelled")


class Files:
    """The files of a TFDS data set, downloaded if they are absent.

    Args:
        name: of the TFDS data set.
        data_dir: folder of TFDS data sets; empty: ~/tensorflow_datasets.
        wanted: whether it is downloaded; one that is not tells by `there` whether it is in the folder.
    Raises:
        RunError: it is not there and cannot be downloaded; on reading: its files are damaged.
    """

    def __init__(self, name, data_dir, wanted=True):
        import tensorflow_datasets as tfds

        tfds.disable_progress_bar()
        logging.getLogger("urllib3").setLevel(logging.ERROR)  # Its retries; the last failure is told below.
        try:
            self._builder = tfds.builder(name, data_dir=data_dir or None)
            self.there = self._builder.data_path.exists()
            if not wanted:
                return
            if not self.there:
                print(f"{name} is not in {self._builder.data_path.parent}; downloading it", flush=True)
            with contextlib.redirect_stdout(io.StringIO()):
                self._builder.download_and_prepare()
        except Exception as error:  # TFDS passes on whatever its downloader, file system or network raised.
            raise RunError(
                f"--data_dir: {name} is not in {data_dir or '~/tensorflow_datasets'} and its download failed "
                f"({type(error).__name__}: {_first_line(error)}); connect to the network, or give its folder"
            ) from error

    @property
    def class_names(self):
        """Tuple of str."""
        return tuple(self._builder.info.features["label"].names)

    def shards(self, split, flag):
        """Where a split is: list of (path of a TFRecord shard, first record, records); `image` is the encoded image.

        Args:
            split: its name, or a part of it as TFDS writes it: train[:1000].
            flag: what the user gave it by, for the message.
        Raises:
            UsageError: there is no such split, or the data set is prepared in another format than TFRecord.
        """
        info = self._builder.info
        try:
            parts = info.splits[split].file_instructions
        except (KeyError, ValueError) as error:
            raise UsageError(
                f"{flag}: expected a split of {info.name}, one of {', '.join(sorted(info.splits))}, got {split}"
            ) from error
        if info.file_format.value != "tfrecord":
            raise UsageError(f"{flag}: expected {info.name} prepared as TFRecord, got {info.file_format.value}")
        return [
            (os.fspath(part.filename), part.skip, part.examples_in_shard if part.take < 0 else part.take)
            for part in parts
        ]

    def streamed(self, split, size, label="label"):
        """A split whose images stay in their files.

        Args:
            split: its name.
            size: side of the images, pixels.
            label: feature of the label, or of the list of accepted ones.
        Returns:
            Streamed.
        Raises:
            UsageError: see `shards`.
            RunError: its files are absent or damaged.
        """
        import tensorflow_datasets as tfds

        features = self._builder.info.features
        classes = self._builder.info.features[label]

        def parse(record):
            example = features.deserialize_example(record, decoders={"image": tfds.decode.SkipDecoding()})
            if isinstance(classes, tfds.features.ClassLabel):
                return example["image"], example[label]
            accepted = tf.one_hot(example[label], classes.feature.num_classes, True, False)  # [k, classes]
            return example["image"], tf.reduce_any(accepted, axis=0)

        found = self.shards(split, "--data_dir")
        try:
            return streamed.index([path for path, _, _ in found], parse, size, [count for _, _, count in found])
        except OSError as error:
            raise self._unreadable(error) from error

    def read(self, split, after=None):
        """Decode a split, each image straight into its place.

        Args:
            split: its name.
            after: uint8 [M, H, W, 3], images to put before those of the split; None: there are none.
        Returns:
            Source: images uint8 [M + N, H, W, 3], labels int32 [N], -1 where the data set has none.
        """
        import tensorflow_datasets as tfds

        info, first = self._builder.info, 0 if after is None else len(after)
        uncached = tfds.ReadConfig(try_autocache=False)
        try:
            count = info.splits[split].num_examples
            images = np.empty([first + count, *info.features["image"].shape], np.uint8)
            labels = np.empty([count], np.int32)
            if first:
                images[:first] = after
            batches = self._builder.as_dataset(split=split, batch_size=READ_BATCH, read_config=uncached)
            for index, batch in enumerate(tfds.as_numpy(batches)):
                start, end = index * READ_BATCH, index * READ_BATCH + len(batch["label"])
                images[first + start : first + end], labels[start:end] = batch["image"], batch["label"]
        except Exception as error:
            raise self._unreadable(error) from error
        return Source(images, labels)

    def _unreadable(self, error):
        return RunError(
            f"--data_dir: {self._builder.name} in {self._builder.data_dir} cannot be read ({_first_line(error)}); "
            "delete that folder so that it is prepared anew"
        )


def _first_line(error):
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else ""
