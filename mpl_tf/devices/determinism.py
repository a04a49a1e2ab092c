"""Whether TensorFlow's operations give the same bits each time: --deterministic."""

import contextlib

import tensorflow as tf

from mpl_tf.base.errors import RunError, reason
from mpl_tf.devices import distribute


def wanted(asked, jit_compile):
    """Whether a run asks TensorFlow for deterministic operations.

    Args:
        asked: --deterministic: "true", "false" or "auto".
        jit_compile: --jit_compile.
    """
    # XLA lacks deterministic forms of some gradients, as that of max-pooling, and refuses those; its programs for CPUs
    # are deterministic anyway, and a TPU runs nothing else.
    compiled = (jit_compile and distribute.has_xla()) or bool(tf.config.list_physical_devices("TPU"))
    return asked == "true" or (asked == "auto" and not compiled)


@contextlib.contextmanager
def told():
    """Inside it, a step that has no deterministic form ends the run in a line that names the flag.

    Raises:
        RunError: as said.
    """
    try:
        yield
    except tf.errors.UnimplementedError as error:
        if "determinis" not in str(error):
            raise
        raise RunError(
            f"--deterministic: an operation has no deterministic form under XLA ({_detail(error)}); give "
            "--deterministic=false, from Python in a process without an earlier deterministic run"
        ) from error


def _detail(error):
    """The line of an error that tells of determinism."""
    lines = (line.strip() for line in str(error).splitlines() if "determinis" in line)
    return next(lines, reason(error))
