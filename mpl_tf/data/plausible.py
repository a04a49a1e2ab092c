"""Whether a user's folders are what they seem: what would train a network on other classes, or test it on what it saw,
is refused before training; what may be meant is told."""

import collections
import hashlib
import os

import numpy as np

from mpl_tf.base import storage
from mpl_tf.base.errors import UsageError
from mpl_tf.data import ahead, members

SPLITS = {
    "train",
    "training",
    "val",
    "valid",
    "validation",
    "dev",
    "test",
    "testing",
    "eval",
    "unlabeled",
    "unlabelled",
}
MOST_CLASSES = 20  # Told one by one.


def check_classes(names, folder):
    """Refuse class folders that are splits of a data set, and a single class.

    Args:
        names: of the class folders.
        folder: path of --labeled_dir.
    Raises:
        UsageError: naming them.
    """
    splits = [name for name in names if name.lower() in SPLITS]
    if len(splits) < len(names):  # Beside classes, `train` may be a vehicle, unless it holds the classes again.
        others = set(names) - set(splits)
        splits = [name for name in splits if others & storage.names(storage.join(folder, name))]
    if splits:
        raise UsageError(
            f"--labeled_dir: expected one folder a class in {folder}, found {', '.join(splits)}, which are splits of a "
            f"data set; give --labeled_dir={storage.join(folder, splits[0])} and the like"
        )
    check_several(names, folder)


def check_several(names, folder):
    """Refuse a single class in --labeled_dir; arguments as in `check_classes`."""
    if len(names) == 1:
        raise UsageError(
            f"--labeled_dir: expected a folder for each of two classes or more in {folder}, found {names[0]} alone"
        )


def check_apart(folders):
    """Refuse labeled, validation and test folders that are, by any link, one.

    Args:
        folders: dict of flag to folder, the labeled one first.
    Raises:
        UsageError: naming both flags.
    """
    seen = {}
    for flag, folder in folders.items():
        other = seen.setdefault(storage.real(folder), flag)
        if other != flag:
            unseen = "no training sees" if other == "labeled_dir" else "choose nothing"
            raise UsageError(
                f"--{flag}: expected other images than those of --{other}, got the same folder, {folder}; give images "
                f"that {unseen}"
            )


def check_one_class_each(paths, labels, names):
    """Refuse a file that links put into two classes.

    Args:
        paths: Paths of N images.
        labels: int [N].
        names: of the classes.
    Raises:
        UsageError: naming the file and both classes.
    """
    parents, seen = {folder: storage.real(folder) for folder in paths.folders()}, {}
    if not paths.links and len(set(parents.values())) == len(parents):
        return
    for place, (path, label) in enumerate(zip(paths, labels, strict=True)):
        parent = parents[paths.folder(place)]
        real = storage.real(path) if place in paths.links else os.path.join(parent, path.name)
        other, before = seen.setdefault(real, (label, path))
        if other != label:
            raise UsageError(
                f"--labeled_dir: {before} of class {names[other]} and {path} of class {names[label]} are one file, by "
                "a link; leave it in one class"
            )


def shared(flag, paths, seen):
    """How many files of a validation or test folder have the bytes of other ones, to be told: tuple of lines.

    Args:
        flag: that gives the folder, as it is written.
        paths: list of Path and Member, its images.
        seen: dict of "labeled", and other parts by their names, to such lists.
    Raises:
        UsageError: all of them have those of a labeled one, and there are no other labeled ones: the folders are the
            same.
    """
    lines = []
    for kind, others in seen.items():
        same = _copies(paths, others)
        if kind == "labeled" and len(same) == len(paths) == len(others):
            raise UsageError(
                f"{flag}: expected other images than those of --labeled_dir, got a copy of each, {same[0]} for "
                "example; give images that no training sees"
            )
        if same:
            lines.append(f"{flag}: {len(same)} of {len(paths)} images are copies of {kind} ones, {same[0]} for example")
    return tuple(lines)


def _copies(paths, others):
    """Those of some files that have the bytes of one of the others; reads only those of a size that both have."""
    by_size = collections.defaultdict(list)
    for path, size in zip(others, ahead.each(members.size, others), strict=True):
        by_size[size].append(path)
    sizes = dict(zip(paths, ahead.each(members.size, paths), strict=True))
    suspects = [path for path in paths if sizes[path] and sizes[path] in by_size]
    known = set(ahead.each(_digest, [other for size in {sizes[path] for path in suspects} for other in by_size[size]]))
    digests = ahead.each(_digest, suspects)
    return [path for path, found in zip(suspects, digests, strict=True) if found in known]


def _digest(path):
    return hashlib.sha256(members.read(path)).digest()


def class_counts(dataset):
    """The classes and how many examples of each its parts have, where they are known: tuple of lines for the user.

    Args:
        dataset: Dataset.
    """
    parts = {"labeled": dataset.labeled, "validation": dataset.validation, "test": dataset.test}
    if dataset.test is dataset.validation:  # With --scored_on=validation.
        del parts["validation"]
    parts = {kind: part for kind, part in parts.items() if part is not None}  # An evaluation has the test part alone.
    if any(getattr(part, "labels", None) is None for part in parts.values()):
        return ()  # Streamed ones are known when they are read.
    names = dataset.class_names
    counts = {kind: np.bincount(part.labels, minlength=len(names)) for kind, part in parts.items()}
    if len(names) <= MOST_CLASSES:
        each = ", ".join(f"{name} {' + '.join(map(str, n))}" for name, *n in zip(names, *counts.values(), strict=True))
        lines = [f"{len(names)} classes, {' + '.join(parts)} examples of each: {each}"]
    else:
        ranges = [f"{n.min()} to {n.max()} {kind}" for kind, n in counts.items()]
        lines = [f"{len(names)} classes, {names[0]} to {names[-1]}, of {' and '.join(ranges)} examples"]
    for kind in (kind for kind in counts if kind != "labeled"):
        absent = [names[label] for label in np.flatnonzero(counts[kind] == 0)]
        if absent:
            more = f" and {len(absent) - MOST_CLASSES} more" if len(absent) > MOST_CLASSES else ""
            told = f"no {kind} example of class {', '.join(absent[:MOST_CLASSES])}{more}"
            lines.append(f"{told}: the results say nothing of it")
    return tuple(lines)
