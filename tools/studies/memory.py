"""What a gradient takes of memory on this machine's processor, beside what tools.plan says it takes.

    python -m tools.studies.memory
    python -m tools.studies.memory --remat=block --image_size=512 --batches=2,6

The peak of the process's memory during a supervised gradient, at two batches; their difference, an image, is that of
the activations. Prints JSON. Needs Linux.
"""

import ctypes
import dataclasses
import sys
from pathlib import Path

import numpy as np

from mpl_tf.base import quiet
from mpl_tf.base.errors import UsageError
from mpl_tf.settings.config import Config
from mpl_tf.settings.fields import flag, like
from mpl_tf.settings.forms import Form

from .. import _command

BATCHES = Form("two numbers of images, the larger one last, as in 8,24", r"([1-9]\d{0,3}),([1-9]\d{0,3})")
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
MMAP_THRESHOLD, SMALL = -3, 2**16  # glibc's M_MMAP_THRESHOLD: what is freed goes back to the system at once.


@dataclasses.dataclass(frozen=True)
class Flags:
    """Flags of the measurement."""

    model: str = like(Config, "model", "efficientnet_b0", topic="The network and its images")
    image_size: int = like(Config, "image_size", 224)
    num_classes: int = flag("classes", 1000, low=2)
    remat: str = like(Config, "remat", "none", choices=("none", "block"))
    precision: str = like(Config, "precision", "float32", choices=("float32", "mixed_bfloat16"))
    batches: str = flag("images of the two gradients that are compared", "8,24", form=BATCHES)


COMMAND = _command.Command("memory", __doc__, (Flags,))


def main(argv=None):
    """Measure; returns the exit status."""
    return COMMAND.run(argv, _report)


def _report(values):
    quiet.import_tensorflow()
    _command.show_figures(measure(values))


def measure(values):
    """Bytes an image, planned and measured.

    Returns:
        {"planned", "measured", "ratio": of the first to the second, "peaks": of the process at the two batches}.
    Raises:
        UsageError: batches that do not grow, or a system without /proc.
    """
    few, many = map(int, BATCHES.read("batches", values.batches))
    if few >= many:
        raise UsageError(f"--batches: expected {BATCHES.words}, got {values.batches}")
    if not CLEAR.exists():
        raise UsageError("memory: expected a Linux system, whose /proc tells a process's peak, found none")
    ctypes.CDLL(None).mallopt(MMAP_THRESHOLD, SMALL)
    gradient, planned = made(values)
    shape = (values.image_size, values.image_size, 3)
    peaks = [peak(gradient, count, shape) for count in (1, few, many)][1:]
    measured = round((peaks[1] - peaks[0]) / (many - few))
    return {"planned": round(planned), "measured": measured, "ratio": round(planned / measured, 3), "peaks": peaks}


def made(values):
    """(function of a batch of images that computes the gradient, the planned bytes an image)."""
    import keras
    import tensorflow as tf

    from mpl_tf import models
    from mpl_tf.step.network import Learner
    from mpl_tf.step.optimizer import SGD

    from .._plan import activations, answer, estimate

    keras.config.set_dtype_policy(values.precision)
    network = models.build(values.model, (values.image_size, values.image_size, 3), values.num_classes)
    learner = Learner(network, SGD(0.1, momentum=0.9), 0.0, 0.0, 1, remat=values.remat)
    weights = learner.weights()

    @tf.function(autograph=False, input_signature=[tf.TensorSpec([None, *network.input_shape[1:]])])
    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(weights)
            (z,), _ = learner.forward(weights, [x])
        return [tf.reduce_sum(g) for g in learner.backward(tape, [z], weights, [tf.ones_like(z)])]

    size = answer.SIZES[values.precision]
    each = activations.of_image(estimate.describe(network), 1, size, values.remat)
    return gradient, each.held + each.worked


def peak(gradient, count, shape):
    """Bytes that the process takes at most during a gradient of so many images."""
    images = np.random.default_rng(0).normal(size=(count, *shape)).astype("float32")
    ctypes.CDLL(None).malloc_trim(0)
    CLEAR.write_text("5")  # The peak starts anew.
    gradient(images)
    (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
    return 1024 * int(line.split()[1])


if __name__ == "__main__":
    sys.exit(main())
