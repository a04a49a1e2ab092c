"""Which files are images, the same for training, prediction, evaluation and filtering.

An image is a file whose name ends as one of ENDINGS; a shard is one whose name `is_shard` takes. Hidden files and
folders, and those that systems leave behind (Thumbs.db, __MACOSX), are neither images nor classes, at any depth. A
link to a folder gives the folder's files; one walk lists each real folder once, so that loops end. A link to a file is
a file. All that is passed over is counted by its suffix, to be told.
"""

import collections
import dataclasses
import os
import re
from pathlib import Path

from mpl_tf.base.errors import UsageError

FORMATS = {  # Pillow's name of a format, and how its files end.
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "WEBP": (".webp",),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "TIFF": (".tif", ".tiff"),
}
KINDS = "JPEG, PNG, WebP, BMP, GIF or TIFF"
ENDINGS = frozenset(ending for endings in FORMATS.values() for ending in endings)
# Also TFDS' NAME.tfrecord-00000-of-00002, and ImageNet's usual train-00000-of-01024.
SHARD = re.compile(r"^[^.].*(\.tfrec(ord)?s?(-\d{5}-of-\d{5})?|-\d{5}-of-\d{5})$")
OF = re.compile(r"-\d{5}-of-(\d{5})")
# What Windows, macOS and network disks leave in folders, lower case.
SYSTEM = {"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "@eadir", "$recycle.bin", "system volume information"}
MOST_KINDS = 8  # Of what is passed over, told by name.
# What PassedOver counts beside suffixes.
HIDDEN, BARE, BROKEN, SPECIAL, AGAIN = "hidden", "without suffix", "broken links", "no files", "links back"
CLASSLESS = "images in no class folder"


class PassedOver(collections.Counter):
    """How many files of each suffix (lower case, with its dot) were no images, and how many names were hidden."""

    def told(self, flag):
        """One line for the user, as a tuple that is empty where nothing was passed over.

        Args:
            flag: what the user gave the folder by.
        """
        kinds = [f"{count} {kind}" for kind, count in sorted(self.items(), key=lambda one: (-one[1], one[0]))]
        more = [f"{len(kinds) - MOST_KINDS} other kinds"] if len(kinds) > MOST_KINDS else []
        return (f"{flag}: passed over what is no image: {', '.join(kinds[:MOST_KINDS] + more)}",) if kinds else ()


@dataclasses.dataclass(frozen=True)
class Found:
    """What a folder holds.

    Attributes:
        images: sorted list of Path.
        shards: sorted list of Path, TFRecord shards.
        passed: PassedOver.
    """

    images: list
    shards: list
    passed: PassedOver


def told(names, most=5):
    """Names in words, the rest of a long list counted: "a, b, c, d, e and 3 more"."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def is_hidden(name):
    """Whether a file or a folder of this name belongs to the system: .DS_Store, ._x.jpg, .ipynb_checkpoints."""
    return name.startswith(".") or name.lower() in SYSTEM


def is_image(name):
    """Whether a file of this name is taken for an image."""
    return _suffix(name) in ENDINGS


def is_shard(path):
    """Whether a file's name is that of a TFRecord shard: *.tfrecord, *.tfrec, *.tfrecord-00000-of-00002."""
    return SHARD.match(os.path.basename(path)) is not None


def find(folder, flag, images=True, shards=False, may_lack=False):
    """The images, the shards or both in `folder`, at any depth.

    Args:
        folder: path; a file stands for itself, whatever its name.
        flag: what the user gave it by, for messages.
        images, shards: which of them are asked for; what is not is counted among what is passed over.
        may_lack: whether there may be none.
    Returns:
        Found.
    Raises:
        UsageError: there are none; a folder that cannot be listed; a set of shards that is not whole.
    """
    passed = PassedOver()
    of_images, of_shards = [], []
    for path in [str(folder)] if os.path.isfile(folder) else walk(folder, flag, passed):
        wanted, found = (shards, of_shards) if is_shard(path) else (images, of_images)
        if wanted:
            found.append(Path(path))
        else:
            passed[_suffix(path)] += 1
    if not (of_images or of_shards or may_lack):
        raise nothing(flag, folder, passed, images, shards)
    _check_whole(of_shards, flag)
    return Found(of_images, of_shards, passed)


def nothing(flag, folder, passed, images=True, shards=True):
    """The UsageError where images, shards or both are asked for and a folder or a pattern has none."""
    asked = ["images"] * images + ["TFRecord shards"] * shards
    told = [f"{line.partition(': ')[2]}; images are {KINDS} files" for line in passed.told(flag)]
    return UsageError("; ".join([f"{flag}: expected {' or '.join(asked)}, found none in {folder}", *told]))


def shards(folder, flag):
    """Sorted paths of the TFRecord shards in `folder`, at any depth; an empty list where there are none.

    Raises:
        UsageError: as in `find`.
    """
    return find(folder, flag, images=False, shards=True, may_lack=True).shards


def class_folders(folder, flag, passed):
    """Sorted names of the class folders in `folder`; links to folders are folders.

    Args:
        folder: path.
        flag: what the user gave it by, for messages.
        passed: PassedOver, which counts what else is there.
    Raises:
        UsageError: there are none, or `folder` cannot be listed.
    """
    names = []
    for entry in entries(folder, flag):
        if is_hidden(entry.name):
            passed[HIDDEN] += 1
        elif is_folder(entry):
            names.append(entry.name)
        else:
            passed[CLASSLESS if is_image(entry.name) else _suffix(entry.name) or BARE] += 1
    if not names:
        raise UsageError(f"{flag}: expected one folder of images a class, found no folder in {folder}")
    return tuple(names)


def walk(folder, flag, passed):
    """Paths (str) of the images and shards in a folder, in the order of sorted Paths.

    A link that leads to a folder listed before, or to one that holds `folder`, is not followed.

    Args:
        folder: path.
        flag: what the user gave it by, for messages.
        passed: PassedOver, which counts the other files.
    Raises:
        UsageError: a folder that cannot be listed.
    """
    real = os.path.realpath(folder)
    listed = {real, *map(str, Path(real).parents)}
    waiting = [(str(folder), real, iter(entries(folder, flag)))]  # Folders that are not listed to their end.
    while waiting:
        parent, real, left = waiting[-1]
        entry = next(left, None)
        if entry is None:
            waiting.pop()
            continue
        path = os.path.join(parent, entry.name)
        if is_hidden(entry.name):
            passed[HIDDEN] += 1
        elif is_folder(entry):
            place = os.path.realpath(path) if entry.is_symlink() else os.path.join(real, entry.name)
            if place not in listed:
                listed.add(place)
                waiting.append((path, place, iter(entries(path, flag))))
            elif entry.is_symlink():
                passed[AGAIN] += 1
        elif is_wanted(entry, passed):
            yield path


def entries(folder, flag):
    """os.DirEntry of all names in a folder, sorted; UsageError that names `flag` where it cannot be listed."""
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        remedy = "give a folder" if isinstance(error, NotADirectoryError) else "mend its permissions"
        raise UsageError(
            f"{flag}: expected a folder that can be listed, got {folder} ({error.strerror}); {remedy}"
        ) from error


def is_folder(entry):
    """Whether an os.DirEntry is a folder or a link to one; a link that cannot be followed (to itself) is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _is_file(entry):
    try:
        return entry.is_file()
    except OSError:
        return False


def is_wanted(entry, passed):
    """Whether a name that is no folder is that of an image or a shard; it is counted where not."""
    if not _is_file(entry):
        passed[BROKEN if entry.is_symlink() else SPECIAL] += 1
        return False
    if not (is_image(entry.name) or is_shard(entry.name)):
        passed[_suffix(entry.name) or BARE] += 1
        return False
    return True


def _suffix(name):
    return os.path.splitext(name)[1].lower()


def _check_whole(found, flag):
    """Refuse shards named -00000-of-N that are not N: a set that is not whole."""
    sets = collections.defaultdict(list)
    for path in found:
        numbered = OF.search(path.name)
        if numbered:
            sets[path.parent, OF.sub("", path.name), int(numbered[1])].append(path)
    for (parent, _, expected), paths in sets.items():
        if len(paths) != expected:
            raise UsageError(
                f"{flag}: expected {expected} shards like {paths[0].name} in {parent}, found {len(paths)}; "
                "let the program that writes them finish, or copy the others too"
            )
