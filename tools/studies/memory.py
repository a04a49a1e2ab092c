"""What a gradient takes of memory on this machine's processor or GPU, beside what tools.plan says it takes.

    python -m tools.studies.memory
    python -m tools.studies.memory --remat=block --image_size=512 --batches=2,6
    python -m tools.studies.memory --image_size=256 --mesh=replica:1,core:2 --remat=layer

The peak of the process's memory during a supervised gradient, beyond what it had before, at two batches; their
difference, an image, is that of the activations. TensorFlow's own allocator for processors keeps chunks of what was
asked for before, half used or not at all (a third of EfficientNet-B0's blocks); here it passes all on to the system,
which takes back what is freed. The devices of a mesh are one processor's and have one memory: each is given an equal
part of it, as each does the same. Where TensorFlow finds a GPU and no --mesh is given, the peak is that of its own
allocator on the first GPU.
Prints JSON. Needs Linux.
"""

import ctypes
import dataclasses
import math
import os
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
GPU = "GPU:0"
ALLOCATOR = "TF_ONEDNN_USE_SYSTEM_ALLOCATOR"  # TensorFlow's variable.


@dataclasses.dataclass(frozen=True)
class Flags:
    """Flags of the measurement."""

    model: str = like(Config, "model", "efficientnet_b0", topic="The network and its images")
    image_size: int = like(Config, "image_size", 224)
    num_classes: int = flag("classes", 1000, low=2)
    mesh: str = like(Config, "mesh", "", text="replica:R,core:S; empty: one device")
    remat: str = like(Config, "remat", "none")
    precision: str = like(Config, "precision", "float32", choices=("float32", "mixed_bfloat16"))
    batches: str = flag("images of the two gradients that are compared", "8,24", form=BATCHES)


COMMAND = _command.Command("memory", __doc__, (Flags,))


def main(argv=None):
    """Measure; returns the exit status."""
    return COMMAND.run(argv, _report)


def _report(values):
    os.environ[ALLOCATOR] = "1"
    quiet.import_tensorflow(start=not values.mesh)
    if values.mesh:
        _a_thread_each(values.mesh)
    _command.show_figures(measure(values))


def _a_thread_each(mesh):
    """A thread for each of its devices: on fewer they take turns and are never at their largest together, on more a
    device works on several layers at once."""
    import tensorflow as tf

    from mpl_tf.devices.mesh.grid import mesh_size

    tf.config.threading.set_inter_op_parallelism_threads(math.prod(mesh_size(mesh)))


def measure(values):
    """Bytes a core for an image of a replica, planned and measured.

    Returns:
        {"planned", "measured", "ratio": of the first to the second, "peaks": of the process at the two batches, beyond
        what it had before}. Right where TensorFlow was started so that it keeps no chunks, as the command does.
    Raises:
        UsageError: batches that do not grow, --remat=layer without a mesh, or a system without /proc.
    """
    few, many = map(int, BATCHES.read("batches", values.batches))
    if few >= many:
        raise UsageError(f"--batches: expected {BATCHES.words}, got {values.batches}")
    if values.remat == "layer" and not values.mesh:
        raise UsageError("--remat: layer goes with --mesh, got none; give --remat=block")
    if not CLEAR.exists():
        raise UsageError("memory: expected a Linux system, whose /proc tells a process's peak, found none")
    ctypes.CDLL(None).mallopt(MMAP_THRESHOLD, SMALL)
    gradient, lay, planned, cores = made(values)
    shape = (values.image_size, values.image_size, 3)
    peaks = [peak(gradient, lay, count, shape) for count in (few, many)]
    # R replicas have an R-th of the images and of the memory each, S cores an S-th of the memory.
    measured = round((peaks[1] - peaks[0]) / (many - few) / cores)
    return {"planned": round(planned), "measured": measured, "ratio": round(planned / measured, 3), "peaks": peaks}


def made(values):
    """What is measured.

    Returns:
        (function of a batch that computes the gradient, function of images float32 [B, H, W, 3] -> that batch, the
        planned bytes a core for an image, cores of a replica).
    """
    import keras
    import tensorflow as tf

    from mpl_tf import models
    from mpl_tf.devices.choice import make_devices
    from mpl_tf.methods.supervised import Supervised
    from mpl_tf.step.optimizer import SGD

    from .._plan import activations, answer, estimate

    keras.config.set_dtype_policy(values.precision)
    devices = make_devices("dtensor" if values.mesh else "one", values.mesh, values.remat)
    grid = getattr(devices, "grid", None)
    cores = grid.cores if grid else 1
    arguments = values.model, (values.image_size, values.image_size, 3), values.num_classes
    with devices.scope():
        method = Supervised(models.build(*arguments, layers=devices.layers), ema_decay=0.0)
        method.compile(SGD(0.1, momentum=0.9), remat="block" if values.remat == "block" else "none")
        devices.place(method)
    learner = method.student

    # A mesh asks for batches of known size, one device traces the gradient once.
    signature = None if grid else [tf.TensorSpec([None, *arguments[1]])]

    @tf.function(autograph=False, input_signature=signature)
    def gradient(x):
        with devices.scope():
            weights = learner.weights()
            with tf.GradientTape() as tape:
                tape.watch(weights)
                (z,), _ = learner.forward(weights, [x])
            found = learner.backward(tape, [z], weights, [tf.ones_like(z)])
            return devices.dot(found, found)

    size = answer.SIZES[values.precision]
    with tf.Graph().as_default():
        whole = estimate.describe(models.build(*arguments))
    each = activations.of_image(whole, cores, size, values.remat)
    return gradient, grid.put_images if grid else tf.constant, each.held + each.worked, cores


def peak(gradient, lay, count, shape):
    """Bytes that the process, or the GPU, takes at most in a gradient of so many images, beyond what it had before."""
    import tensorflow as tf

    batch = lay(np.random.default_rng(0).normal(size=(count, *shape)).astype("float32"))
    float(gradient(batch))  # The first time it is traced as well.
    if "GPU" in batch.device:
        tf.config.experimental.reset_memory_stats(GPU)
        before = tf.config.experimental.get_memory_info(GPU)["current"]
        float(gradient(batch))
        return tf.config.experimental.get_memory_info(GPU)["peak"] - before
    ctypes.CDLL(None).malloc_trim(0)
    CLEAR.write_text("5")  # The peak starts anew.
    # What there is already is not the gradient's: traced programs, of which a mesh has one for each size of batch.
    before = _told("VmRSS")
    float(gradient(batch))
    return _told("VmHWM") - before


def _told(name):
    """Bytes that the system tells of this process under a name."""
    (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith(name + ":"))
    return 1024 * int(line.split()[1])


if __name__ == "__main__":
    sys.exit(main())
