"""Starting TensorFlow without its chatter, and what else C++ code writes to stderr."""

import contextlib
import os
import sys

from mpl_tf.base import gpu


def import_tensorflow(start=True):
    """Import TensorFlow without its notes on the build and the machine, which its C++ code writes to stderr.

    Of these, what keeps it from a GPU is told in a line (gpu.py). GPUs give their memory as it is asked for, unless
    TF_FORCE_GPU_ALLOW_GROWTH says otherwise.

    Args:
        start: start its devices too, with their notes; not where several workers are to be joined first.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    grow()
    with silenced():
        import tensorflow as tf

        tf.get_logger().setLevel("ERROR")
        if start:
            tf.config.list_logical_devices()
    gpu.tell(tf)


def grow():
    """GPUs that start from here on give memory as it is asked for, so that others can use what is left."""
    # TensorFlow's own variable: it holds for every GPU, whoever starts it, and a person can set it otherwise.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")


@contextlib.contextmanager
def silenced():
    """Nothing is written to stderr meanwhile, by whatever code of this process."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
