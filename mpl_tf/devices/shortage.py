"""How a run ends where a step needs more memory than its device has."""

import re

import tensorflow as tf

from mpl_tf.base.errors import explained, reason

# In TensorFlow's words and in XLA's; of a full disk it raises the same kind of exception.
OUT_OF_MEMORY = re.compile(r"OOM when allocating|out of memory", re.IGNORECASE)


def told():
    """A context: inside it, a step that does not fit ends the run in a line that says what takes less (a RunError)."""
    return explained((tf.errors.ResourceExhaustedError, tf.errors.InternalError), _line)


def _line(error):
    if not OUT_OF_MEMORY.search(str(error)):
        return ""
    return (
        f"--labeled_batch: expected a step that fits the device's memory, got: {reason(error)}; give --accumulate=2 "
        "or more, --remat=block, --precision=mixed_bfloat16, or fewer images by --labeled_batch or --mu, and a new "
        "--workdir; python -m tools.plan tells what fits"
    )
