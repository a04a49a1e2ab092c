"""What the user's folders hold, by part, before any image is read; refused where it is not what it seems."""

import os
from typing import NamedTuple

import numpy as np

from mpl_tf.base import storage
from mpl_tf.base.errors import UsageError
from mpl_tf.data import ahead, decode, labels_csv, labels_inside, listing, members, plausible, shards, tfrecord
from mpl_tf.data.own_images import OwnImages
from mpl_tf.data.paths import Paths
from mpl_tf.settings.catalogue import METHODS

SCORED = ("validation_dir", "test_dir")  # Flags of the folders whose images no training sees.


class Listed(NamedTuple):
    """What there is to read.

    Attributes:
        names: tuple of the classes' names.
        parts: dict of "labeled", those of SCORED that are given, and "unlabeled" where there is any, to OwnImages.
        notes: tuple of lines for the user.
    """

    names: tuple
    parts: dict
    notes: tuple


def listed(config):
    """What the folders of a run hold.

    Args:
        config: Config.
    Returns:
        Listed.
    Raises:
        UsageError: no class, an empty class, a validation or test class without training images, no image, a --labels
            that does not fit, or what mpl_tf/data/plausible.py refuses.
        RunError: shards that are damaged.
    """
    given = [flag for flag in SCORED if getattr(config, flag)]
    plausible.check_apart({flag: getattr(config, flag) for flag in ("labeled_dir", *given)})
    names, labeled, rest, notes = _by_csv(config, given) if config.labels else _by_folder(config)
    parts, unknown = {"labeled": labeled}, f"no image in --labels {config.labels}"
    for flag in given:
        part = scored(
            config, flag, names, unknown if config.labels else f"no folder in --labeled_dir {config.labeled_dir}"
        )
        parts[flag], notes = part.parts[flag], notes + part.notes
    if config.unlabeled_dir and config.unlabeled_source == "rest":
        others, more = _unlabeled(config)
        rest, notes = others if rest is None else others.joined(rest), notes + more
    return Listed(names, parts | ({"unlabeled": rest} if rest else {}), notes)


def scored(config, flag, names, unknown):
    """What a folder of SCORED holds.

    Args:
        config: Config.
        flag: of SCORED.
        names: of the classes.
        unknown: what a class that is not among them has, in words.
    Returns:
        Listed.
    Raises:
        UsageError: such a class, an empty one, no image.
    """
    passed, folder = listing.PassedOver(), getattr(config, flag)
    if labels_inside.holders(folder, f"--{flag}"):
        paths, classes, passed = labels_inside.labeled(folder, f"--{flag}", names)
        _check_known(flag, classes, names, unknown)
        labels = labels_inside.numbered(classes, names)
    else:
        present = listing.class_folders(folder, f"--{flag}", passed)
        _check_known(flag, present, names, unknown)
        paths, labels = _of_classes(folder, names, f"--{flag}", passed, present)
    return Listed(names, {flag: _images(config, (paths,), labels=labels)}, passed.told(f"--{flag}"))


def _check_known(flag, present, names, unknown):
    """Refuse classes of a part to be scored that are not among `names`; the arguments are those of `scored`."""
    others = sorted(set(present) - set(names))
    if others:
        raise UsageError(f"--{flag}: class {listing.told(others)} {'has' if len(others) == 1 else 'have'} {unknown}")


def _images(config, pools, numbers=None, **about):
    """OwnImages of these pools, of all that they hold or of the `numbers` among it."""
    numbers = np.arange(sum(map(len, pools)), dtype=np.int32) if numbers is None else numbers
    look = {"size": config.image_size, "resize": config.resize, "background": decode.colour(config.background)}
    return OwnImages(tuple(pools), numbers, **look, skip_bad=config.skip_bad_images, **about)


