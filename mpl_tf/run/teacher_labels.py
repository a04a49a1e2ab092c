"""A fixed teacher's distributions on the unlabeled data, computed once, in a memory-mapped file.

STORE.npy is a float32 array [N, C] in the order of the unlabeled examples; STORE.json says what it belongs to: the data
set, the SHA-256 of its unlabeled examples in order and that of the teacher's file. While it grows it is STORE.partial,
and a computation that was cut off goes on after its last whole chunk.
"""

import hashlib
import json
import os
from pathlib import Path

import numpy as np

from mpl_tf.base import files
from mpl_tf.base.errors import RunError, UsageError
from mpl_tf.run import evaluate

CHUNK = 4096  # Examples between two records of progress; a few seconds of a large network.


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
        UsageError: the store belongs to another data set, order or teacher, or is no store.
        RunError: it cannot be written.
    """
    path, shape = Path(path), (len(source), classes)
    record, partial = path.with_suffix(".json"), path.with_suffix(".partial")
    done = _check(path, record, belongs)
    if not path.exists():
        array = _partial(partial, shape, new=not done)
        model = load_model() if done < len(source) else None
        for images, _ in source.pieces(CHUNK, done):
            logits = model.predict(images, batch_size=batch, verbose=0)
            finished = done + len(images)
            array[done:finished] = evaluate.softmax(np.asarray(logits, np.float64))
            array.flush()
            files.write_text(record, json.dumps(belongs | {"done": finished}, indent=2) + "\n")
            print(f"teacher's distributions {finished}/{len(source)}", flush=True)
            done = finished
        del array
        os.replace(partial, path)
    try:
        array = np.load(path, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise UsageError(f"--store: cannot read {path} ({error}); delete it so that it is computed again") from error
    if array.shape != shape or array.dtype != np.float32:
        raise UsageError(f"--store: expected float32 {shape} in {path}, got {array.dtype} {array.shape}; delete it")
    return array


def _check(path, record, belongs):
    """Examples done so far, of a store that belongs here; 0 where there is none."""
    if not record.exists():
        if path.exists():
            raise UsageError(f"--store: {path} has no record {record.name} of what it belongs to; give another --store")
        return 0
    try:
        found = json.loads(record.read_text())
        differing = [name for name in belongs if found[name] != belongs[name]]
        done = int(found["done"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"--store: cannot read {record} ({error!r}); delete it and {path.name}") from error
    if differing:
        names = {"dataset": "data set", "order": "unlabeled examples or order", "checkpoint": "teacher"}
        raise UsageError(
            f"--store: {path} belongs to another {' and another '.join(names[name] for name in differing)}; "
            "give another --store, or delete it"
        )
    return done


def _partial(path, shape, new):
    """The file while it grows, np.memmap; its blocks are taken at once, as a full disk would kill a mapped write."""
    try:
        if not new:
            return np.lib.format.open_memmap(path, mode="r+")
        path.parent.mkdir(parents=True, exist_ok=True)
        array = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
        with open(path, "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        return array
    except (OSError, ValueError) as error:
        raise RunError(
            f"--store: expected to write {path}, got {error}; free space, or give another --store"
        ) from error
