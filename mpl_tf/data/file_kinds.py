"""What a file is by its name, and what is passed over, counted to be told."""

import collections
import os
import re

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


def is_hidden(name):
    """Whether a file or a folder of this name belongs to the system: .DS_Store, ._x.jpg, .ipynb_checkpoints."""
    return name.startswith(".") or name.lower() in SYSTEM


def is_image(name):
    """Whether a file of this name is taken for an image."""
    return suffix(name) in ENDINGS


def is_shard(path):
    """Whether a file's name is that of a TFRecord shard: *.tfrecord, *.tfrec, *.tfrecord-00000-of-00002."""
    return SHARD.match(os.path.basename(path)) is not None


def suffix(name):
    """The ending of a name, lower case, with its dot; empty where there is none."""
    return os.path.splitext(name)[1].lower()
