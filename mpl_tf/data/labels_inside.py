"""The classes of images inside tar, zip and Parquet files: WebDataset's members NAME.cls, a column `label`, or folders.

What a file says of an image goes before the folder that the image lies in within it.
"""

import os

import numpy as np

from mpl_tf.base import storage
from mpl_tf.base.errors import UsageError
from mpl_tf.data import listing, members, walking
from mpl_tf.data.file_kinds import PassedOver, is_hidden

HOW = (
    "one folder of images a class in it, members NAME.cls beside its images, or a column `label` of whole numbers or "
    "texts"
)


def holders(folder, flag):
    """The tar, zip and Parquet files that hold the labeled images of a flag, sorted list of paths.

    Empty where it is a folder of folders, or none of such files.

    Args:
        folder: path of such a file, or of a folder of them.
        flag: that gave it, for messages.
    """
    if storage.is_file(folder):
        return [folder] if listing.is_holder(str(folder)) else []
    found = [entry for entry in walking.entries(folder, flag) if not is_hidden(entry.name)]
    if any(walking.is_folder(entry) for entry in found):
        return []
    return [storage.join(folder, entry.name) for entry in found if listing.is_holder(entry.name)]


def labeled(folder, flag, known=()):
    """The images in such files and their classes.

    Args:
        folder, flag: as `holders` has them.
        known: names of the run's classes; empty: they are those that are found.
    Returns:
        (Members, list of the class of each, str, PassedOver, which counts what lies beside the files too).
    Raises:
        UsageError: no image, one of no class, or all in one folder, where no names are known.
    """
    passed, files = PassedOver(), holders(folder, flag)
    found, classes = members.inside(files, flag, passed)
    if not storage.is_file(folder):
        beside = [
            entry.name
            for entry in walking.entries(folder, flag)
            if not (is_hidden(entry.name) or listing.is_holder(entry.name))
        ]
        for name in beside:
            listing.note_classless(name, passed)
    if not len(found):
        raise listing.nothing(flag, folder, passed, shards=False)
    if None in classes:
        folders = _folders([os.fsdecode(found.relative(place)) for place in range(len(found))], known)
        classes = [one if told is None else told for told, one in zip(classes, folders, strict=True)]
    if None in classes:
        _check_folders(found, folder, flag, known)
        raise UsageError(f"{flag}: expected {HOW}, {found[classes.index(None)]} has no class")
    return found, classes, passed


def names(classes):
    """The different classes (list of str) in order: numbers by their size, others as texts; tuple of str."""
    found = set(classes)
    # 1 and 01 are two classes; a set has no order of its own.
    return tuple(sorted(found, key=lambda name: (int(name), name)) if all(map(str.isdecimal, found)) else sorted(found))


def numbered(classes, known):
    """int32 [N]: the place of each class (str) among the `known` names."""
    numbers = {name: number for number, name in enumerate(known)}
    return np.array([numbers[name] for name in classes], np.int32)


def _check_folders(found, folder, flag, known):
    """Refuse images (Members) that lie in one folder of their files, by its name: it is their only class."""
    shared = {os.path.dirname(os.fsdecode(found.relative(place))).partition("/")[2] for place in range(len(found))}
    if not known and len(shared) == 1 and (one := shared.pop()):
        raise UsageError(
            f"{flag}: expected a folder for each of two classes or more in {folder}, all images lie in {one}"
        )


def _folders(relative, known):
    """The class of each image by its folder: list of str or None.

    Of the folders that it lies in within its file, the first one of a `known` name; where no names are known, the first
    one below those that all images share, as train/ in train/cat/1.jpg.

    Args:
        relative: list of FILE/FOLDER/.../NAME, of all images; FILE#ROW has no folder.
        known: names of the run's classes.
    """
    above = [tuple(name.split("/")[1:-1]) for name in relative]
    if known:
        return [next((one for one in folders if one in known), folders[0] if folders else None) for folders in above]
    shared = os.path.commonprefix(above)
    return [folders[len(shared)] if len(folders) > len(shared) else None for folders in above]
