"""One configuration over many seeds in one process: imports and the tracing of the step are paid once.

    python -m tools.sweep --seeds=0-19 --output=runs/mpl -- --dataset=digits_50 --method=mpl

OUTPUT/seedK holds what `python -m mpl_tf.main` with --seed=K leaves, to the bit; a finished seed is not run again, one
that was cut off goes on. Ends at the first seed that fails, with its line and its exit status.
"""

import os
import sys
from pathlib import Path

from absl import flags

from mpl_tf import main as program
from mpl_tf.base.errors import UsageError

OWN = ("seed", "workdir", "config", "mode")  # Flags of the program that a sweep sets itself, or cannot serve.


def main(argv=None):
    """Run a sweep; returns the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    values = flags.FlagValues()
    flags.DEFINE_string("seeds", "0-4", "first-last, or a list: 0,3,7", flag_values=values)
    flags.DEFINE_string("output", None, "folder of the seeds' folders", flag_values=values)
    flags.DEFINE_integer("core", None, "core to stay on; all if not given", flag_values=values)
    try:
        own, arguments = _split(argv)
        rest = values(["sweep", *own])
        seeds = parse_seeds(values.seeds)
        _check(rest[1:], values.output, arguments)
        _pin(values.core)
    except (flags.Error, UsageError) as error:
        print(f"sweep: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    make = Traced()
    for seed in seeds:
        workdir = Path(values.output) / f"seed{seed}"
        status = program.main([*arguments, f"--seed={seed}", f"--workdir={workdir}"], make)
        if status:
            return status
    return 0


class Traced:
    """Makes the first method of a sweep, and hands that same one out for each later seed, as new.

    The step's graph depends on no seed: a method keeps its own in a variable.
    """

    def __init__(self):
        self.method = None

    def __call__(self, config, shape, num_classes):
        """As methods.make; all calls must differ in config.seed and config.workdir alone."""
        from mpl_tf import methods

        fresh = methods.make(config, shape, num_classes)
        if self.method is None:
            self.method = fresh
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


def _split(argv):
    """The sweep's own arguments, and those of the program after the `--`."""
    if "--" not in argv:
        raise UsageError("expected `--` between the sweep's flags and the program's, got none")
    place = argv.index("--")
    return argv[:place], argv[place + 1 :]


def _check(rest, output, arguments):
    if rest:
        raise UsageError(f"expected flags only before `--`, got {rest[0]!r}; write --name=value")
    if not output:
        raise UsageError("--output: expected the folder of the runs, got nothing")
    given = {argument.lstrip("-").partition("=")[0] for argument in arguments}
    for name in OWN:
        if name in given:
            raise UsageError(f"--{name}: not to be given after `--`; a sweep trains --seeds into --output")


def _pin(core):
    """Stay on one core; before TensorFlow counts them."""
    if core is None:
        return
    allowed = os.sched_getaffinity(0)
    if core not in allowed:
        raise UsageError(f"--core: expected one of {', '.join(map(str, sorted(allowed)))}, got {core}")
    os.sched_setaffinity(0, {core})


if __name__ == "__main__":
    sys.exit(main())
