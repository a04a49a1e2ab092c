"""Which files are images, the same for training, prediction, evaluation and filtering.

mpl_tf/data/file_kinds.py says what an image is by its name, and what a shard is. Hidden files and folders, and those
that systems leave behind (Thumbs.db, __MACOSX), are neither images nor classes, at any depth. A link to a folder gives
the folder's files; one walk lists each real folder once, so that loops end. A link to a file is a file. All that is
passed over is counted by its suffix, to be told.
"""

import collections
import dataclasses
import os
import re

from mpl_tf.base import storage
from mpl_tf.base.errors import UsageError
from mpl_tf.data import archives, parquet, walking
from mpl_tf.data.file_kinds import BARE, CLASSLESS, HIDDEN, KINDS, PassedOver, is_hidden, is_image, is_shard, suffix
from mpl_tf.data.paths import Paths
from mpl_tf.settings import forms

OWN = re.compile(r"(kept|rejected|problems|scores-\d{5,})\.parquet")  # Tables that filtering leaves.
OF = re.compile(r"-\d{5}-of-(\d{5})")


@dataclasses.dataclass(frozen=True)
class Found:
    """What a folder holds.

    Attributes:
        images: Paths, sorted.
        shards: sorted list of Path, TFRecord shards.
        passed: PassedOver.
        holders: sorted list of Path, tar, zip and Parquet files.
    """

    images: Paths
    shards: list
    passed: PassedOver
    holders: list = dataclasses.field(default_factory=list)


def is_holder(name):
    """Whether a file of this name holds images as its members or rows: tar, zip or Parquet."""
    return archives.is_archive(name) or parquet.is_table(name)


def _is_read(name):
    """Whether a file of a folder is gone through for images: Parquet files where pyarrow is there, none of the filter's
    own tables."""
    return is_holder(name) and not (parquet.is_table(name) and (OWN.fullmatch(name) or not parquet.there()))


def told(names, most=5):
    """Names in words, the rest of a long list counted: "a, b, c, d, e and 3 more"."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def find(folder, flag, images=True, shards=False, may_lack=False, holders=False):
    """The images, the shards and the files that hold images, those that are asked for, in `folder`, at any depth.

    Args:
        folder: path; a file stands for itself, whatever its name.
        flag: what the user gave it by, for messages.
        images, shards, holders: which are asked for; what is not is counted among what is passed over.
        may_lack: whether there may be none.
    Returns:
        Found.
    Raises:
        UsageError: there are none; a folder that cannot be listed; a set of shards that is not whole.
    """
    passed, root = PassedOver(), str(folder)
    of_images, of_shards, of_holders = Paths(), [], []
    alone = [(*os.path.split(root), False)] if storage.is_file(folder) else None
    for parent, name, is_link in alone or walking.scan(root, flag, passed, _is_read if holders else None):
        of_shard = is_shard(name)
        if holders and is_holder(name):
            of_holders.append(storage.join(parent, name))
        elif not (shards if of_shard else images):
            passed[suffix(name)] += 1
        elif of_shard:
            of_shards.append(storage.join(parent, name))
        else:
            of_images.add(parent if alone else root, parent, name, is_link)
    if not (of_images or of_shards or of_holders or may_lack):
        if holders and passed[forms.TABLES[0]]:
            parquet.check_there()
        raise nothing(flag, folder, passed, images, shards, holders)
    _check_whole(of_shards, flag)
    return Found(of_images, of_shards, passed, of_holders)


def nothing(flag, folder, passed, images=True, shards=True, holders=False):
    """The UsageError where images, shards or files that hold images are asked for and a folder or pattern has none."""
    asked = ["images"] * images + ["TFRecord shards"] * shards + ["tar, zip or Parquet files of images"] * holders
    told = [f"{line.partition(': ')[2]}; images are {KINDS} files" for line in passed.told(flag)]
    return UsageError("; ".join([f"{flag}: expected {' or '.join(asked)}, found none in {folder}", *told]))


def shards(folder, flag):
    """Sorted paths of the TFRecord shards in `folder`, at any depth; an empty list where there are none.

    Raises:
        UsageError: as in `find`.
    """
    return find(folder, flag, images=False, shards=True, may_lack=True).shards


def note_classless(name, passed):
    """Count a file (its name) that lies where images have no class in a PassedOver."""
    passed[CLASSLESS if is_image(name) else suffix(name) or BARE] += 1


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
    for entry in walking.entries(folder, flag):
        if is_hidden(entry.name):
            passed[HIDDEN] += 1
        elif walking.is_folder(entry):
            names.append(entry.name)
        else:
            note_classless(entry.name, passed)
    if not names:
        raise UsageError(f"{flag}: expected one folder of images a class, found no folder in {folder}")
    return tuple(names)


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
