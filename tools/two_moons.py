"""The TwoMoon experiment (paper section 3.1): who finds the right classifier from 6 labels, and what helps.

    python -m tools.two_moons --num_datasets=20 --seed=0 --output=docs/results/two_moons

Trains each method on data sets generated from the seeds SEED, SEED + 1 and so on, those of
`python -m mpl_tf.main --dataset=two_moons --seed=K`, with the settings of flags/two_moons.flags; flags of mpl_tf.main
may follow (--train_steps=50000). A method that is done with a data set in the same settings is not run on it again, so
a run that was cut off goes on. Writes into OUTPUT: success.md and success.json (who succeeded how often), runs.csv (a
row a method and data set), figure2.png and figure2.svg (decisions on one data set), and a file a run under runs/.
"""

import dataclasses
import itertools
import json
import math
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from absl import flags

from mpl_tf.base import files, quiet, versions
from mpl_tf.base.errors import RunError, UsageError
from mpl_tf.settings import flags as program_flags

from ._two_moons import report as moons_report

# Row name to its changes to the recipe. Pseudo labels learns as supervised does, from labels of the supervised network.
METHODS = {
    "supervised": {"method": "supervised"},
    "pseudo_labels": {"method": "supervised"},
    "uda": {"method": "uda"},
    "mpl": {},
    "mpl_feedback_off": {"feedback": "off", "baseline": "none"},
}
# Flags that a run here has from the recipe alone: they choose what the study itself chooses, or parts it does not have.
FIXED = (
    *("dataset", "method", "scale", "mode", "workdir", "strategy"),
    *("precision", "accumulate", "ema_decay", "finetune_steps"),
)
TOGETHER = 50  # Data sets trained at once at most: more would gain no speed, only take memory.


def main(argv=None):
    """Run the study; returns the exit status."""
    started = time.perf_counter()
    values = flags.FlagValues()
    flags.DEFINE_integer("num_datasets", 20, "data sets to generate", lower_bound=1, flag_values=values)
    flags.DEFINE_integer("seed", 0, "seed of the first, the others follow", lower_bound=0, flag_values=values)
    flags.DEFINE_string("output", "docs/results/two_moons", "folder of the results", flag_values=values)
    argv = sys.argv[1:] if argv is None else argv
    if {"--help", "-h"} & set(argv):
        print(f"{__doc__}\n{values.get_help()}")
        return 0
    try:
        extra = values(["two_moons", *argv], known_only=True)[1:]
        output, seeds = Path(values.output), range(values.seed, values.seed + values.num_datasets)
        config = read_config(extra, seeds)
        _make_folder(output)
        if "tensorflow" not in sys.modules:
            os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")  # The trainings side by side take the cores.
        quiet.import_tensorflow()
        runs, count = run_study(config, seeds, output / "runs")
        command = " ".join(
            ["python -m tools.two_moons", f"--num_datasets={len(seeds)}", f"--seed={seeds[0]}", f"--output={output}"]
            + extra
        )
        moons_report.write(runs, config, command, output, (count, started))
    except (flags.Error, UsageError, RunError) as error:
        print(f"two_moons: error: {' '.join(str(error).split())}", file=sys.stderr)
        return getattr(error, "status", 2)
    except KeyboardInterrupt:
        print("two_moons: stopped; the same command goes on from the runs that are done", file=sys.stderr)
        return 130
    return 0


def read_config(extra, seeds):
    """The recipe with the flags that follow the study's own.

    Args:
        extra: list of str.
        seeds: range of the data sets' seeds.
    Returns:
        The Config of mpl, its seed the last one.
    Raises:
        UsageError: a flag that mpl_tf.main refuses, or that this study does not have.
    """
    recipe, config = (
        program_flags.parse(["--dataset=two_moons", *more, f"--seed={seeds[-1]}"]) for more in ([], extra)
    )
    for name in FIXED:
        expected, got = getattr(recipe, name), getattr(config, name)
        if got != expected:
            raise UsageError(f"--{name}: this study has its own, {expected}, got {got}; leave it out")
    if config.labeled_batch != config.num_labels:
        raise UsageError(
            f"--labeled_batch: expected all labeled points in each batch, --num_labels={config.num_labels}, "
            f"got {config.labeled_batch}"
        )
    return config


def _make_folder(output):
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"--output: expected a folder, or a place for a new one, got {output} ({error.strerror}); give another"
        ) from error


