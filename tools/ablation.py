"""A study: runs of the program side by side over seeds, and a table of them with its statistics.

    python -m tools.ablation --study=methods --dataset=digits_50 --seeds=0-4 --output=docs/results/methods
    python -m tools.ablation --study=mine.json --dataset=digits_50 --seeds=0-8 --output=runs/mine

The seeds of a row are one tools.sweep into OUTPUT/runs/ROW; a finished run is not run again, one that was cut off goes
on. With --jobs=2 two rows run at a time, each on a core of its own. Writes the files of tools/_ablation/report.py into
OUTPUT.
"""

import csv
import dataclasses
import json
import os
import queue
import re
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from mpl_tf.base.errors import RunError, UsageError
from mpl_tf.settings.config import Config
from mpl_tf.settings.fields import flag, like

from . import _command, sweep
from ._ablation import figures, report, studies


@dataclasses.dataclass(frozen=True)
class Flags:
    """Flags of a study."""

    study: str = flag(
        f"which rows to run: {', '.join(studies.STUDIES)}, or a JSON file of your own, or its URL (docs/extending.md)",
        "methods",
    )
    dataset: str = like(Config, "dataset", "digits_50", text="data set of every row that names none")
    rows: str = flag("run the rows that this regular expression finds; empty: all", "")
    seeds: str = like(sweep.Flags, "seeds", "0-4")
    output: str = flag("folder of the table", "docs/results/methods")
    extra: tuple = flag("a flag for every run, as --extra=--train_steps=100; may be given several times", ())
    jobs: int = flag("rows at a time, each on its own core if more than 1", 1, low=1)


COMMAND = _command.Command("ablation", __doc__, (Flags,), urls=("study",))


def main(argv=None):
    """Run a study; returns the exit status."""
    return COMMAND.run(argv, _study)


def _study(values):
    """Run the rows, then write their table and figures."""
    rows, seeds, output = _rows(values.study, values.rows), sweep.parse_seeds(values.seeds), Path(values.output)
    # Rows that are another network of some row's run have no run of their own.
    own = {name: arguments for name, arguments in rows.items() if not isinstance(arguments, studies.Network)}
    first = [f"--dataset={values.dataset}"]
    run_rows({name: [*first, *arguments, *values.extra] for name, arguments in own.items()}, seeds, output, values.jobs)
    command = (
        f"python -m tools.ablation --study={values.study} --dataset={values.dataset} --seeds={values.seeds} "
        + (f"--rows='{values.rows}' " if values.rows else "")
        + f"--output={values.output} --jobs={values.jobs}"
        + "".join(f" --extra={flag}" for flag in values.extra)
    )
    # The table of all runs, then the figures that this study has besides.
    runs = [_run(name, rows[name], seed, output) for name in rows for seed in seeds]
    references = {name: studies.reference(values.study, name) for name in rows}
    groups = report.write(runs, references, command, " ".join(studies.common(values.study)), output)
    if values.study == "labels":
        figures.against_labels(groups, output / "labels")
    if values.study in studies.CURVES:
        curves = studies.CURVES[values.study].items()
        drawn = {legend: [_curve(row, column, seed, output) for seed in seeds] for legend, (row, column) in curves}
        figures.over_steps(drawn, output / "training")


def _rows(study, pattern):
    """The rows whose names match, and those that they are compared with or are networks of."""
    rows = studies.rows(study)
    try:
        found = {name for name in rows if re.search(pattern, name)}
    except re.error as error:
        raise UsageError(f"--rows: expected a regular expression, got {pattern!r} ({error})") from error
    if not found:
        raise UsageError(f"--rows: expected a match among {'; '.join(rows)}, got {pattern!r}")
    found |= {studies.reference(study, name) for name in found}
    found |= {rows[name].of for name in found if isinstance(rows[name], studies.Network)}
    return {name: arguments for name, arguments in rows.items() if name in found}


def run_rows(rows, seeds, output, jobs):
    """Run what has not been run, `jobs` rows at a time.

    Args:
        rows: dict of row name to its flags.
        seeds: list of int.
        output: Path; the runs go into OUTPUT/runs/ROW/seedK, what they print into OUTPUT/runs/ROW/log.txt.
        jobs: >= 1.
    Raises:
        UsageError: more jobs than cores.
        RunError: a run failed; it has told why on stderr.
    """
    allowed = sorted(os.sched_getaffinity(0))
    if jobs > len(allowed):
        raise UsageError(f"--jobs: expected at most one a core, {len(allowed)}, got {jobs}")
    # A row takes a core while it runs and hands it on; one row at a time has them all.
    cores = queue.SimpleQueue()
    for core in allowed[:jobs] if jobs > 1 else [None]:
        cores.put(core)

    # The first failure ends the study: rows that have not begun are dropped.
    with ThreadPoolExecutor(jobs) as pool:
        tasks = [pool.submit(_run_row, name, rows[name], seeds, output, cores) for name in rows]
        for task in as_completed(tasks):
            if task.exception():
                pool.shutdown(cancel_futures=True)
                raise task.exception()


def _run_row(name, arguments, seeds, output, cores):
    """Make the runs of a row that are not finished, on a core of its own while they last; `cores` is a queue."""
    folder = _folder(name, output)
    left = [seed for seed in seeds if not (folder / f"seed{seed}" / "results.json").exists()]
    if not left:
        return
    core = cores.get()
    try:
        _sweep(arguments, left, folder, core)
    finally:
        cores.put(core)
    print(f"{name}: {len(left)} runs done", flush=True)


def _sweep(arguments, seeds, folder, core):
    own = [f"--seeds={','.join(map(str, seeds))}", f"--output={folder}"]
    own += [] if core is None else [f"--core={core}"]
    # A control is what the sweep makes, no flag of the program.
    own += [argument for argument in arguments if argument.startswith(studies.CONTROL)]
    arguments = [argument for argument in arguments if not argument.startswith(studies.CONTROL)]
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "log.txt", "a") as log:
        command = [sys.executable, "-m", f"{__package__}.sweep", *own, "--", *arguments]
        status = subprocess.run(command, check=False, stdout=log).returncode
    if status:
        raise RunError(f"a run of {folder} ended with {status}, its message is above: {' '.join(command)}")


def _folder(name, output):
    return output / "runs" / name.replace(", ", "-").replace(" ", "_")


def _run(name, row, seed, output):
    """A line of runs.csv: the run of that seed, or another network of the run that the row names."""
    of, role = (row.of, row.role) if isinstance(row, studies.Network) else (name, None)
    results = json.loads((_folder(of, output) / f"seed{seed}" / "results.json").read_text())
    deployed = results.get("test") or results["validation"]  # Own images may have no test images.
    scores = results["other_networks"][role] if role else deployed
    shares = [share for _, share in _curve(of, "feedback_share", seed, output)]
    return {
        "name": name,
        "seed": seed,
        "scored_on": results.get("scored_on", "test"),
        "top1": scores["top1"],
        "loss": scores["loss"],
        "examples": scores["n"],
        "labels": results["num_labeled"],
        "feedback_share": results["means"].get("feedback_share", 0.0),
        "feedback_share_sd": statistics.stdev(shares) if len(shares) > 1 else 0.0,
        "seconds": results["seconds"],
    }


def _curve(name, column, seed, output):
    """[(step, value)] of a column of a run's metrics.csv, 0 where the method logs no such quantity."""
    with open(_folder(name, output) / f"seed{seed}" / "metrics.csv", newline="") as file:
        return [(int(row["step"]), float(row.get(column, 0))) for row in csv.DictReader(file)]


if __name__ == "__main__":
    sys.exit(main())
