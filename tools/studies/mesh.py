"""A mesh beside one device: the same steps on both, how far their numbers differ, and what each device holds.

    python -m tools.mesh
    python -m tools.mesh --mesh=replica:1,core:16 --width=1 --stages=7 --height=64 --columns=512

Prints JSON: the largest relative difference of each logged quantity and of the weights, slots and averages; bytes a
device against the whole; seconds of the first and a later step. With --rounding also the differences of one device and
itself, its weights a rounding error away: no mesh need agree better. With --exchange also whether the checkpoints of
the mesh, of --exchange and of one device restore one another.
"""

import dataclasses
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from mpl_tf.base import quiet
from mpl_tf.settings.config import Config
from mpl_tf.settings.fields import flag, like

from .. import _command
from .compare import CLASSES, difference, flat, noise, parts_first


@dataclasses.dataclass(frozen=True)
class Flags:
    """Flags of the comparison: the mesh, the step as mpl_tf.main has it, and the network, small enough for a laptop."""

    mesh: str = like(Config, "mesh", "replica:1,core:4", text="replica:R,core:S", topic="The mesh")
    exchange: str = flag("another mesh of as many devices to exchange checkpoints with; empty: none", "")
    remat: str = like(Config, "remat", "none")
    rounding: bool = flag("also what rounding does to one device alone", False)
    method: str = like(
        Config, "method", "mpl", text="training method", choices=("supervised", "uda", "mpl"), topic="The step"
    )
    feedback: str = like(Config, "feedback", "taylor")
    precision: str = like(Config, "precision", "float32")
    clip_norm: float = like(Config, "clip_norm", 5.0)
    accumulate: int = like(Config, "accumulate", 1)
    balance_weight: float = like(Config, "balance_weight", 0.0)
    batch: int = flag("labeled images a step, and as many unlabeled ones", 4, unit="images", low=1)
    steps: int = flag("steps to compare; 0: the bytes alone", 5, unit="steps", low=0)
    network: str = flag(
        "kind of network", "efficientnet", choices=("efficientnet", "resnet"), topic="The network and its images"
    )
    width: float = flag("factor of its channels", 0.25)
    stages: int = flag("its first stages (efficientnet has 7, resnet 4)", 1, low=1, high=7)
    repeats: int = flag("most blocks of a stage", 10, low=1)
    height: int = flag("of the images", 32, unit="pixels", low=32)
    columns: int = flag("width of the images", 64, unit="pixels", low=32)


COMMAND = _command.Command("mesh", __doc__, (Flags,))


def main(argv=None):
    """Compare; returns the exit status."""
    return COMMAND.run(argv, _report)


def _report(values):
    quiet.import_tensorflow(start=False)
    _command.show_figures(compare(values))


def compare(values):
    """Train on the mesh and on one device from the same weights and batches; see the module.

    Returns:
        dict for JSON.
    """
    import keras
    import tensorflow as tf

    from mpl_tf.devices.choice import make_devices

    # Two methods alike, one on the mesh: the same networks, batches and seeds.
    devices = make_devices("dtensor", values.mesh, values.remat)
    keras.config.set_dtype_policy(values.precision)
    one, meshed = make(values), make(values, devices)
    step = tf.function(one.train_step, autograph=False)
    seconds, differences = [], {}
    for batch in batches(values):
        expected = on_device(step, parts_first(batch, meshed.devices.replicas, values.accumulate))
        started = time.perf_counter()
        got = meshed.make_train_function()(iter([batch]))
        seconds.append(time.perf_counter() - started)
        widen(differences, expected, got)
    result = {
        "differences": differences,
        "variables": {part: worst(one.state()[part], variables) for part, variables in meshed.state().items()},
        "bytes": held(meshed),
        "first_step_seconds": round(seconds[0], 2) if seconds else None,
        "later_step_seconds": round(float(np.median(seconds[1:])), 3) if seconds[1:] else None,
    }
    if values.rounding:
        result["rounding"] = rounding(values)
    if values.exchange:
        result["exchanged"] = exchange(values, one, meshed)
    return result


def on_device(step, batch):
    """A step on one device, of a batch of numpy arrays."""
    import tensorflow as tf

    with tf.device("CPU:0"):
        return step(tf.nest.map_structure(tf.constant, batch))


def widen(differences, expected, got):
    """Raise each quantity's largest difference so far to that of these steps."""
    for name, value in expected.items():
        differences[name] = max(differences.get(name, 0.0), difference(value.numpy(), got[name]))


def rounding(values):
    """What float32 allows: the differences of one device to itself, its weights moved by 1e-7 of each at the start."""
    import tensorflow as tf

    random, differences = np.random.default_rng(1), {}
    methods = [make(values) for _ in range(2)]
    # The second starts a rounding error away from the first.
    weights = [weight for part in ("network", "teacher", "student") for weight in methods[1].state().get(part, [])]
    for weight in weights:
        if "float" in str(weight.dtype):
            weight.assign(weight.numpy() * (1 + 1e-7 * random.normal(size=weight.shape)).astype("float32"))
    steps = [tf.function(method.train_step, autograph=False) for method in methods]
    for batch in batches(values):
        widen(differences, *(on_device(step, batch) for step in steps))
    one, other = (method.state() for method in methods)
    return differences | {part: worst(one[part], other[part]) for part in one}


