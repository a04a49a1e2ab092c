"""Speed of a step, the input pipeline and the start-up: one command, a table and JSON.

    python -m tools.benchmark --what=step --json=step.json --dataset=cifar10_4k --labeled_batch=16
    python -m tools.benchmark --what=loop --dataset=digits_50
    python -m tools.benchmark --what=input --cores=1 --dataset=cifar10_4k --labeled_batch=128
    python -m tools.benchmark --what=startup
    python -m tools.benchmark --what=filter --repeats=3
    python -m tools.benchmark --what=step --compare=yardstick.json --dataset=cifar10_4k --labeled_batch=16

Any flag of mpl_tf.main may follow; examples are random, so no data set is needed. Figures of one machine are compared
with each other alone: --compare prints the ratios of an earlier file's figures to this run's.
"""

import json
import os
import platform
import sys
from pathlib import Path

from absl import flags

from mpl_tf.base import files, quiet, versions
from mpl_tf.base.errors import UsageError
from mpl_tf.settings import flags as program_flags

from ._benchmark import filter_speed, loop, measure, peaks

WHAT = ("step", "profile", "convolutions", "loop", "input", "startup", "filter")


def main(argv=None):
    """Measure, print a table, write the JSON; returns the exit status."""
    values = flags.FlagValues()
    flags.DEFINE_enum("what", "step", WHAT, "what to measure", flag_values=values)
    flags.DEFINE_string("json", "", "file for the figures", flag_values=values)
    flags.DEFINE_string("compare", "", "JSON of an earlier run: print its figures over this run's", flag_values=values)
    flags.DEFINE_integer(
        "repeats", 9, "steps, calls or batches timed; the median counts", lower_bound=2, flag_values=values
    )
    flags.DEFINE_integer("warmup", 2, "steps before", lower_bound=1, flag_values=values)
    flags.DEFINE_integer("cores", 0, "1: confine the process to one core; 0: all", 0, 1, flag_values=values)
    try:
        rest = values(["benchmark", *(sys.argv[1:] if argv is None else argv)], known_only=True)
        earlier = _read(values.compare) if values.compare else None
        config = program_flags.parse(rest[1:]) if values.what not in ("startup", "filter") else None
    except (flags.Error, UsageError) as error:
        print(f"benchmark: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    if values.cores == 1:
        measure.one_core()
    quiet.import_tensorflow()
    figures = _measure(values, config)
    report = {"what": values.what, **figures, "arguments": rest[1:], **_machine()}
    _print(figures, earlier)
    if values.json:
        files.write_text(values.json, json.dumps(report, indent=2) + "\n")
    return 0


def _measure(values, config):
    if values.what == "step":
        return measure.step(config, values.repeats, values.warmup)
    if values.what == "profile":
        seconds = measure.kinds(config)
        whole = sum(seconds.values())
        return {kind: {"seconds": part, "share": part / whole} for kind, part in seconds.items()}
    if values.what == "convolutions":
        network = measure.prepare(config)[0].deployed()
        return peaks.convolutions(network, config.labeled_batch * config.mu, config.precision, values.repeats)
    if values.what == "loop":
        return loop.loop(*measure.prepare(config), config.steps_per_execution, values.repeats)
    if values.what == "input":
        views = measure.strong_views(config, 256, values.repeats)
        return measure.pipeline(config, values.repeats) | {f"strong_views_{key}": value for key, value in views.items()}
    return filter_speed.throughput(values.repeats) if values.what == "filter" else measure.startup()


def _machine():
    found = versions.versions()["versions"]
    about = {name: found[name] for name in ("python", "tensorflow", "keras")}
    return {"machine": platform.machine(), "cores": os.cpu_count(), "versions": about}


def _read(path):
    try:
        return json.loads(Path(path).read_text())
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
