"""Speed of a step, the input pipeline and the start-up: one command, a table and JSON.

    python -m tools.benchmark --what=step --json=step.json --dataset=cifar10_4k --labeled_batch=16
    python -m tools.benchmark --what=loop --dataset=digits_50
    python -m tools.benchmark --what=input --cores=1 --dataset=cifar10_4k --labeled_batch=128
    python -m tools.benchmark --what=input --dataset=folder --labeled_dir=L --unlabeled_dir=U --test_dir=T
    python -m tools.benchmark --what=startup
    python -m tools.benchmark --what=filter --repeats=3
    python -m tools.benchmark --what=yardstick --json=yardstick.json --dataset=cifar10_4k --labeled_batch=16
    python -m tools.benchmark --what=step --compare=yardstick.json --dataset=cifar10_4k --labeled_batch=16

Any flag of mpl_tf.main may follow; examples are random, so no data set is needed. The input of own images alone is that
of the folders: read from their files and, where they fit, in memory. Figures of one machine are compared with each
other alone: --compare prints the ratios of an earlier file's figures to this run's. The yardstick is the same step in
PyTorch, which is an extra: pip install -e '.[yardstick]'.
"""

import dataclasses
import importlib.util
import json
import os
import platform
import sys
from importlib import metadata

from mpl_tf.base import quiet, storage, versions
from mpl_tf.base.errors import UsageError
from mpl_tf.settings import flags as program_flags
from mpl_tf.settings.fields import flag, like

from . import _command
from ._benchmark import filter_speed, folder_input, loop, measure, peaks

WHAT = ("step", "profile", "convolutions", "loop", "input", "startup", "filter", "yardstick")
WITHOUT_CONFIG = ("startup", "filter")  # What is measured in a way of its own.


@dataclasses.dataclass(frozen=True)
class Flags:
    """Flags of the measurement itself."""

    what: str = flag("what to measure", "step", choices=WHAT)
    json: str = like(_command.Figures, "json", "")
    compare: str = flag("JSON of an earlier run: print its figures over this run's; empty: none", "")
    repeats: int = flag("steps, calls or batches timed; the median counts", 9, low=2)
    warmup: int = flag("steps before", 2, unit="steps", low=1)
    cores: int = flag("1: confine the process to one core; 0: all", 0, low=0, high=1)


COMMAND = _command.Command("benchmark", __doc__, (Flags,), others=_command.Others.TRAINER, urls=("json", "compare"))


def main(argv=None):
    """Measure, print a table, write the JSON; returns the exit status."""
    return COMMAND.run(argv, _report)


def _report(values, arguments):
    """Measure and tell; `arguments` are flags of mpl_tf.main."""
    earlier = _read(values.compare) if values.compare else None
    if arguments and values.what in WITHOUT_CONFIG:
        raise UsageError(f"{arguments[0]}: --what={values.what} takes no flag of mpl_tf.main; leave it out")
    config = None if values.what in WITHOUT_CONFIG else program_flags.parse(arguments)
    if values.cores == 1:
        measure.one_core()
    if values.what != "yardstick":  # PyTorch may crash in one process with TensorFlow.
        quiet.import_tensorflow()
    figures = MEASURED[values.what](values, config)
    report = {"what": values.what, **figures, "arguments": arguments, **_machine(values.what)}
    _print(figures, earlier)
    _command.write_json(values.json, report)


def _profile(_, config):
    seconds = measure.kinds(config)
    whole = sum(seconds.values())
    return {kind: {"seconds": part, "share": part / whole} for kind, part in seconds.items()}


def _convolutions(values, config):
    network = measure.prepare(config)[0].deployed()
    return peaks.convolutions(network, config.labeled_batch * config.mu, config.precision, values.repeats)


def _input(values, config):
    if config.dataset == "folder":
        return folder_input.rates(config, values.repeats)
    views = measure.strong_views(config, 256, values.repeats)
    return measure.pipeline(config, values.repeats) | {f"strong_views_{key}": value for key, value in views.items()}


def _yardstick(values, config):
    if importlib.util.find_spec("torch") is None:
        raise UsageError("--what=yardstick: expected PyTorch, found none; pip install -e '.[yardstick]'")
    if config.model != "wide_resnet_28_2":
        raise UsageError(f"--model: expected wide_resnet_28_2, the yardstick's network, got {config.model}")
    from ._benchmark import yardstick

    return yardstick.measure(config, values.repeats, values.warmup)


# Functions of (Flags, Config or None) -> figures, by --what.
MEASURED = {
    "step": lambda values, config: measure.step(config, values.repeats, values.warmup),
    "profile": _profile,
    "convolutions": _convolutions,
    "loop": lambda values, config: loop.loop(*measure.prepare(config), config.steps_per_execution, values.repeats),
    "input": _input,
    "startup": lambda values, _: measure.startup(),
    "filter": lambda values, _: filter_speed.throughput(values.repeats),
    "yardstick": _yardstick,
}


def _machine(what):
    found = versions.versions()["versions"]
    about = {name: found[name] for name in ("python", "tensorflow", "keras")}
    if what == "yardstick":
        about["torch"] = metadata.version("torch")
    return {"machine": platform.machine(), "cores": os.cpu_count(), "versions": about}


def _read(path):
    try:
        return json.loads(storage.read_bytes(path))
    except (OSError, ValueError) as error:
        raise UsageError(f"--compare: expected a JSON file of figures, got {path} ({error})") from error


def _print(figures, earlier):
    lines = [
        "| figure | this run |" + (" earlier / this |" if earlier else ""),
        "|---|---|" + ("---|" if earlier else ""),
    ]
    for name, value in figures.items():
        shown = f"{value['seconds']:.4f} s, {100 * value['share']:.1f} %" if isinstance(value, dict) else f"{value:.4g}"
        line = f"| {name} | {shown} |"
        if earlier:
            before = earlier.get(name)
            ratio = f"{before / value:.2f}" if isinstance(before, int | float) else ""
            line += f" {ratio} |"
        lines.append(line)
    print("\n".join(lines))


if __name__ == "__main__":
    sys.exit(main())