def run_study(config, seeds, folder):
    """Run what has not been run.

    Args:
        config: Config of mpl.
        seeds: one a data set.
        folder: for a file a run.
    Returns:
        (runs, count): {(method, seed): run} in the order of METHODS, and the number of them run now. A run is a dict of
        points, correct ({role: points right}, the evaluated network last), seconds and weights ({role: list}).
    """
    from ._two_moons import training

    configs = {name: config.replace(**changes) for name, changes in METHODS.items()}
    settings = {name: _settings(one) for name, one in configs.items()}
    paths = {(name, seed): folder / f"{name}-seed{seed}.json" for name in METHODS for seed in seeds}
    runs = {key: _read(path, settings[key[0]]) for key, path in paths.items()}
    todo = {name: [seed for seed in seeds if runs[name, seed] is None] for name in METHODS}
    trainers = {name: training.Trainer(configs[name]) for name in METHODS if todo[name]}
    points, stopped = {}, threading.Event()

    def jobs(names):
        """(method, seeds), methods in turn; the data sets are made here, as Keras' seed is of the whole process."""
        groups = [[(name, group) for group in _groups(todo[name])] for name in names]
        found = [job for turn in itertools.zip_longest(*groups) for job in turn if job]
        points.update({group: training.Points(config, group) for group in {group for _, group in found} - set(points)})
        return found

    def work(job):
        name, group = job
        teachers = [runs["supervised", seed] for seed in group] if name == "pseudo_labels" else None
        trained = train_group(trainers[name], configs[name], points[group], teachers, stopped.is_set)
        for seed, run in zip(group, trained, strict=False):  # None where the study was stopped.
            files.write_text(paths[name, seed], json.dumps({"settings": settings[name]} | run) + "\n")
            runs[name, seed] = run
        if trained:
            _tell(name, group, trained)

    with ThreadPoolExecutor(_workers()) as pool:
        try:
            for names in (["supervised"], ["mpl", "mpl_feedback_off", "uda", "pseudo_labels"]):  # The longest first.
                list(pool.map(work, jobs(names)))
        finally:
            stopped.set()
    return runs, sum(map(len, todo.values()))


def train_group(trainer, config, points, teachers, stopped):
    """Train one method on D data sets; list of D runs, empty if `stopped`.

    Args:
        trainer, config: of the method.
        points: moons_training.Points.
        teachers: runs of the supervised networks whose labels to learn from, or None.
        stopped: as in moons_training.train.
    """
    from ._two_moons import training

    started, labels, weights = time.perf_counter(), None, [points.teacher, points.student]
    if teachers is not None:
        fixed = training.stacked([run["weights"]["network"] for run in teachers])
        labels, weights = training.predict(trainer.networks["network"], fixed, points.x_u), [points.student]
    found = training.train(trainer, config, points, weights[: len(trainer.networks)], labels, stopped)
    if found is None:
        return []
    right = {
        role: (training.predict(network, found[role], points.x) == points.y).sum(axis=1)
        for role, network in trainer.networks.items()
    }
    seconds = (time.perf_counter() - started) / len(points.seeds)
    return [
        {
            "points": points.y.shape[1],
            "seconds": seconds,
            "correct": {role: int(one[k]) for role, one in right.items()},
            "weights": {role: [part[k].tolist() for part in one] for role, one in found.items()},
        }
        for k in range(len(points.seeds))
    ]


def _settings(config):
    """What a run's numbers depend on, but for the seed: flags and versions."""
    names = [field.name for field in dataclasses.fields(config) if field.metadata["identity"] and field.name != "seed"]
    return {name: getattr(config, name) for name in names} | versions.versions()["versions"]


def _read(path, settings):
    """The run in a file, or None where there is none of these settings."""
    try:
        run = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return run if isinstance(run, dict) and run.get("settings") == settings else None


def _workers():
    """Trainings side by side: one a core, as one keeps but one busy; an accelerator takes all data sets at once."""
    from mpl_tf.devices import distribute

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return 1 if distribute.has_accelerator() else cores


def _groups(seeds):
    """Seeds cut into tuples of about equal length, one a worker or more."""
    count = max(min(_workers(), len(seeds)), math.ceil(len(seeds) / TOGETHER))
    ends = [round(place * len(seeds) / count) for place in range(count + 1)] if seeds else []
    return [tuple(seeds[a:b]) for a, b in itertools.pairwise(ends)]


def _tell(name, seeds, trained):
    right = sum(moons_report.success(run) for run in trained)
    seconds = sum(run["seconds"] for run in trained)
    span = f"seeds {seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else f"seed {seeds[0]}"
    print(f"{name}, {span}: {right} of {len(seeds)} succeed, {seconds:.1f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