def _by_folder(config):
    """(names, labeled, None, notes) of a --labeled_dir that has a folder a class, or holds files with their classes."""
    if labels_inside.holders(config.labeled_dir, "--labeled_dir"):
        found, classes, passed = labels_inside.labeled(config.labeled_dir, "--labeled_dir")
        names = labels_inside.names(classes)
        plausible.check_several(names, config.labeled_dir)
        labeled = _images(config, (found,), labels=labels_inside.numbered(classes, names))
        return names, labeled, None, passed.told("--labeled_dir")
    passed = listing.PassedOver()
    names = listing.class_folders(config.labeled_dir, "--labeled_dir", passed)
    plausible.check_classes(names, config.labeled_dir)
    paths, labels = _of_classes(config.labeled_dir, names, "--labeled_dir", passed, names)
    plausible.check_one_class_each(paths, labels, names)
    return names, _images(config, (paths,), labels=labels), None, passed.told("--labeled_dir")


def _of_classes(folder, names, flag, passed, present):
    """(Paths, labels) of the images of the classes `names`, of those that are `present`."""
    paths, labels, empty = Paths(), [], []
    for label, name in enumerate(names):
        if name in present:
            found = listing.find(storage.join(folder, name), flag, may_lack=True)
            paths.extend(found.images)
            labels.append(np.full([len(found.images)], label, np.int32))
            passed.update(found.passed)
            empty += [] if found.images else [str(storage.join(folder, name))]
    if empty:
        raise listing.nothing(flag, ", ".join(empty), passed, shards=False)
    return paths, np.concatenate(labels)


def _by_csv(config, given):
    """(names, labeled, rest, notes) of a --labeled_dir whose labeled images --labels names.

    The rest are the others, where the method learns from any, but for those of folders that it is scored on.
    """
    rows = labels_csv.read(config.labels, config.labeled_dir)
    names = tuple(sorted({name for name, _ in rows.values()}))
    numbers = {name: number for number, name in enumerate(names)}
    found = listing.find(config.labeled_dir, "--labeled_dir")
    labels = np.full([len(found.images)], -1, np.int32)
    for place in range(len(labels)):
        row = rows.get(found.images.relative(place))
        labels[place] = -1 if row is None else numbers[row[0]]
    seen = {found.images.relative(place) for place in np.flatnonzero(labels >= 0)}
    labels_csv.check_found(rows, seen, config.labels, config.labeled_dir)

    labeled = _images(config, (found.images,), np.flatnonzero(labels >= 0).astype(np.int32), labels=labels[labels >= 0])
    notes = found.passed.told("--labeled_dir")
    if not METHODS[config.method].unlabeled or config.unlabeled_source != "rest":
        return names, labeled, None, notes
    apart = _in_folders(found.images, [getattr(config, flag) for flag in given])
    if apart[labels < 0].any():
        notes += (f"--labeled_dir: {apart[labels < 0].sum()} images in folders to be scored on are not learned from",)
    others = np.flatnonzero((labels < 0) & ~apart).astype(np.int32)
    return names, labeled, _images(config, (found.images,), others), notes


def _in_folders(paths, folders):
    """bool [N]: which of N Paths lie in one of some folders."""
    roots = [os.path.join(storage.real(folder), "") for folder in folders]
    inside = {one: os.path.join(storage.real(one), "").startswith(tuple(roots)) for one in paths.folders()}
    return np.array([inside[paths.folder(place)] for place in range(len(paths))], bool)


def _shard(path):
    """(list of Record, int32 [N] image/copies) of a shard."""
    found = tfrecord.records(path)
    return found, shards.copies(found)


def _unlabeled(config):
    """(OwnImages, notes) of the images, shards, tar, zip and Parquet files in --unlabeled_dir."""
    found = listing.find(config.unlabeled_dir, "--unlabeled_dir", shards=True, holders=True)
    inside, _ = members.inside(found.holders, "--unlabeled_dir", found.passed)
    records, copies = tfrecord.Records(), [np.ones([len(found.images)], np.int32)]
    for of_shard, counts in ahead.each(_shard, found.shards):
        records.add(of_shard)
        copies.append(counts)
    copies = np.concatenate([*copies, np.ones([len(inside)], np.int32)])
    if not len(copies):
        raise listing.nothing("--unlabeled_dir", config.unlabeled_dir, found.passed, holders=True)
    pools = (found.images, records, inside)
    images = _images(config, pools, copies=copies if (copies > 1).any() else None)
    return images, found.passed.told("--unlabeled_dir")
