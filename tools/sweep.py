"""One configuration over many seeds in one process: imports, decoding, the tracing of the step are paid once.

    python -m tools.sweep --seeds=0-19 --output=runs/mpl -- --dataset=digits_50 --method=mpl

OUTPUT/seedK holds what `python -m mpl_tf.main` with --seed=K leaves, to the bit; a finished seed is not run again, one
that was cut off goes on. Ends at the first seed that fails, with its line and its exit status.
"""

import dataclasses
import os
import sys

from mpl_tf import main as program
from mpl_tf.base import files, kept, storage
from mpl_tf.base.errors import UsageError
from mpl_tf.settings.fields import flag

from . import _command
from ._ablation.control_names import CONTROLS

OWN = ("seed", "workdir", "config", "mode")  # Flags of the program that a sweep sets itself, or cannot serve.


@dataclasses.dataclass(frozen=True)
class Flags:
    """Flags of the sweep itself, before the `--`."""

    output: str = flag("folder of the seeds' folders, or a URL")
    seeds: str = flag("first-last, or a list: 0,3,7", "0-4")
    control: str = flag(
        "train this control of mpl's exact feedback in its place: what the teacher is told instead; empty: none",
        "",
        choices={"": "mpl itself"} | CONTROLS,
    )
    core: int = flag("core to stay on; -1: all", -1, low=-1)


COMMAND = _command.Command("sweep", __doc__, (Flags,), others=_command.Others.AFTER_DASHES, urls=("output",))


def main(argv=None):
    """Run a sweep; returns the exit status."""
    return COMMAND.run(argv, _sweep)


def _sweep(values, arguments):
    """The runs, seed after seed; the first status that is not 0, else 0."""
    seeds = parse_seeds(values.seeds)
    _refuse_own(arguments)
    _mark(storage.path(values.output), values.control)
    _pin(values.core)
    make = Traced(values.control)
    with kept.between_runs():
        for seed in seeds:
            workdir = storage.join(values.output, f"seed{seed}")
            status = program.main([*arguments, f"--seed={seed}", f"--workdir={workdir}"], make)
            if status:
                return status
    return 0


class Traced:
    """Makes the first method of a sweep, and hands that same one out for each later seed, as new.

    The step's graph depends on no seed: a method keeps its own in a variable.

    Args:
        control: name of a control to make in the method's place; empty: none.
    """

    def __init__(self, control=""):
        self.control, self.method, self.stretches = control, None, None

    def __call__(self, config, shape, num_classes, stretches, **facts):
        """As methods.make; all calls must differ in config.seed, config.workdir and stretches alone.

        Raises:
            UsageError: a control, and a method that is not mpl with exact feedback.
        """
        from mpl_tf import methods

        kind = None
        if self.control:
            from ._ablation import controls

            if config.method != "mpl":
                raise UsageError(f"--control: controls are of --method=mpl, got --method={config.method}")
            kind = controls.FORMS[self.control]
        # Seeds that were made longer at different steps have schedules of their own.
        fresh = methods.make(config, shape, num_classes, stretches=stretches, **facts, kind=kind)
        if self.method is None or self.stretches != stretches:
            self.method, self.stretches = fresh, stretches
        old, new = self.method.state(), fresh.state()
        for role in old:
            for variable, value in zip(old[role], new[role], strict=True):
                variable.assign(value)
        return self.method


def parse_seeds(text):
    """'0-4' or '0,3,7' as a list of int.

    Raises:
        UsageError: neither of these.
    """
    try:
        first, dash, last = text.partition("-")
        return list(range(int(first), int(last) + 1)) if dash else [int(part) for part in text.split(",")]
    except ValueError as error:
        raise UsageError(f"--seeds: expected first-last or a list like 0,3,7, got {text}") from error


def _refuse_own(arguments):
    """Refuse flags of the program that a sweep sets itself."""
    given = {argument.lstrip("-").partition("=")[0] for argument in arguments}
    for name in OWN:
        if name in given:
            raise UsageError(f"--{name}: not to be given after `--`; a sweep trains --seeds into --output")


def _mark(output, control):
    """Note whose control the runs of a folder are, as their own files name mpl; refuse those of another one."""
    path = output / "control.txt"
    found = storage.read_bytes(path).decode().strip() if storage.exists(path) else ""
    if found != control and any(name.startswith("seed") for name in storage.names(output)):
        raise UsageError(
            f"--output: {output} holds runs of {f'the control {found}' if found else 'mpl itself'}; give another "
            f"--output, or {f'--control={found}' if found else 'no --control'}"
        )
    if control:
        files.write_text(path, f"{control}\n")


def _pin(core):
    """Stay on one core; before TensorFlow counts them."""
    if core < 0:
        return
    allowed = os.sched_getaffinity(0)
    if core not in allowed:
        raise UsageError(f"--core: expected one of {', '.join(map(str, sorted(allowed)))}, got {core}")
    os.sched_setaffinity(0, {core})


if __name__ == "__main__":
    sys.exit(main())
