"""Data sets of TFDS that lie prepared in a bucket: TFDS reads their descriptions from the disk, and what is to be in
memory; shards that are streamed stay where they are.

TFDS itself knows Google's buckets alone, and reads them by another library than the rest of this program.
"""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor

from mpl_tf.base import storage
from mpl_tf.data.file_kinds import is_shard

THREADS = 16


def _folder(data_dir):
    key = hashlib.sha256(str(data_dir).rstrip("/").encode()).hexdigest()[:16]
    return storage.kept() / "tfds" / key


def described(name, data_dir):
    """A folder on the disk with all of a data set but its shards.

    Args:
        name: of the data set, NAME or NAME/CONFIG.
        data_dir: URL of the folder of TFDS data sets.
    Returns:
        Path, in the place of `data_dir`.
    Raises:
        OSError: it cannot be read.
    """
    folder = _folder(data_dir)
    storage.hold(folder)
    found = storage.tree(storage.path(data_dir) / name)
    wanted = [below for below in found if not is_shard(below)]
    _bring([(storage.path(data_dir) / name / below, folder / name / below) for below in wanted], again=True)
    return folder


def url(file, data_dir):
    """The URL of a file that TFDS takes to be in the folder of `described`."""
    return str(storage.path(data_dir) / os.path.relpath(file, _folder(data_dir)))


def bring(urls, data_dir):
    """Fetch shards into that folder, those that are not there yet."""
    root = str(storage.path(data_dir))
    _bring([(one, _folder(data_dir) / one.removeprefix(root).strip("/")) for one in urls])


def _bring(pairs, again=False):
    def one(pair):
        given, copy = pair
        if again or not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            storage.fetch(given, copy)
            storage.grown(copy.stat().st_size)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(one, pairs))
