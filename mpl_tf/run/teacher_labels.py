"""A fixed teacher's distributions on the unlabeled data, computed once, in a memory-mapped file.

The store (run/block_store.py) is a float32 array [N, C] in the order of the unlabeled examples. It belongs to the data
set, the SHA-256 of its unlabeled examples in order and that of the teacher's file.
"""

import hashlib
import itertools

import numpy as np

from mpl_tf.base import storage
from mpl_tf.run import evaluate
from mpl_tf.run.block_store import BlockStore
from mpl_tf.run.logits import logits
from mpl_tf.settings.catalogue import METHODS

CHUNK = 4096  # Examples of a block; a few seconds of a large network.
WORDS = {"dataset": "data set", "order": "unlabeled examples or order", "checkpoint": "teacher"}


GENERATION = "generation"  # Start of the names of Noisy Student's phases before the main one; their number follows.


def first_teacher_file(config):
    """Path of the teacher that is given or trained first; Config of a method that learns from a fixed teacher."""
    return storage.path(config.teacher) if config.teacher else storage.path(config.workdir) / "teacher.keras"


def teacher_file(config):
    """Path of the teacher whose distributions a run's main phase learns from.

    Args:
        config: Config of a method that learns from a fixed teacher.
    """
    # Of Noisy Student's generations the last but one labels for the last, which is the main phase.
    earlier = config.generations - 1 if METHODS[config.method].generations else 0
    return storage.path(config.workdir) / f"{GENERATION}{earlier}.keras" if earlier else first_teacher_file(config)


def identity(dataset, teacher):
    """What a store belongs to: {"dataset", "order", "checkpoint"}, the last two as SHA-256.

    Args:
        dataset: Dataset with unlabeled examples.
        teacher: path of the teacher's file.
    """
    return {
        "dataset": dataset.name,
        "order": dataset.unlabeled.fingerprint(),
        "checkpoint": hashlib.sha256(storage.read_bytes(teacher)).hexdigest(),
    }


def default_path(folder, belongs):
    """The store's own name in a folder: data set, and the first digits of order and teacher."""
    return storage.path(folder) / f"{belongs['dataset']}-{belongs['order'][:12]}-{belongs['checkpoint'][:12]}.npy"


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

    def compute(blocks):
        # A network is opened, which takes seconds, only for something to do.
        model = load_model()
        for block, images in _images(source, blocks):
            yield block, evaluate.softmax(logits(model, images, batch))
            print(f"teacher's distributions {min((block + 1) * CHUNK, len(source))}/{len(source)}", flush=True)

    shape = (len(source), classes)
    return BlockStore(storage.path(path), belongs, shape, np.float32, CHUNK, compute, "store", WORDS).open_or_compute()


def _images(source, blocks):
    """(block, its images), in order; neighbouring blocks are read in one go."""
    for _, neighbours in itertools.groupby(enumerate(blocks), lambda pair: pair[1] - pair[0]):
        run = [block for _, block in neighbours]
        for block, (images, _) in zip(run, source.pieces(CHUNK, run[0] * CHUNK), strict=False):
            yield block, images
