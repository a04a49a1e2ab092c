"""Whether a run fits its machines and how long it takes, before there are any: bytes a core, FLOPs and time of a step.

    python -m tools.plan --model=efficientnet_l2 --mesh=replica:128,core:16 --image_size=512 --labeled_batch=2048 --mu=8

    python -m tools.plan --model=resnet_50 --mesh=replica:8,core:1 --labeled_batch=1024 --mu=15 --device=all

Prints a column for each form of --remat: the memory of one core, whether it fits --device and else what does, the
smallest change first; `--device=all` a line a device. `--json` has the same numbers. Weights, slots and averages are
those that a run holds; the rest is an estimate from shapes (_plan/) at the moment when a step takes most, which
docs/devices.md has beside measurements; the time is the operations at the utilisation that is given.
"""

import dataclasses
import sys

from mpl_tf.base import quiet
from mpl_tf.base.errors import UsageError
from mpl_tf.settings.catalogue import METHODS
from mpl_tf.settings.config import Config
from mpl_tf.settings.fields import flag, like

from . import _command
from ._plan import machines

ON_MESH = tuple(row.name for row in METHODS.values() if row.mesh)
FORMS = Config.__dataclass_fields__["remat"].metadata["choices"]


@dataclasses.dataclass(frozen=True)
class Flags:
    """Flags of the planner: those of the run as mpl_tf.main has them, and the machine's."""

    model: str = like(Config, "model", topic="The run")
    mesh: str = like(
        Config,
        "mesh",
        text="replica:R,core:S; images are split in width and weights over S cores; with core:1 whole devices, as of "
        "--strategy=mirrored",
    )
    image_size: int = like(Config, "image_size", 224)
    num_classes: int = flag("classes", 1000, low=2)
    labeled_batch: int = like(Config, "labeled_batch", 2048)
    mu: int = like(Config, "mu", 8)
    method: str = like(Config, "method", "mpl", text="training method", choices=ON_MESH)
    feedback: str = like(Config, "feedback", "taylor")
    teacher_passes: str = like(Config, "teacher_passes", "joint")
    accumulate: int = like(Config, "accumulate", 1)
    precision: str = like(Config, "precision", "mixed_bfloat16")
    average: bool = flag("whether the student's weights are averaged", True)
    train_steps: int = like(Config, "train_steps", 0, text="steps of the run, for its length; 0: not told", low=0)
    device: str = flag(
        "card or TPU type; all: each, a line of a table",
        "v3",
        choices=(*machines.MACHINES, machines.ALL),
        topic="The machine and the answer",
    )
    core_memory: float = flag("memory of a core; 0: that of --device", 0.0, unit="GiB", low=0)
    peak_flops: float = flag("operations of a core; 0: those of --device", 0.0, unit="1/s", low=0)
    usable: float = flag("share of the memory that the step gets; the rest is the system's", 0.9, low=0.01, high=1)
    utilisation: float = flag("share of the peak that is reached", 0.3, low=0.001, high=1)
    json: str = like(_command.Figures, "json", "")


COMMAND = _command.Command("plan", __doc__, (Flags,))


def main(argv=None):
    """Plan; returns the exit status."""
    return COMMAND.run(argv, _report)


def _report(values):
    quiet.import_tensorflow()
    from ._plan import answer

    report = plan(values)
    answer.show(values, report)
    _command.write_json(values.json, report)


def plan(values):
    """The figures of a run.

    Args:
        values: the flags.
    Returns:
        dict: weights, replicas, cores, labeled images of a replica; "forms", by form of --remat: bytes a core by use,
        their sum, flops a step; "devices", by name: memory that a step gets and, by form, whether it fits, the most
        labeled images of a replica that do, the least --accumulate with which the batch does, seconds a step.
    Raises:
        UsageError: a mesh that is none, or that the batch or the images do not divide by.
    """
    from mpl_tf.devices.mesh.grid import mesh_size

    from ._plan import answer, estimate

    replicas, cores = mesh_size(values.mesh)
    if values.labeled_batch % (replicas * values.accumulate):
        parts = f" x {values.accumulate} parts (--accumulate)" if values.accumulate > 1 else ""
        raise UsageError(
            f"--labeled_batch: expected a multiple of {replicas} replicas{parts}, got {values.labeled_batch}"
        )
    network = estimate.build(values.model, values.image_size, values.num_classes, values.mesh)
    report = {"model": values.model, "weights": network.count, "replicas": replicas, "cores": cores}
    report["labeled"] = values.labeled_batch // replicas
    forms = [form for form in FORMS if form != "layer" or cores > 1]
    report["forms"] = {form: answer.step(values, network, report, form, values.accumulate) for form in forms}
    report["devices"] = answer.on_devices(values, network, report)
    return report


if __name__ == "__main__":
    sys.exit(main())
