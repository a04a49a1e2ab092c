"""The trainings of the TwoMoon study: which are missing, how they run side by side, and the file that each leaves."""

import dataclasses
import itertools
import json
import math
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from mpl_tf.base import files, versions
from mpl_tf.devices import distribute

from . import report, training

# Row name to its changes to the recipe. Pseudo labels learns as supervised does, from labels of the supervised network.
METHODS = {
    "supervised": {"method": "supervised"},
    "pseudo_labels": {"method": "supervised"},
    "uda": {"method": "uda"},
    "mpl": {},
    "mpl_feedback_off": {"feedback": "off", "baseline": "none"},
}
# What runs side by side, one stage after the other; within a stage the longest first.
STAGES = (("supervised",), ("mpl", "mpl_feedback_off", "uda", "pseudo_labels"))
TOGETHER = 50  # Data sets trained at once at most: more would gain no speed, only take memory.


class Study:
    """Every method on every data set; a run that its folder holds, of the same settings, is not made again.

    Args:
        config: Config of mpl.
        seeds: one a data set.
        folder: Path for a file a run.

    Attributes:
        runs: {(method, seed): run} in the order of METHODS; None where it is not made yet. A run is a dict of points,
            correct ({role: points right}, the evaluated network last), seconds and weights ({role: list}).
        missing: {method: list of seeds} that were not there at the start.
    """

    def __init__(self, config, seeds, folder):
        self._config = config
        configs = {name: config.replace(**changes) for name, changes in METHODS.items()}
        self._settings = {name: _settings(one) for name, one in configs.items()}
        self._paths = {(name, seed): folder / f"{name}-seed{seed}.json" for name in METHODS for seed in seeds}
        self.runs = {key: read(path, self._settings[key[0]]) for key, path in self._paths.items()}
        self.missing = {name: [seed for seed in seeds if self.runs[name, seed] is None] for name in METHODS}
        self._trainers = {name: training.Trainer(configs[name]) for name in METHODS if self.missing[name]}
        self._points = {}  # Of each group of seeds: methods that share a group share its data sets.
        self._stopped = threading.Event()

    def run(self):
        """Make the missing runs, each in `runs` and in its file once it is made.

        However it is left, by an interrupt too, the trainings under way give up after their chunk of steps.
        """
        with ThreadPoolExecutor(workers()) as pool:
            try:
                for names in STAGES:
                    list(pool.map(self._train, self._jobs(names)))
            finally:
                self._stopped.set()

    def _jobs(self, names):
        """The work of a stage: list of (method, group of seeds), the methods in turn.

        The data sets are made here, by the one thread, as Keras' seed is of the whole process.
        """
        jobs_of_each = [[(name, group) for group in groups(self.missing[name])] for name in names]
        found = [job for turn in itertools.zip_longest(*jobs_of_each) for job in turn if job]
        for group in {group for _, group in found} - set(self._points):
            self._points[group] = training.Points(self._config, group)
        return found

    def _train(self, job):
        """Train a (method, group of seeds), keep its runs and say how they went."""
        name, group = job
        teachers = [self.runs["supervised", seed] for seed in group] if name == "pseudo_labels" else None
        trained = train_group(self._trainers[name], self._points[group], teachers, self._stopped.is_set)
        for seed, run in zip(group, trained, strict=False):  # None where the study was stopped.
            record = {"settings": self._settings[name]} | run
            files.write_text(self._paths[name, seed], json.dumps(record) + "\n")
            self.runs[name, seed] = run
        if trained:
            _tell(name, group, trained)


def train_group(trainer, points, teachers, stopped):
    """Train one method on D data sets.

    Args:
        trainer: training.Trainer of the method.
        points: training.Points.
        teachers: runs of the supervised networks whose labels to learn from, or None.
        stopped: as in training.train.
    Returns:
        list of D runs; empty where it was stopped.
    """
    started, labels, weights = time.perf_counter(), None, [points.teacher, points.student]
    # Pseudo labels: the supervised networks label all unlabeled points once, and a new student learns from them.
    if teachers is not None:
        fixed = training.stacked([run["weights"]["network"] for run in teachers])
        labels, weights = training.predict(trainer.networks["network"], fixed, points.x_u), [points.student]
    found = training.train(trainer, points, weights[: len(trainer.networks)], labels, stopped)
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


def read(path, settings):
    """The run in a file, or None where there is none of these settings, or one that cannot be read."""
    try:
        run = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return run if isinstance(run, dict) and run.get("settings") == settings else None


def workers():
    """Trainings side by side: one a core, as one keeps but one busy; an accelerator takes all data sets at once."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return 1 if distribute.has_accelerator() else cores


def groups(seeds):
    """Seeds cut into tuples of about equal length, one a worker or more."""
    count = max(min(workers(), len(seeds)), math.ceil(len(seeds) / TOGETHER))
    ends = [round(place * len(seeds) / count) for place in range(count + 1)] if seeds else []
    return [tuple(seeds[a:b]) for a, b in itertools.pairwise(ends)]


def _tell(name, seeds, trained):
    right = sum(report.success(run) for run in trained)
    seconds = sum(run["seconds"] for run in trained)
    span = f"seeds {seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else f"seed {seeds[0]}"
    print(f"{name}, {span}: {right} of {len(seeds)} succeed, {seconds:.1f} s", flush=True)
