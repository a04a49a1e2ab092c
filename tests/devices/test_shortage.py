"""A step that its device's memory does not hold ends in a line that says what takes less; a full disk does not."""

import pytest
import tensorflow as tf

from mpl_tf.base.errors import RunError
from mpl_tf.devices import shortage

SIDE = 10**6


def image(side):
    """4 TB of float32."""
    return tf.ones([side, SIDE])


STEPS = {
    "eager": lambda: image(SIDE),
    "graph": lambda: tf.function(image)(tf.constant(SIDE)),
    "XLA": tf.function(lambda: tf.random.normal([SIDE, SIDE]), jit_compile=True),
}


@pytest.mark.slow  # TensorFlow waits for ten seconds in case memory comes free.
@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_what_does_not_fit_is_told(step):
    told(step, r"O[^\n]+")


def test_what_a_gpu_says_is_told_by_its_last_words():
    def step():
        where = "Graph execution error:\n\nDetected at node A defined at (most recent call last):"
        what = "Out of memory while trying to allocate 91 bytes.\n\t [[A]]"
        raise tf.errors.InternalError(None, None, f"{where}\n{what}")

    told(step, r"Out of memory while trying to allocate 91 bytes\.")


def told(step, words):
    line = (
        r"^--labeled_batch: expected a step that fits the device's memory, got: " + words + "; give --accumulate=2 or "
        r"more, --remat=block, [^\n]+ and a new --workdir"
    )
    with pytest.raises(RunError, match=line), shortage.told():
        step()


def test_another_error_stays_what_it_is():
    with pytest.raises(tf.errors.ResourceExhaustedError), shortage.told():
        raise tf.errors.ResourceExhaustedError(None, None, "/disk/ckpt-4: No space left on device")
