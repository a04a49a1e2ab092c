"""folder: anybody's own images, and TFRecord shards of them, decoded and resized once into memory."""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mpl_tf.base.errors import UsageError
from mpl_tf.data import decode, listing, plausible, shards, tfrecord
from mpl_tf.data.source import Dataset, Source
from mpl_tf.data.splits import balanced

MEMORY_SHARE = 0.5  # Of the machine's memory, for decoded images.


def load(row, config):
    """Read --labeled_dir (a folder a class), --unlabeled_dir (any depth) and --test_dir (a folder a class).

    mpl_tf/data/listing.py says which files are images. --unlabeled_dir holds images, TFRecord shards (data/shards.py;
    an image of image/copies c comes c times an epoch), or both.

    Images are uint8 [N, S, S, 3] with S = config.image_size: the shorter side resized to S, the middle cut out.
    With --num_labels, the labeled images beyond it join the unlabeled ones. --unlabeled_source=labeled reads none of
    --unlabeled_dir.

    Raises:
        UsageError: no class, an empty class, a test class without training images, no image, or what
            mpl_tf/data/plausible.py refuses.
        RunError: images that cannot be read, unless --skip_bad_images.
    """
    names, train, test, unlabeled = _listed(config)
    sources = [*train.paths, *test.paths, *unlabeled.paths]
    _check_memory(len(sources), config.image_size)
    background = decode.colour(config.background)
    images, good, notes = decode.decode_files(
        sources, config.image_size, config.skip_bad_images, background, config.resize
    )
    # Each part's images and labels, without those that could not be read.
    ends = np.cumsum([len(train.paths), len(test.paths)])
    kept = [np.flatnonzero(part) for part in np.split(good, ends)]
    labeled = Source(images[: ends[0]][kept[0]], train.labels[kept[0]])
    tested = _readable(config, images[ends[0] : ends[1]][kept[1]], test.labels[kept[1]])
    others, copies = images[ends[1] :][kept[2]], unlabeled.copies[kept[2]]
    counts = np.bincount(labeled.labels, minlength=len(names))
    if not counts.all():
        raise UsageError(f"--labeled_dir: no image of class {names[int(counts.argmin())]} could be read")
    if config.num_labels:
        chosen, rest = balanced(labeled.labels, config.num_labels, len(names), config.seed, names)
        others, labeled = np.concatenate([others, labeled.images[rest]]), labeled.take(chosen)
        copies = np.append(copies, np.ones([len(rest)], np.int32))
    return Dataset(
        row.name,
        labeled,
        Source(others, order=shards.order(copies)) if len(others) else None,
        tested,
        names,
        row.mean,
        row.std,
        flip=config.flip,
        fill=row.fill,
        skipped=tuple(str(source) for source, fine in zip(sources, good, strict=True) if not fine),
        notes=(*train.notes, *test.notes, *unlabeled.notes, *notes),
    )


def load_test(row, config, class_names):
    """Read --test_dir alone, for a run whose classes are known: --labeled_dir and --unlabeled_dir may be gone.

    Args:
        row: catalogue.DataRow.
        config: Config.
        class_names: of the run, tuple of str in the order of its outputs; None: not known.
    Returns:
        Dataset without labeled and unlabeled examples.
    Raises:
        UsageError: no image, a class that the run does not have, or classes that are not known.
        RunError: images that cannot be read, unless --skip_bad_images.
    """
    if class_names is None:
        raise UsageError(
            f"--workdir: expected the run's classes in identity.json or results.json, found neither in "
            f"{config.workdir}; the command that trained the run writes them again"
        )
    unknown = f"no place among the run's classes {listing.told(class_names)}; give test images of these"
    test = _tested(config, class_names, unknown)
    _check_memory(len(test.paths), config.image_size)
    background = decode.colour(config.background)
    images, good, notes = decode.decode_files(
        test.paths, config.image_size, config.skip_bad_images, background, config.resize
    )
    return Dataset(
        row.name,
        None,
        None,
        _readable(config, images[good], test.labels[good]),
        tuple(class_names),
        row.mean,
        row.std,
        flip=config.flip,
        fill=row.fill,
        skipped=tuple(str(path) for path, fine in zip(test.paths, good, strict=True) if not fine),
        notes=(*test.notes, *notes),
    )


class ToLabel(NamedTuple):
    """Images to predict the classes of.

    Attributes:
        paths: list of N Paths.
        images: uint8 [N, S, S, 3].
        notes: tuple of lines for the user.
        left_out: number of images that could not be read.
    """

    paths: list
    images: np.ndarray
    notes: tuple
    left_out: int


