"""How a run ends where a step needs more memory than its device has."""

import contextlib
import re

import tensorflow as tf

from mpl_tf.base.errors import RunError, reason

# In TensorFlow's words and in XLA's; of a full disk it raises the same kind of exception.
OUT_OF_MEMORY = re.compile(r"OOM when allocating|out of memory", re.IGNORECASE)


@contextlib.contextmanager
def told():
    """Inside it, a step that does not fit ends the run in a line that says what takes less.

    Raises:
        RunError: as said.
    """
    try:
        yield
    except (tf.errors.ResourceExhaustedError, tf.errors.InternalError) as error:
        if not OUT_OF_MEMORY.search(str(error)):
            raise
        raise RunError(
            f"--labeled_batch: expected a step that fits the device's memory, got: {reason(error)}; give "
            "--accumulate=2 or more, --remat=block, --precision=mixed_bfloat16, or fewer images by --labeled_batch or "
            "--mu, and a new --workdir; python -m tools.plan tells what fits"
        ) from error
