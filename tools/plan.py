"""Whether a run fits its machines and how long it takes, before there are any: bytes a core, FLOPs and time of a step.

    python -m tools.plan --model=efficientnet_l2 --mesh=replica:128,core:16 --image_size=512 --labeled_batch=2048 --mu=8

Prints two columns, with and without --remat, of the memory of one core of the mesh; `--json` has the same numbers.
Weights, slots and averages are those that a mesh holds; the rest is an estimate from shapes (_plan/estimate.py) which
leaves out the compiler's own buffers, and the time is the operations at the utilisation that is given.
"""

import dataclasses
import sys

from mpl_tf.base import quiet
from mpl_tf.base.errors import UsageError
from mpl_tf.settings.catalogue import METHODS
from mpl_tf.settings.config import Config
from mpl_tf.settings.fields import flag, like

from . import _command

GIB = 2**30
ON_MESH = tuple(row.name for row in METHODS.values() if row.mesh)
SIZES = {"float32": 4, "mixed_bfloat16": 2, "mixed_float16": 2}


@dataclasses.dataclass(frozen=True)
class Flags:
    """Flags of the planner: those of the run as mpl_tf.main has them, and the machine's."""

    model: str = like(Config, "model", topic="The run")
    mesh: str = like(Config, "mesh", text="replica:R,core:S; images are split in width and weights over S cores")
    image_size: int = like(Config, "image_size", 224)
    num_classes: int = flag("classes", 1000, low=2)
    labeled_batch: int = like(Config, "labeled_batch", 2048)
    mu: int = like(Config, "mu", 8)
    method: str = like(Config, "method", "mpl", text="training method", choices=ON_MESH)
    feedback: str = like(Config, "feedback", "taylor")
    teacher_passes: str = like(Config, "teacher_passes", "joint")
    precision: str = like(Config, "precision", "mixed_bfloat16")
    average: bool = flag("whether the student's weights are averaged", True)
    train_steps: int = like(Config, "train_steps", 0, text="steps of the run, for its length; 0: not told", low=0)
    core_memory: float = flag(
        "memory of a core", 16.0, unit="GiB", low=0, source="TPU v3: 16", topic="The machine and the answer"
    )
    peak_flops: float = flag("operations of a core", 6.15e13, unit="1/s", low=1, source="TPU v3: 6.15e13")
    utilisation: float = flag("share of the peak that is reached", 0.3, low=0.001, high=1)
    json: str = like(_command.Figures, "json", "")


COMMAND = _command.Command("plan", __doc__, (Flags,))


def main(argv=None):
    """Plan; returns the exit status."""
    return COMMAND.run(argv, _report)


def _report(values):
    quiet.import_tensorflow()
    report = plan(values)
    _print(values, report)
    _command.write_json(values.json, report)


def plan(values):
    """The figures of a run.

    Args:
        values: the flags.
    Returns:
        dict: weights, replicas, cores, images a replica holds at once; bytes a core by use, without and with remat,
        their sums and whether they fit; flops and seconds a step.
    Raises:
        UsageError: a mesh that is none, or that the batch or the images do not divide by.
    """
    from mpl_tf.devices.mesh.grid import mesh_size

    from ._plan import estimate

    replicas, cores = mesh_size(values.mesh)
    if values.labeled_batch % replicas:
        raise UsageError(f"--labeled_batch: expected a multiple of {replicas} replicas, got {values.labeled_batch}")
    network = estimate.build(values.model, values.image_size, values.num_classes, values.mesh)
    labeled = values.labeled_batch // replicas
    held, cost = estimate.passes(values.method, values.feedback, values.teacher_passes, labeled, values.mu)
    report = {"model": values.model, "weights": network.count, "replicas": replicas, "cores": cores}
    report["images_held"] = held
    for name, remat in (("kept", False), ("remat", True)):
        if remat and values.feedback == "exact" and "feedback" in METHODS[values.method].options:
            continue  # A second derivative does not go through what is computed again.
        size = SIZES[values.precision]
        parts = estimate.memory(network, cores, values.method, held, size, values.average, remat)
        total = sum(parts.values())
        report[name] = {"bytes": parts, "total": total, "fits": total <= values.core_memory * GIB}
        # What is made again costs the forward pass of every image that has a gradient once more: a third of the rest.
        flops = network.flops * cost * replicas * (4 / 3 if remat else 1)
        seconds = flops / (replicas * cores * values.peak_flops * values.utilisation)
        report[name] |= {"flops": flops, "seconds_per_step": seconds}
    return report


def _print(values, report):
    columns = {"kept": "without --remat", "remat": "with --remat"}
    shown = {name: title for name, title in columns.items() if name in report}
    print(
        f"{report['model']}: {report['weights'] / 1e6:.1f} M weights; images {values.image_size} x {values.image_size} "
        f"over {report['cores']} cores; {values.labeled_batch // report['replicas']} labeled images a replica of "
        f"{report['replicas']}, {report['images_held']} in the passes held at once\n"
    )
    _row("a core, GiB", shown.values())
    _row("---", ["---"] * len(shown))
    for part in report["kept"]["bytes"]:
        _row(part, [f"{report[name]['bytes'][part] / GIB:.3f}" for name in shown])
    _row("in all", [f"{report[name]['total'] / GIB:.3f}" for name in shown])
    fits = [("yes" if report[name]["fits"] else "no") for name in shown]
    _row(f"fits {values.core_memory:g} GiB", fits)
    _row("FLOPs a step, all cores", [f"{report[name]['flops']:.3g}" for name in shown])
    share = f"{100 * values.utilisation:g} % of {values.peak_flops:.3g} FLOPs/s a core"
    _row(f"seconds a step at {share}", [f"{report[name]['seconds_per_step']:.3g}" for name in shown])
    if values.train_steps:
        days = [report[name]["seconds_per_step"] * values.train_steps / 86400 for name in shown]
        _row(f"days for {values.train_steps:,} steps", [f"{length:.3g}" for length in days])


def _row(name, cells):
    print("| " + " | ".join([name, *cells]) + " |")


if __name__ == "__main__":
    sys.exit(main())
