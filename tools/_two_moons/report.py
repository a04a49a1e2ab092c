"""What the TwoMoon experiment says: a table with its text, the rows behind it and the figure."""

import csv
import json
import os
import platform
import statistics
import time

import numpy as np

from mpl_tf import data, models
from mpl_tf.base import files, versions
from mpl_tf.data.two_moons import MOON_NOISE

from . import training

SUCCESS = 98  # % of the points that the right classifier gets at least.
NAMES = {
    "supervised": "Supervised Learning",
    "pseudo_labels": "Pseudo Labels",
    "uda": "UDA alone",
    "mpl": "Meta Pseudo Labels",
    "mpl_feedback_off": "Meta Pseudo Labels with its feedback off",
}
PANELS = ("supervised", "pseudo_labels", "mpl")
CLASS_COLORS, CLASS_MARKERS = ("#d95f02", "#1b6ca8"), ("o", "s")


def success(run, role=None):
    """Whether a network has at least 98 % of the points right: that of `role`, or the evaluated one, the last."""
    return 100 * run["correct"][role or list(run["correct"])[-1]] >= SUCCESS * run["points"]


def successes(row, role=None):
    """Number of successful runs of {seed: run}; `role` as in `success`."""
    return sum(success(run, role) for run in row.values())


def write(runs, config, command, output, spent):
    """Write success.md, success.json, runs.csv, figure2.png and figure2.svg.

    Args:
        runs: {(method, seed): run}, as study.Study has them.
        config: Config of mpl.
        command: the command line that makes them.
        output: folder.
        spent: (runs trained by this command, time.perf_counter() at its start).
    """
    table = {}
    for (name, seed), run in runs.items():
        table.setdefault(name, {})[seed] = run
    files.write(output / "runs.csv", lambda path: _write_rows(path, table))
    counts = {name: {"success": successes(row), "datasets": len(row)} for name, row in table.items()}
    files.write_text(output / "success.json", json.dumps(counts, indent=2) + "\n")
    draw(table, config, output)
    lines = [*_table(table), "", *_text(table, config), "", f"Command: `{command}`", "", _about(table, spent)]
    files.write_text(output / "success.md", "\n".join(lines) + "\n")
    print("\n".join(lines))


def _write_rows(path, table):
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["method", "seed", "accuracy", "success", "teacher_accuracy", "seconds"])
        for name, row in table.items():
            for seed, run in row.items():
                *teacher, evaluated = (correct / run["points"] for correct in run["correct"].values())
                teacher = f"{teacher[0]:.4f}" if teacher else ""
                writer.writerow([name, seed, f"{evaluated:.4f}", int(success(run)), teacher, f"{run['seconds']:.2f}"])


