"""A fixed teacher's distributions on the unlabeled data, computed once, in a memory-mapped file.

STORE.npy is a float32 array [N, C] in the order of the unlabeled examples; STORE.json says what it belongs to: the data
set, the SHA-256 of its unlabeled examples in order and that of the teacher's file, and the SHA-256 of each block of
rows. While it grows it is STORE.partial. Every block is checked when the store is opened; those that are missing or
damaged, and only those, are computed.
"""

import hashlib
import itertools
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from mpl_tf.base import console, files, lock
from mpl_tf.base.errors import RunError, UsageError
from mpl_tf.run import evaluate

CHUNK = 4096  # Examples of a block; a few seconds of a large network.


def identity(dataset, teacher):
    """What a store belongs to: {"dataset", "order", "checkpoint"}, the last two as SHA-256.

    Args:
        dataset: Dataset with unlabeled examples.
        teacher: path of the teacher's file.
    """
    return {
        "dataset": dataset.name,
        "order": dataset.unlabeled.fingerprint(),
        "checkpoint": hashlib.sha256(Path(teacher).read_bytes()).hexdigest(),
    }


def default_path(folder, belongs):
    """The store's own name in a folder: data set, and the first digits of order and teacher."""
    return Path(folder) / f"{belongs['dataset']}-{belongs['order'][:12]}-{belongs['checkpoint'][:12]}.npy"


def open_or_compute(path, belongs, load_model, source, classes, batch):
    """The distributions, read from the store or computed into it first.

    Args:
        path: of STORE.npy.
        belongs: as `identity` returns it.
        load_model: function without arguments that returns a deployable keras.Model; called only if there is work.
        source: Source or Streamed of the N examples.
        classes: C.
        batch: examples a batch.
    Returns:
        np.memmap float32 [N, C], read-only.
    Raises:
        UsageError: the store belongs to another data set, order or teacher, is no store, or another process is
            computing it.
        RunError: it cannot be written.
    """
    path, shape = Path(path), (len(source), classes)
    # A whole store is only read, so that any number of runs may share it.
    array = _opened(path, shape) if path.exists() else None
    if array is None or _missing(array, _digests(path, belongs)):
        with lock.held(path.parent, "store", f".{path.stem}.lock"):
            _complete(path, belongs, load_model, source, shape, batch)
        array = _opened(path, shape)
    return array


def _complete(path, belongs, load_model, source, shape, batch):
    """Compute the blocks that are missing or damaged; only under the store's lock."""
    # What an earlier computation, cut off or damaged since, has left and can be trusted is kept.
    digests = _digests(path, belongs)
    array, file = _writable(path, shape)
    missing = _missing(array, digests)
    damaged = [block for block in missing if block < len(digests) and digests[block]]
    if damaged:
        console.tell(f"{file}: {len(damaged)} damaged blocks are computed again")
    digests += [""] * (_blocks(len(array)) - len(digests))

    # A network is opened, which takes seconds, only for something to do.
    model = load_model() if missing else None
    for block, images in _images(source, missing):
        logits = model.predict(images, batch_size=batch, verbose=0)
        array[_rows(block)] = evaluate.softmax(np.asarray(logits, np.float64))
        # The rows are on their way to the disk before the record vouches for them.
        array.flush()
        digests[block] = _digest(array, block)
        files.write_text(_record(path), json.dumps(belongs | {"block": CHUNK, "digests": digests}, indent=2) + "\n")
        print(f"teacher's distributions {min((block + 1) * CHUNK, len(array))}/{len(array)}", flush=True)
    # The name of a whole store is taken in one step, when it is one.
    if file != path:
        os.replace(file, path)


def _images(source, blocks):
    """(block, its images), in order; neighbouring blocks are read in one go."""
    for _, neighbours in itertools.groupby(enumerate(blocks), lambda pair: pair[1] - pair[0]):
        run = [block for _, block in neighbours]
        for block, (images, _) in zip(run, source.pieces(CHUNK, run[0] * CHUNK), strict=False):
            yield block, images


def _record(path):
    """The file that says what a store belongs to."""
    return path.with_suffix(".json")


def _blocks(count):
    """Blocks of so many examples; the last may be short."""
    return -(-count // CHUNK)


def _rows(block):
    """Where a block's examples lie in the array."""
    return slice(block * CHUNK, (block + 1) * CHUNK)


def _digest(array, block):
    """SHA-256 of a block's values."""
    return hashlib.sha256(np.ascontiguousarray(array[_rows(block)])).hexdigest()


def _missing(array, digests):
    """Numbers of the blocks that are not what the record vouches for; hashing leaves Python's lock, so in threads."""
    with ThreadPoolExecutor() as pool:
        found = pool.map(lambda block: _digest(array, block), range(min(_blocks(len(array)), len(digests))))
    # Blocks that the record does not name are missing like those that differ.
    right = {block for block, digest in enumerate(found) if digest == digests[block]}
    return [block for block in range(_blocks(len(array))) if block not in right]


def _digests(path, belongs):
    """The blocks' digests that the store's record vouches for, "" for those not computed yet; [] without a record.

    Raises:
        UsageError: the record is of something else or cannot be read, or there is an array without one.
    """
    record = _record(path)
    if not record.exists():
        if path.exists():
            raise UsageError(
                f"--store: {path} has no record {record.name} of what it belongs to; give another --store, or "
                f"delete {path.name} so that it is computed"
            )
        return []
    # Records of another block size, or from before there were digests, vouch for nothing.
    try:
        found = json.loads(record.read_text())
        differing = [name for name in belongs if found[name] != belongs[name]]
        digests = [str(digest) for digest in found.get("digests", [])] if found.get("block") == CHUNK else []
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"--store: cannot read {record} ({error!r}); delete it and {path.name} so that both are made again"
        ) from error
    # Labels of another teacher would be taken for this one's.
    if differing:
        names = {"dataset": "data set", "order": "unlabeled examples or order", "checkpoint": "teacher"}
        raise UsageError(
            f"--store: {path} belongs to another {' and another '.join(names[name] for name in differing)}; "
            f"give another --store, or delete it and {record.name}"
        )
    return digests


def _opened(path, shape, mode="r"):
    """The array of a file, None where it is cut off or no such array."""
    try:
        array = np.lib.format.open_memmap(path, mode=mode)
    except (OSError, ValueError, EOFError, SyntaxError, TypeError):  # What numpy raises on a damaged header.
        return None
    return array if (array.shape, array.dtype) == (shape, np.float32) else None


def _writable(path, shape):
    """(array, its file) to compute into: the whole store, the one that grows, or a new one.

    All of the file's space is taken at once, as a full disk would kill a mapped write.
    """
    growing = path.with_suffix(".partial")
    # A whole store that is damaged is mended in its place, one that a stop cut off goes on.
    for file in (path, growing):
        array = _opened(file, shape, "r+") if file.exists() else None
        if array is not None:
            _take_space(file)
            return array, file
    try:
        array = np.lib.format.open_memmap(growing, mode="w+", dtype=np.float32, shape=shape)
    except OSError as error:
        raise _unwritable(growing, error) from error
    _take_space(growing)
    return array, growing


def _take_space(file):
    """Take all blocks of a file on the disk, of which a new one has none yet."""
    if not hasattr(os, "posix_fallocate"):  # macOS has none.
        return
    try:
        with open(file, "r+b") as opened:
            os.posix_fallocate(opened.fileno(), 0, file.stat().st_size)
    except OSError as error:
        raise _unwritable(file, error) from error


def _unwritable(file, error):
    return RunError(f"--store: expected to write {file}, got {error}; {files.remedy(error)}, or give another --store")
