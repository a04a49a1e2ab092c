"""A mesh beside one device: the same steps on both, how far their numbers differ, and what each device holds.

    python -m tools.studies.mesh --mesh=replica:1,core:16 --network=efficientnet --stages=7 --height=64 --columns=512

Prints JSON: the largest relative difference of each logged quantity and of the weights, slots and averages; bytes a
device against the whole; seconds of the first and a later step. With --rounding also the differences of one device and
itself, its weights a rounding error away: no mesh need agree better. With --exchange also whether the checkpoints of
the mesh, of --exchange and of one device restore one another.
"""

import contextlib
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from absl import flags

from mpl_tf.base import quiet
from mpl_tf.base.errors import UsageError

CLASSES = 10


def main(argv=None):
    """Compare; returns the exit status."""
    values = flags.FlagValues()
    flags.DEFINE_string("mesh", "replica:1,core:4", "replica:R,core:S", flag_values=values)
    flags.DEFINE_string("exchange", "", "another mesh of as many devices to exchange checkpoints", flag_values=values)
    flags.DEFINE_enum("network", "efficientnet", ["efficientnet", "resnet"], "kind of network", flag_values=values)
    flags.DEFINE_float("width", 1.0, "factor of its channels", flag_values=values)
    flags.DEFINE_integer("stages", 7, "its first stages (efficientnet: 7, resnet: 4)", 1, 7, flag_values=values)
    flags.DEFINE_integer("repeats", 10, "most blocks of a stage", 1, flag_values=values)
    flags.DEFINE_integer("height", 32, "of the images, pixels", 32, flag_values=values)
    flags.DEFINE_integer("columns", 64, "width of the images, pixels", 32, flag_values=values)
    flags.DEFINE_integer("batch", 4, "labeled images; as many unlabeled ones", 1, flag_values=values)
    flags.DEFINE_enum("method", "mpl", ["supervised", "uda", "mpl"], "training method", flag_values=values)
    flags.DEFINE_enum("feedback", "taylor", ["off", "taylor", "dot_product", "exact"], "of mpl", flag_values=values)
    flags.DEFINE_string("precision", "float32", "Keras' dtype policy", flag_values=values)
    flags.DEFINE_bool("remat", False, "gather again in the backward pass", flag_values=values)
    flags.DEFINE_bool("rounding", False, "also what rounding does to one device alone", flag_values=values)
    flags.DEFINE_integer("steps", 5, "steps to compare; 0: the bytes alone", 0, flag_values=values)
    try:
        values(["mesh", *(sys.argv[1:] if argv is None else argv)])
        quiet.import_tensorflow(start=False)
        print(json.dumps(compare(values), indent=2))
    except (flags.Error, UsageError) as error:
        print(f"mesh: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


def compare(values):
    """Train on the mesh and on one device from the same weights and batches; see the module.

    Returns:
        dict for JSON.
    """
    import keras
    import tensorflow as tf

    from mpl_tf.devices import mesh as sharding

    grid = sharding.make_grid(values.mesh, values.remat)
    keras.config.set_dtype_policy(values.precision)
    one, meshed = make(values), make(values, grid)
    step = tf.function(one.train_step, autograph=False)
    seconds, differences = [], {}
    for batch in batches(values):
        expected = on_device(step, batch)
        started = time.perf_counter()
        got = meshed.train_function(iter([batch]))
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
    weights = [weight for part in ("network", "teacher", "student") for weight in methods[1].state().get(part, [])]
    for weight in weights:
        if "float" in str(weight.dtype):
            weight.assign(weight.numpy() * (1 + 1e-7 * random.normal(size=weight.shape)).astype("float32"))
    steps = [tf.function(method.train_step, autograph=False) for method in methods]
    for batch in batches(values):
        widen(differences, *(on_device(step, batch) for step in steps))
    one, other = (method.state() for method in methods)
    return differences | {part: worst(one[part], other[part]) for part in one}


def flat(arrays):
    """Those of floats as one vector."""
    return np.concatenate([array.ravel() for array in arrays if array.dtype.kind == "f"])


def make(values, grid=None):
    """The method with new networks of seed 0, on the grid if there is one."""
    import keras

    from mpl_tf.devices import mesh as sharding
    from mpl_tf.methods.mpl import MetaPseudoLabels
    from mpl_tf.methods.supervised import Supervised
    from mpl_tf.methods.uda import UDA
    from mpl_tf.step.optimizer import SGD

    keras.utils.set_random_seed(0)
    rates = {"ema_decay": 0.9}
    objective = {"uda_ramp_steps": 0, "uda_weight": 1.0, "uda_threshold": 0.0}
    optimizers = {"optimizer": SGD(0.05, momentum=0.9, nesterov=True)}
    with grid.scope() if grid else contextlib.nullcontext():
        if values.method == "mpl":
            exact = values.feedback == "exact"
            forms = {"feedback_scale": "sum", "pseudo_labels": "soft"} if exact else {"pseudo_labels": "sampled"}
            networks = (build(values, grid), build(values, grid))
            method = MetaPseudoLabels(*networks, feedback=values.feedback, **forms, **objective, **rates)
            optimizers["teacher_optimizer"] = SGD(0.05, momentum=0.9, nesterov=True)
        else:
            kind, options = (Supervised, {}) if values.method == "supervised" else (UDA, objective)
            method = kind(build(values, grid), **options, **rates)
        method.compile(**optimizers, weight_decay=1e-4, clip_norm=5.0)
        return sharding.placed(method)


def build(values, grid):
    """The network: the first stages of an EfficientNet or a ResNet, narrowed."""
    from mpl_tf.devices import mesh as sharding
    from mpl_tf.models import efficientnet, resnet

    shape = (values.height, values.columns, 3)
    layers = {"layers": sharding.network_layers()} if grid else {}

    def network(**layers):
        if values.network == "efficientnet":
            blocks = [(*block, min(count, values.repeats)) for *block, count in efficientnet.BLOCKS[: values.stages]]
            return efficientnet.efficientnet("part", values.width, 1.0, shape, CLASSES, blocks=blocks, **layers)
        stages = resnet.STAGES[: values.stages]
        stages = [(int(width * values.width), min(count, values.repeats)) for width, count in stages]
        return resnet.resnet_50(shape, CLASSES, stages=stages, stem=int(resnet.STEM * values.width), **layers)

    made = network(**layers)
    if grid:
        made.twin = network
    return made


def batches(values):
    """The steps' batches, numpy, of normal noise."""
    random = np.random.default_rng(0)
    shape = (values.height, values.columns, 3)
    for _ in range(values.steps):
        yield noise(random, shape, values.batch, values.batch)


def noise(random, shape, labeled, unlabeled):
    """A batch as the pipeline makes it, dict of numpy arrays: images of normal noise, random labels."""
    sizes = {"x_l": labeled, "x_u_weak": unlabeled, "x_u_strong": unlabeled}
    images = {key: random.normal(size=(count, *shape)).astype("float32") for key, count in sizes.items()}
    return images | {"y_l": random.integers(0, CLASSES, labeled).astype("int32")}


def difference(expected, got):
    """Norm of the difference over the norm of the expected."""
    expected, got = np.asarray(expected, "float64"), np.asarray(got, "float64")
    return float(np.linalg.norm(got - expected) / max(np.linalg.norm(expected), 1e-12))


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
    from mpl_tf.devices import mesh as sharding
    from mpl_tf.run.checkpoints import Checkpoints

    other = make(values, sharding.make_grid(values.exchange, values.remat))
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