def _table(table):
    lines = [
        "| method | data sets | right classifier (at least 98 % of the points) | its teacher | "
        "points right, %, mean (least to most) | training, seconds a data set |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in table.items():
        teacher = successes(row, "teacher") if name.startswith("mpl") else None
        shares = [100 * list(run["correct"].values())[-1] / run["points"] for run in row.values()]
        lines.append(
            f"| {NAMES[name]} | {len(row)} | {successes(row)} | {'' if teacher is None else teacher} | "
            f"{statistics.mean(shares):.2f} ({min(shares):.2f} to {max(shares):.2f}) | "
            f"{statistics.mean(run['seconds'] for run in row.values()):.2f} |"
        )
    return lines


def compare(table, first, second):
    """How two methods fare on the same data sets, by an exact two-sided sign test (McNemar's).

    Args:
        table: {method: {seed: run}}.
        first, second: methods.
    Returns:
        (only_first, only_second, p): data sets on which one succeeds and the other does not, and the probability of
        a split at least as uneven if either were as likely to be the one.
    """
    from scipy.stats import binomtest

    pairs = [(success(run), success(table[second][seed])) for seed, run in table[first].items()]
    only_first, only_second = pairs.count((True, False)), pairs.count((False, True))
    differing = only_first + only_second
    return only_first, only_second, binomtest(only_first, differing).pvalue if differing else 1.0


def _verdict(table, first, second, gain):
    """A sentence with the figures of `compare`, and what they say about `gain`, the thing that only `first` has."""
    only_first, only_second, p = compare(table, first, second)
    one, other = (successes(table[name]) for name in (first, second))
    said = (
        f"{NAMES[first]} finds the right classifier on {one} of {len(table[first])} data sets, {NAMES[second]} on "
        f"{other}: a difference of {one - other:+d}. {only_first} data sets are solved by the first alone, "
        f"{only_second} by the second alone (exact sign test over the paired data sets: p = {p:.2g})."
    )
    if p >= 0.05:
        return f"{said} No effect of {gain} on the successes can be told from chance."
    return f"{said} {gain[0].upper()}{gain[1:]} {'helps' if one > other else 'harms'}, beyond what chance explains."


def _text(table, config):
    teachers = [successes(table[name], "teacher") for name in ("mpl", "mpl_feedback_off")]
    points = next(iter(table["mpl"].values()))["points"]
    objective = "nothing, it is off here (`--uda_weight=0`)."
    if config.uda_weight:
        objective = _verdict(table, "uda", "supervised", "the UDA objective")
        objective += " " + _verdict(table, "mpl_feedback_off", "pseudo_labels", "a teacher trained by UDA")
    return [
        "![Decisions of three methods on one data set](figure2.png)",
        "",
        "What the feedback adds: "
        + _verdict(table, "mpl", "mpl_feedback_off", "the feedback")
        + f" Their teachers find it on {teachers[0]} and {teachers[1]}.",
        "",
        "What the UDA objective adds: " + objective,
        "",
        f"Each data set has its own {points:,} points (noise {MOON_NOISE}) and labels at random, {config.num_labels} "
        "in all; scored are all points, by the student of Meta Pseudo Labels and of Pseudo Labels and by the only "
        "network of the others (both networks: [runs.csv](runs.csv)). Settings, of `flags/two_moons.flags` and the "
        "command: "
        f"{config.train_steps:,} steps of SGD at {config.teacher_learning_rate:g}, each on all labeled points and "
        f"{config.mu * config.labeled_batch} unlabeled ones drawn afresh; UDA of weight {config.uda_weight:g}, "
        f"temperature {config.uda_temperature:g} and noise {config.noise:g}; feedback `{config.feedback}`, weight "
        f"{config.feedback_weight:g}, on {config.pseudo_labels} labels. Data sets and first weights are those of "
        "`python -m mpl_tf.main --dataset=two_moons --seed=K`; the unlabeled batches come from another generator "
        "and are the same for all methods.",
    ]


def _about(table, spent):
    found, (count, started) = versions.versions()["versions"], spent
    runs = sum(map(len, table.values()))
    there = f" ({runs - count} of {runs} runs were already there)" if count < runs else ""
    return (
        f"The command took {time.perf_counter() - started:.0f} s, start-up, compilation and figure included{there}. "
        f"Machine: {os.cpu_count()} cores, {platform.machine()}, Python {found['python']}, TensorFlow "
        f"{found['tensorflow']}, Keras {found['keras']}, NumPy {found['numpy']}, scikit-learn {found['scikit-learn']}."
    )


def draw(table, config, output):
    """Figure 2 of the paper: decisions of supervised learning, pseudo labels and MPL on one data set, side by side.

    It is the first one that tells MPL from the two others, if there is one.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    seed = _telling(table)
    dataset = data.load(config.replace(seed=seed))
    figure, axes = pyplot.subplots(1, 3, figsize=(12, 3.7), layout="constrained", sharex=True, sharey=True)
    for name, panel in zip(PANELS, axes, strict=True):
        run = table[name][seed]
        *_, (role, weights) = run["weights"].items()
        _regions(panel, dataset, config, weights)
        share = 100 * run["correct"][role] / run["points"]
        panel.set_title(f"{NAMES[name]}\n{share:.2f} % of {run['points']:,} points right")
        panel.set(xticks=[], yticks=[], aspect="equal")
    figure.suptitle(f"two_moons of seed {seed}; the shade is the network's decision", fontsize="medium")
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(names), frameon=False)
    for ending in ("png", "svg"):
        files.write(output / f"figure2.{ending}", lambda path, e=ending: figure.savefig(path, format=e, dpi=110))
    pyplot.close(figure)


def _telling(table):
    """The seed of the figure's data set."""
    seeds = list(table["mpl"])
    told = (seed for seed in seeds if [success(table[name][seed]) for name in PANELS] == [False, False, True])
    return next(told, seeds[0])


def _regions(panel, dataset, config, weights):
    """One panel: the regions that the network gives each class, and the points."""
    low, high = dataset.test.images.min(axis=0) - 0.3, dataset.test.images.max(axis=0) + 0.3
    first, second = np.meshgrid(np.linspace(low[0], high[0], 400), np.linspace(low[1], high[1], 400))
    grid = np.stack([first.ravel(), second.ravel()], axis=1).astype(np.float32)  # [160000, 2]
    network = models.build(config.model, training.SHAPE, training.CLASSES)
    classes = training.predict(network, [np.array(part, np.float32)[None] for part in weights], grid[None])
    shades = {"levels": [-0.5, 0.5, 1.5], "colors": CLASS_COLORS, "alpha": 0.3}
    panel.contourf(first, second, classes.reshape(first.shape), **shades).set_rasterized(True)
    panel.plot(*dataset.unlabeled.images.T, ".", color="#404040", markersize=2, label="unlabeled", rasterized=True)
    for label, (color, marker) in enumerate(zip(CLASS_COLORS, CLASS_MARKERS, strict=True)):
        chosen = dataset.labeled.images[dataset.labeled.labels == label]
        name = f"labeled, {dataset.class_names[label]} moon"
        panel.plot(*chosen.T, marker, color=color, markersize=9, markeredgecolor="black", label=name)
