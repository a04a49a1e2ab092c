"""Starting TensorFlow without its chatter."""

import os
import sys


def import_tensorflow():
    """Import TensorFlow without its notes on the build and the machine, which its C++ code writes to stderr."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        import tensorflow as tf

        tf.get_logger().setLevel("ERROR")
        tf.config.list_logical_devices()  # Starts the devices.
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