def to_label(config, size):
    """Read --images, a folder (any depth) or one image.

    Args:
        config: Config.
        size: side S of the model's images, pixels.
    Returns:
        ToLabel.
    Raises:
        UsageError: no image, or none that can be read.
        RunError: images that cannot be read, unless --skip_bad_images.
    """
    found = listing.find(config.images, "--images")
    background = decode.colour(config.background)
    images, good, notes = decode.decode_files(found.images, size, config.skip_bad_images, background, config.resize)
    paths = [path for path, fine in zip(found.images, good, strict=True) if fine]
    if not paths:
        raise UsageError(f"--images: none of the {len(good)} images in {config.images} could be read")
    return ToLabel(paths, images[good], (*found.passed.told("--images"), *notes), len(good) - len(paths))


class _Part(NamedTuple):
    """The images of a folder, not read yet.

    Attributes:
        paths: list of N paths or Records.
        notes: tuple of lines for the user.
        labels: int32 [N]; None where they are unknown.
        copies: int32 [N], how often an epoch shows each; None where that is once.
    """

    paths: list
    notes: tuple
    labels: np.ndarray | None = None
    copies: np.ndarray | None = None


class _Listed(NamedTuple):
    """Names of the classes, and the _Parts."""

    names: tuple
    train: _Part
    test: _Part
    unlabeled: _Part


def _listed(config):
    """What there is to read, refused where it is not what it seems."""
    passed = listing.PassedOver()
    names = listing.class_folders(config.labeled_dir, "--labeled_dir", passed)
    plausible.check_classes(names, config.labeled_dir)
    plausible.check_apart(config.labeled_dir, config.test_dir)
    train = _labeled(config.labeled_dir, names, "--labeled_dir", passed)
    plausible.check_one_class_each(train.paths, train.labels, names)
    test = _tested(config, names, f"no folder in --labeled_dir {config.labeled_dir}")
    more = config.unlabeled_dir if config.unlabeled_source == "rest" else ""
    unlabeled = _unlabeled(more) if more else _Part([], (), copies=np.ones([0], np.int32))
    files = [path for path in unlabeled.paths if isinstance(path, Path)]  # The others are Records.
    test = test._replace(notes=test.notes + plausible.shared(test.paths, train.paths, files))
    return _Listed(names, train, test, unlabeled)


def _tested(config, names, unknown):
    """The images of --test_dir, whose classes are among `names`; one that is not has `unknown`, in words."""
    passed = listing.PassedOver()
    present = listing.class_folders(config.test_dir, "--test_dir", passed)
    others = sorted(set(present) - set(names))
    if others:
        raise UsageError(f"--test_dir: class {listing.told(others)} {'has' if len(others) == 1 else 'have'} {unknown}")
    return _labeled(config.test_dir, names, "--test_dir", passed, present=present)


def _readable(config, images, labels):
    """The test examples as a Source; UsageError where there is none."""
    if not len(images):
        raise UsageError(f"--test_dir: no image in {config.test_dir} could be read")
    return Source(images, labels)


def _labeled(folder, names, flag, passed, present=None):
    """The images of the classes `names`, of those in `present` where it is given."""
    paths, labels, empty = [], [], []
    for label, name in enumerate(names):
        if present is not None and name not in present:
            continue
        found = listing.find(Path(folder) / name, flag, may_lack=True)
        paths += found.images
        labels += [label] * len(found.images)
        passed.update(found.passed)
        empty += [] if found.images else [str(Path(folder) / name)]
    if empty:
        raise listing.nothing(flag, ", ".join(empty), passed, shards=False)
    return _Part(paths, passed.told(flag), labels=np.array(labels, np.int32))


def _unlabeled(folder):
    """Images and Records of shards in --unlabeled_dir."""
    found = listing.find(folder, "--unlabeled_dir", shards=True)
    records = [record for path in found.shards for record in tfrecord.records(path)]
    copies = np.append(np.ones([len(found.images)], np.int32), shards.copies(records))
    return _Part([*found.images, *records], found.passed.told("--unlabeled_dir"), copies=copies)


def _check_memory(count, size):
    needed = count * size * size * 3
    available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * MEMORY_SHARE
    if needed > available:
        raise UsageError(
            f"--image_size: {count} images of {size} x {size} need {needed / 2**30:.1f} GiB of memory, this machine "
            f"gives {available / 2**30:.1f} GiB; give a smaller --image_size or fewer images"
        )
