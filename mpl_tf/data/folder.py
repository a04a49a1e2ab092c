"""folder: anybody's own JPEG and PNG images, and TFRecord shards of them, decoded and resized once into memory."""

import os
from pathlib import Path

import numpy as np

from mpl_tf.base.errors import UsageError
from mpl_tf.data import decode, shards
from mpl_tf.data.source import Dataset, Source
from mpl_tf.data.splits import balanced

ENDINGS = (".jpg", ".jpeg", ".png")
MEMORY_SHARE = 0.5  # Of the machine's memory, for decoded images.


def load(row, config):
    """Read --labeled_dir (a folder a class), --unlabeled_dir (any depth) and --test_dir (a folder a class).

    --unlabeled_dir holds image files, TFRecord shards (data/shards.py; an image of image/copies c comes c times an
    epoch), or both.

    Images are uint8 [N, S, S, 3] with S = config.image_size: the shorter side resized to S, the middle cut out.
    With --num_labels, the labeled images beyond it join the unlabeled ones. --unlabeled_source=labeled reads none of
    --unlabeled_dir.

    Raises:
        UsageError: no class, an empty class, a test class without training images, no image.
        RunError: an image that cannot be read, unless --skip_bad_images.
    """
    names = class_folders(config.labeled_dir, "--labeled_dir")
    labeled_paths, labels = _labeled_files(config.labeled_dir, names, "--labeled_dir")
    unknown = set(class_folders(config.test_dir, "--test_dir")) - set(names)
    if unknown:
        raise UsageError(f"--test_dir: class {min(unknown)} has no folder in --labeled_dir {config.labeled_dir}")
    test_paths, test_labels = _labeled_files(config.test_dir, names, "--test_dir", may_lack=True)
    more = config.unlabeled_dir if config.unlabeled_source == "rest" else ""
    unlabeled_paths, copies = _unlabeled_files(more) if more else ([], np.ones([0], np.int32))
    paths = [*labeled_paths, *test_paths, *unlabeled_paths]
    _check_memory(len(paths), config.image_size)
    images, good = decode.decode_files(paths, config.image_size, config.skip_bad_images)
    ends = np.cumsum([len(labeled_paths), len(test_paths)])
    kept = [np.flatnonzero(part) for part in np.split(good, ends)]
    labeled = Source(images[: ends[0]][kept[0]], labels[kept[0]])
    test = Source(images[ends[0] : ends[1]][kept[1]], test_labels[kept[1]])
    unlabeled, copies = images[ends[1] :][kept[2]], copies[kept[2]]
    counts = np.bincount(labeled.labels, minlength=len(names))
    if not counts.all():
        raise UsageError(f"--labeled_dir: no image of class {names[int(counts.argmin())]} could be read")
    if not len(test):
        raise UsageError(f"--test_dir: no image in {config.test_dir} could be read")
    if config.num_labels:
        chosen, rest = balanced(labeled.labels, config.num_labels, len(names), config.seed, names)
        unlabeled, labeled = np.concatenate([unlabeled, labeled.images[rest]]), labeled.take(chosen)
        copies = np.append(copies, np.ones([len(rest)], np.int32))
    return Dataset(
        row.name,
        labeled,
        Source(unlabeled, order=shards.order(copies)) if len(unlabeled) else None,
        test,
        names,
        row.mean,
        row.std,
        flip=config.flip,
        skipped=tuple(str(path) for path, fine in zip(paths, good, strict=True) if not fine),
    )


def class_folders(folder, flag):
    """Sorted names of the class folders in `folder`.

    Raises:
        UsageError: there are none.
    """
    names = tuple(sorted(path.name for path in Path(folder).iterdir() if path.is_dir() and path.name[0] != "."))
    if not names:
        raise UsageError(f"{flag}: expected one folder of images a class, found no folder in {folder}")
    return names


def image_files(folder, flag, may_lack=False):
    """Sorted paths of the JPEG and PNG files in `folder`, at any depth.

    Raises:
        UsageError: there are none, unless `may_lack`.
    """
    found = sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() in ENDINGS and path.is_file())
    if not found and not may_lack:
        raise UsageError(f"{flag}: expected JPEG or PNG images, found none in {folder}")
    return found


def _labeled_files(folder, names, flag, may_lack=False):
    paths, labels = [], []
    for label, name in enumerate(names):
        if may_lack and not (Path(folder) / name).is_dir():
            continue
        found = image_files(Path(folder) / name, flag)
        paths += found
        labels += [label] * len(found)
    return paths, np.array(labels, np.int32)


def _unlabeled_files(folder):
    """Paths of images and Records of shards in --unlabeled_dir, and how often each counts, int32 [N]."""
    records = [record for path in shards.files(folder, "--unlabeled_dir") for record in shards.records(path)]
    paths = image_files(folder, "--unlabeled_dir", may_lack=bool(records))
    return [*paths, *records], np.append(np.ones([len(paths)], np.int32), shards.copies(records))


def _check_memory(count, size):
    needed = count * size * size * 3
    available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * MEMORY_SHARE
    if needed > available:
        raise UsageError(
            f"--image_size: {count} images of {size} x {size} need {needed / 2**30:.1f} GiB of memory, this machine "
            f"gives {available / 2**30:.1f} GiB; give a smaller --image_size or fewer images"
        )