def make(values, devices=None):
    """The method with new networks of seed 0, on these devices; on one if None."""
    import keras

    from mpl_tf.devices import distribute
    from mpl_tf.methods.mpl import MetaPseudoLabels
    from mpl_tf.methods.supervised import Supervised
    from mpl_tf.methods.uda import UDA
    from mpl_tf.step.optimizer import SGD

    keras.utils.set_random_seed(0)
    rates = {"ema_decay": 0.9}
    objective = {"uda_ramp_steps": 0, "uda_weight": 1.0, "uda_threshold": 0.0}
    objective["balance_weight"] = values.balance_weight
    optimizers = {"optimizer": SGD(0.05, momentum=0.9, nesterov=True)}
    with (devices or distribute.current()).scope():
        if values.method == "mpl":
            exact = values.feedback == "exact"
            forms = {"feedback_scale": "sum", "pseudo_labels": "soft"} if exact else {"pseudo_labels": "sampled"}
            networks = (build(values), build(values))
            method = MetaPseudoLabels(*networks, feedback=values.feedback, **forms, **objective, **rates)
            optimizers["teacher_optimizer"] = SGD(0.05, momentum=0.9, nesterov=True)
        else:
            kind, options = (Supervised, {}) if values.method == "supervised" else (UDA, objective)
            method = kind(build(values), **options, **rates)
        how = {"accumulate": values.accumulate, "remat": "block" if values.remat == "block" and devices else "none"}
        method.compile(**optimizers, **how, weight_decay=1e-4, clip_norm=values.clip_norm)
        return method.devices.place(method)


def build(values):
    """The network: the first stages of an EfficientNet or a ResNet, narrowed."""
    from mpl_tf.devices import distribute
    from mpl_tf.models import efficientnet, resnet

    shape = (values.height, values.columns, 3)
    layers = distribute.current().layers

    def network(**layers):
        if values.network == "efficientnet":
            blocks = [(*block, min(count, values.repeats)) for *block, count in efficientnet.BLOCKS[: values.stages]]
            return efficientnet.efficientnet("part", values.width, 1.0, shape, CLASSES, blocks=blocks, **layers)
        stages = resnet.STAGES[: values.stages]
        stages = [(int(width * values.width), min(count, values.repeats)) for width, count in stages]
        return resnet.resnet_50(shape, CLASSES, stages=stages, stem=int(resnet.STEM * values.width), **layers)

    made = network(**({"layers": layers} if layers else {}))
    if layers:  # The same network of ordinary layers, as models.build leaves it.
        made.twin = network
    return made


def batches(values):
    """The steps' batches, numpy, of normal noise."""
    random = np.random.default_rng(0)
    shape = (values.height, values.columns, 3)
    for _ in range(values.steps):
        yield noise(random, shape, values.batch, values.batch)


def worst(expected, variables):
    """`difference` of all float variables of a part, as one vector."""
    return difference(flat(map(whole, expected)), flat(map(whole, variables)))


def held(method):
    """Bytes of weights, slots and averages: in all, and the largest that a device holds, from its component tensors."""
    from tensorflow.experimental import dtensor

    variables = [v for part, group in method.state().items() if part != "counters" for v in group]
    whole = sum(int(np.prod(v.whole_shape)) * v.value.dtype.size for v in variables)
    pieces = [[piece.numpy().nbytes for piece in dtensor.unpack(v.value.read_value())] for v in variables]
    return {"whole": whole, "device": max(map(sum, zip(*pieces, strict=True)))}


def exchange(values, one, meshed):
    """Whether checkpoints restore exactly from the mesh to another and to one device, and back."""
    from mpl_tf.devices.choice import make_devices
    from mpl_tf.run.checkpoints import Checkpoints

    other = make(values, make_devices("dtensor", values.exchange, values.remat))
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        routes = {"mesh_to_other": (meshed, other), "other_to_one": (other, one), "one_to_mesh": (one, meshed)}
        for name, (source, target) in routes.items():
            Checkpoints(source, Path(folder) / name, 2).save(1, 0.0)
            clear(target)
            Checkpoints(target, Path(folder) / name, 2).restore()
            results[name] = all(
                np.array_equal(whole(a), whole(b))
                for part, variables in source.state().items()
                for a, b in zip(variables, target.state()[part], strict=True)
            )
    return results


def whole(variable):
    """A variable's values in their own shape, numpy."""
    return variable.value.whole() if hasattr(variable.value, "whole") else variable.numpy()


def clear(method):
    """Set all of a method's variables to zero."""
    import tensorflow as tf

    for variables in method.state().values():
        for variable in variables:
            variable.value.assign(tf.zeros_like(variable.value))


if __name__ == "__main__":
    sys.exit(main())
