"""What own images that are not in memory hold, cheaply: whether files changed under their names since a run began.

To read all of a million photographs takes hours. A run knows the size of each file (4 s a million), and of SAMPLED at
most, spread evenly, the bytes: whole files up to twice END, of larger ones both ends, where a camera's data and what an
editor writes anew are. Of folders of no more files than that every change of such bytes is noticed; of larger ones each
change of size, and what was done to one file in two hundred or more, as by a converter, in 99 of 100 cases. A file's
time is no part of it: a copy of the folder, or a touch, is the same data.
"""

import hashlib
import os

import numpy as np

from mpl_tf.base import storage
from mpl_tf.data import ahead, members, tfrecord
from mpl_tf.data.paths import Paths

SAMPLED = 1000  # Files whose bytes are looked at.
END = 2**17  # Bytes at each end of a larger file.
GONE = -1  # Size of a file that is not there any more: it is told when it is met.


def digest(images):
    """SHA-256 of the sizes of all files and the bytes of some, in the order of the examples.

    Args:
        images: OwnImages.
    Returns:
        str, hexadecimal.
    """
    hashed = hashlib.sha256(sizes(images).tobytes())
    numbers = np.unique(np.linspace(0, len(images) - 1, min(SAMPLED, len(images))).round().astype(np.int64))
    for ends in ahead.each(_ends, [images.source(int(number)) for number in numbers]):
        hashed.update(ends)
    return hashed.hexdigest()


def sizes(images):
    """Sizes of the files of OwnImages, of shards those of the records, bytes: int64 [N]; GONE where there is none."""
    listed = {}  # Of folders in buckets, whose lists have the sizes: dict of name to size.
    places = (images.place(number) for number in range(len(images)))
    return np.fromiter((_size(*place, listed) for place in places), np.int64, len(images))


def _size(pool, place, listed):
    if not isinstance(pool, Paths):
        return pool[place].length
    folder = pool.folder(place)
    if storage.is_url(folder):
        if folder not in listed:
            listed[folder] = storage.sizes(folder)
        return listed[folder].get(pool.text(place).rpartition("/")[2], GONE)
    try:
        return os.stat(pool.text(place)).st_size
    except OSError:
        return GONE


def _ends(source):
    """The bytes at both ends of a Path, a Record or a Member; what cannot be read is told when it is met."""
    is_record = isinstance(source, tfrecord.Record)
    try:
        if isinstance(source, members.Member):
            data = source.read()
            return data if len(data) <= 2 * END else data[:END] + data[-END:]
        path = source.path if is_record else source
        start, length = (source.offset, source.length) if is_record else (0, storage.size(path))
        if length <= 2 * END:
            return storage.read_bytes(path, start, start + length)
        ends = ((start, start + END), (start + length - END, start + length))
        return b"".join(storage.read_bytes(path, *end) for end in ends)
    except (OSError, ValueError):
        return b""
