"""Data sets of TensorFlow Datasets: their files, downloaded if they are absent, and their images."""

import contextlib
import io
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

import numpy as np
import tensorflow as tf

from mpl_tf.base import kept, storage
from mpl_tf.base.errors import RunError, UsageError
from mpl_tf.data import bucket_sets, decode, nearby, streamed
from mpl_tf.data.source import Source

READ_BATCH = 256  # Images decoded before they are copied to their place.


class TfdsData:
    """The files of a TFDS data set, downloaded if they are absent.

    Args:
        name: of the TFDS data set.
        data_dir: folder of TFDS data sets; empty: ~/tensorflow_datasets.
        wanted: whether it is downloaded; one that is not tells by `there` whether it is in the folder.
        label: feature with the label.
    Raises:
        UsageError: it is not there but in a folder near it, which is named.
        RunError: it is not there and cannot be downloaded, after which no new folder is left; on reading: its files
            are damaged.
    """

    def __init__(self, name, data_dir, wanted=True, label="label"):
        import tensorflow_datasets as tfds

        self._label, self._builder, self._bucket = label, None, None
        tfds.disable_progress_bar()
        logging.getLogger("urllib3").setLevel(logging.ERROR)  # Its retries; the last failure is told below.
        try:
            if storage.is_url(data_dir) and storage.is_dir(storage.path(data_dir) / name):
                self._bucket, data_dir = data_dir, bucket_sets.described(name, data_dir)
            self._builder = tfds.builder(name, data_dir=data_dir or None)
            self.there = self._builder.data_path.exists()
            if wanted and not self.there:
                self._download(name, data_dir)
        except UsageError:
            raise
        except Exception as error:  # TFDS passes on whatever its downloader, file system or network raised.
            raise RunError(
                f"--data_dir: {name} is not in {data_dir or '~/tensorflow_datasets'} and its download failed "
                f"({type(error).__name__}: {_first_line(error)}); {self._how(name, data_dir)}"
            ) from error

    def _download(self, name, data_dir):
        """Download and prepare the data set, unless it lies where the user did not mean to point."""
        place, local = self._place(), not storage.is_url(data_dir)
        if data_dir and local:
            nearby.refuse_misplaced(name, data_dir, lambda folder: (folder / place).is_dir(), len(place.parts))
        print(f"{name} is not in {self._builder.data_path.parent}; downloading it", flush=True)
        root = Path(os.fspath(self._builder.data_path)).parents[len(place.parts) - 1]
        kept = nearby.swept(root, ("downloads", place.parts[0])) if local else contextlib.nullcontext()
        with kept, contextlib.redirect_stdout(io.StringIO()):
            self._builder.download_and_prepare()

    def _place(self):
        """Its Path in a folder of TFDS data sets: NAME/VERSION or NAME/CONFIG/VERSION."""
        return Path(*self._builder.info.full_name.split("/"))

    def _how(self, name, data_dir):
        """How to get the data set, in words: with a network, and without one."""
        if self._builder is None:
            return "connect to the network, or give its folder"
        folder, base = data_dir or "~/tensorflow_datasets", name.partition("/")[0]
        place = self._place()
        others = [path.parent.name for path in Path(folder).expanduser().glob(f"{name}/*/dataset_info.json")]
        told = f"there is version {', '.join(sorted(others))}, wanted is {place}; " if others else ""
        elsewhere = nearby.hint(folder, lambda folder: (folder / place).is_dir())
        return (
            f"{told}{elsewhere}connect to the network, or on a machine that has one, with tensorflow-datasets "
            f'{metadata.version("tensorflow-datasets")}, run python -c "import tensorflow_datasets as tfds; '
            f"tfds.builder('{name}', data_dir='DIR').download_and_prepare()\" and copy DIR/{base} to {folder}/{base}"
        )

    @property
    def class_names(self):
        """Tuple of str."""
        return tuple(self._builder.info.features[self._label].names)

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
            (self._where(os.fspath(part.filename)), part.skip, part.examples_in_shard if part.take < 0 else part.take)
            for part in parts
        ]

    def _where(self, file):
        """A shard of the folder that was brought as the bucket has it; another one as it is."""
        return file if self._bucket is None else bucket_sets.url(file, self._bucket)

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

    def read(self, split, size=None, after=None, resize="crop"):
        """Decode a split, each image straight into its place; grey ones get three equal channels.

        Args:
            split: its name.
            size: side of the images after resizing, pixels, as decode.decode does it; None: all have one size already.
            after: uint8 [M, H, W, 3], images to put before those of the split; None: there are none.
            resize: how, as in decode.fit.
        Returns:
            Source: images uint8 [M + N, H, W, 3], labels int32 [N], -1 where the data set has none.
        """
        if after is not None:
            return self._read(split, size, after, resize)
        key = (os.fspath(self._builder.data_path), self._label, split, size, resize)
        source = kept.once(key, lambda: self._read(split, size, None, resize))
        source.images.flags.writeable = False
        return source

    def _read(self, split, size, after, resize):
        """As `read`, from the files."""
        import tensorflow_datasets as tfds

        info, first = self._builder.info, 0 if after is None else len(after)
        how = {"read_config": tfds.ReadConfig(try_autocache=False)}
        if size:
            how["decoders"] = {"image": tfds.decode.SkipDecoding()}  # Images of different sizes make no batch.
        try:
            if self._bucket is not None:
                bucket_sets.bring([path for path, _, _ in self.shards(split, "--data_dir")], self._bucket)
            count = info.splits[split].num_examples
            height, width = (size, size) if size else info.features["image"].shape[:2]
            images = np.empty([first + count, height, width, 3], np.uint8)
            labels = np.empty([count], np.int32)
            if first:
                images[:first] = after
            batches = self._builder.as_dataset(split=split, batch_size=READ_BATCH, **how)
            for index, batch in enumerate(tfds.as_numpy(batches)):
                decoded = _decoded(batch["image"], size, resize) if size else batch["image"]
                start, end = index * READ_BATCH, index * READ_BATCH + len(decoded)
                images[first + start : first + end], labels[start:end] = decoded, batch[self._label]
        except Exception as error:
            raise self._unreadable(error) from error
        return Source(images, labels)

    def _unreadable(self, error):
        return RunError(
            f"--data_dir: {self._builder.name} in {self._builder.data_dir} cannot be read ({_first_line(error)}); "
            "delete that folder so that it is prepared anew"
        )


def _decoded(encoded, size, resize):
    """JPEG or PNG images, bytes [b], as uint8 [b, size, size, 3]."""
    with ThreadPoolExecutor() as pool:
        return np.stack(list(pool.map(lambda data: decode.decode(io.BytesIO(data), size, resize=resize), encoded)))


def _first_line(error):
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else ""
