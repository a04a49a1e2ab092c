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
SCORED = ("validation_dir", "test_dir")  # Flags of the folders whose images no training sees.


def load(row, config):
    """Read --labeled_dir, --validation_dir and --test_dir (a folder a class) and --unlabeled_dir (any depth).

    mpl_tf/data/listing.py says which files are images. --unlabeled_dir holds images, TFRecord shards (data/shards.py;
    an image of image/copies c comes c times an epoch), or both.

    Images are uint8 [N, S, S, 3] with S = config.image_size: the shorter side resized to S, the middle cut out.
    With --num_labels, the labeled images beyond it join the unlabeled ones. --unlabeled_source=labeled reads none of
    --unlabeled_dir.

    Raises:
        UsageError: no class, an empty class, a validation or test class without training images, no image, or what
            mpl_tf/data/plausible.py refuses.
        RunError: images that cannot be read, unless --skip_bad_images.
    """
    names, train, scored, unlabeled = _listed(config)
    parts = [train, *scored.values(), unlabeled]
    sources = [path for part in parts for path in part.paths]
    _check_memory(len(sources), config.image_size)
    background = decode.colour(config.background)
    images, good, notes = decode.decode_files(
        sources, config.image_size, config.skip_bad_images, background, config.resize
    )
    # Each part's images and labels, without those that could not be read.
    ends = np.cumsum([len(part.paths) for part in parts])[:-1]
    kept = [np.flatnonzero(part) for part in np.split(good, ends)]
    found = [part[fine] for part, fine in zip(np.split(images, ends), kept, strict=True)]
    labeled = Source(found[0], train.labels[kept[0]])
    scored = {
        flag: _readable(config, flag, found[number], part.labels[kept[number]])
        for number, (flag, part) in enumerate(scored.items(), start=1)
    }
    others, copies = found[-1], unlabeled.copies[kept[-1]]
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
        scored.get("test_dir"),
        names,
        row.mean,
        row.std,
        flip=config.flip,
        fill=row.fill,
        skipped=tuple(str(source) for source, fine in zip(sources, good, strict=True) if not fine),
        notes=(*(note for part in parts for note in part.notes), *notes),
        validation=scored.get("validation_dir"),
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
    test = _scored(config, "test_dir", class_names, unknown)
    _check_memory(len(test.paths), config.image_size)
    background = decode.colour(config.background)
    images, good, notes = decode.decode_files(
        test.paths, config.image_size, config.skip_bad_images, background, config.resize
    )
    return Dataset(
        row.name,
        None,
        None,
        _readable(config, "test_dir", images[good], test.labels[good]),
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
    """Names of the classes, and the _Parts; `scored` are those of SCORED that are given, by their flags."""

    names: tuple
    train: _Part
    scored: dict
    unlabeled: _Part


def _listed(config):
    """What there is to read, refused where it is not what it seems."""
    passed = listing.PassedOver()
    names = listing.class_folders(config.labeled_dir, "--labeled_dir", passed)
    plausible.check_classes(names, config.labeled_dir)
    given = [flag for flag in SCORED if getattr(config, flag)]
    plausible.check_apart({flag: getattr(config, flag) for flag in ("labeled_dir", *given)})
    train = _labeled(config.labeled_dir, names, "--labeled_dir", passed)
    plausible.check_one_class_each(train.paths, train.labels, names)
    more = config.unlabeled_dir if config.unlabeled_source == "rest" else ""
    unlabeled = _unlabeled(more) if more else _Part([], (), copies=np.ones([0], np.int32))
    files = [path for path in unlabeled.paths if isinstance(path, Path)]  # The others are Records.
    scored = {}
    for flag in given:
        part = _scored(config, flag, names, f"no folder in --labeled_dir {config.labeled_dir}")
        seen = {"labeled": train.paths, "unlabeled": files}
        if flag == "test_dir" and "validation_dir" in scored:
            seen["validation"] = scored["validation_dir"].paths
        scored[flag] = part._replace(notes=part.notes + plausible.shared(f"--{flag}", part.paths, seen))
    return _Listed(names, train, scored, unlabeled)


def _scored(config, flag, names, unknown):
    """The images of a folder of SCORED, whose classes are among `names`; one that is not has `unknown`, in words."""
    passed, folder = listing.PassedOver(), getattr(config, flag)
    present = listing.class_folders(folder, f"--{flag}", passed)
    others = sorted(set(present) - set(names))
    if others:
        raise UsageError(f"--{flag}: class {listing.told(others)} {'has' if len(others) == 1 else 'have'} {unknown}")
    return _labeled(folder, names, f"--{flag}", passed, present=present)


def _readable(config, flag, images, labels):
    """The examples of a folder of SCORED as a Source; UsageError where there is none."""
    if not len(images):
        raise UsageError(f"--{flag}: no image in {getattr(config, flag)} could be read")
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
