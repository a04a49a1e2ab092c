"""Pseudo labels in the report: how many each class gets over time, how sure they are, and whether they collapse."""

import numpy as np

from mpl_tf.base import files, storage
from mpl_tf.run.report import charts, tables
from mpl_tf.settings.catalogue import METHODS

NAME = "report.json"
RECORDS = 100  # Epochs kept; of more every other one is dropped.
MINIS = 20  # Classes with curves of their own; of more those farthest from their labeled share.
MINI_HEIGHT = 110
# When labels are said to collapse.
ENOUGH, STARVED, PART, SPREAD = 10, 0.1, 0.25, 0.5
RULE = (
    f"A collapse is told where classes with {PART:.0%} or more of the labeled images get less than {STARVED:.0%} of "
    f"the labels that they would have by their share (of classes that would have {ENOUGH} or more), or where the "
    f"labels spread over less than {SPREAD:.0%} of the classes that the labeled images spread over, or that "
    "half as many labels could (exponentials of the entropies; the labels' is that of their mean distribution)."
)


def record(step, probabilities, validated=None):
    """What is kept of the labels at a step: a dict for JSON.

    Args:
        step: of the main phase.
        probabilities: float [n, C] of the unlabeled sample.
        validated: (labels int [m], probabilities float [m, C]) of the validation sample, or None.
    Returns:
        dict: step; counts, of the labels a class; confidence, the mean largest probability of those, 0 without any;
        spread, the exponential of the mean distribution's entropy; precision a class on the validation sample, None
        where the class is never said, or without one.
    """
    classes = probabilities.shape[1]
    best, sure = probabilities.argmax(axis=-1), probabilities.max(axis=-1)
    counts = np.bincount(best, minlength=classes)
    confidence = np.bincount(best, sure, classes) / np.maximum(counts, 1)
    found = {"step": step, "counts": counts.tolist(), "confidence": confidence.round(4).tolist()}
    found |= {"spread": round(spread(probabilities.mean(axis=0)), 3), "precision": None}
    if validated is not None:
        labels, said = validated[0], validated[1].argmax(axis=-1)
        times, right = (np.bincount(values, minlength=classes) for values in (said, said[said == labels]))
        pairs = zip(right.tolist(), times.tolist(), strict=True)
        found["precision"] = [round(hits / all_, 4) if all_ else None for hits, all_ in pairs]
    return found


def spread(distribution):
    """How many classes a distribution [C] spreads over: the exponential of its entropy, 1 to C."""
    some = distribution[distribution > 0]
    return float(np.exp(-(some * np.log(some)).sum()))


def collapses(one, prior, names):
    """How the labels of a record collapse, by RULE: list of sentences, empty where they do not.

    Args:
        one: as `record` returns it.
        prior: float [C], the labeled shares.
        names: of the classes.
    """
    counts = np.array(one["counts"])
    expected, told = counts.sum() * prior, []
    starved = (expected >= ENOUGH) & (counts < STARVED * expected)
    if prior[starved].sum() >= PART:
        most = int(counts.argmax())
        which = [tables.shown(names[label]) for label in np.flatnonzero(starved)]
        listed = ", ".join(which[:8]) + (", ..." if len(which) > 8 else "")
        told.append(
            f"{len(which)} of {len(names)} classes with {prior[starved].sum():.0%} of the labeled images get less than "
            f"{STARVED:.0%} of their share of the pseudo labels ({listed}); {tables.shown(names[most])} gets "
            f"{counts[most] / counts.sum():.0%} of all."
        )
    # Few labels cannot spread over many classes.
    if one["spread"] < SPREAD * min(spread(prior), counts.sum() / 2):
        told.append(f"The labels spread over {one['spread']:.1f} classes, the labeled images over {spread(prior):.1f}.")
    return told


class History:
    """The records of a run, in WORKDIR/report.json: a run that goes on has those of before.

    Args:
        workdir: of the run.
    """

    def __init__(self, workdir):
        self.path = storage.path(workdir) / NAME
        try:
            self.records = files.read_json(self.path)["records"]
        except (OSError, ValueError, KeyError):  # There is none, or it was damaged: it is about the past alone.
            self.records = []

    def add(self, one):
        """Keep a record; what was kept of later steps, which come again, is dropped."""
        self.records = [*(old for old in self.records if old["step"] < one["step"]), one]
        if len(self.records) > RECORDS:
            self.records = self.records[::-2][::-1]
        files.write_json(self.path, {"records": self.records})


def labeler(config, dataset):
    """(who makes the pseudo labels: "targets", "teacher", "student" or None; what the page says of them).

    Args:
        config, dataset: of the run.
    """
    row = METHODS[config.method]
    if not row.unlabeled or dataset.unlabeled is None:
        return None, f"{config.method} learns from labeled images alone: it makes no pseudo labels."
    if dataset.unlabeled.targets is not None:
        moved = ", before the reduced teacher moves them" if config.method == "reduced_mpl" else ""
        return "targets", f"Those of the fixed teacher, which stay the same throughout{moved}"
    if "teacher" in row.networks:
        return "teacher", "Those of the teacher as it is at each epoch's end"
    return "student", "Those that the deployed network would give at each epoch's end"


def section(records, prior, names):
    """What the page shows of records, the last of which is of now: (dict for the template, sentences of a collapse).

    Args:
        records: list as `record` returns them.
        prior: float [C].
        names: of the C classes.
    """
    last, told = records[-1], collapses(records[-1], prior, names)
    counts, shares = np.array(last["counts"]), [np.array(one["counts"]) / sum(one["counts"]) for one in records]
    rows = []
    for label, name in enumerate(map(tables.shown, names)):
        precision = last["precision"] and last["precision"][label]
        row = [name, f"{prior[label]:.3f}", int(counts[label]), f"{shares[-1][label]:.3f}"]
        row.append(f"{last['confidence'][label]:.3f}" if counts[label] else "")
        rows.append(row + ([] if last["precision"] is None else ["" if precision is None else f"{precision:.3f}"]))
    farthest = np.sort(np.argsort(-np.abs(shares[-1] - prior), kind="stable")[:MINIS])
    return {
        "rows": rows,
        "rule": RULE,
        "fine": [] if told else [_none(last, prior)],
        "precision": last["precision"] is not None,
        "minis": [_mini(records, shares, int(label), prior, names) for label in farthest],
        "minis_note": "Share of the labels, the broken line its labeled share; orange: their mean confidence, from 0 "
        f"at the bottom to 1 at the top.{' The classes farthest from their share.' if len(names) > MINIS else ''}",
    }, _since(records, prior, names, told)


def _none(last, prior):
    """That there is no collapse."""
    return (
        f"No collapse at step {last['step']:,}: the labels spread over {last['spread']:.1f} classes, the labeled "
        f"images over {spread(prior):.1f}."
    )


def _since(records, prior, names, told):
    """The sentences of a collapse, the first with when it began."""
    if not told:
        return []
    began = records[-1]["step"]
    for one in reversed(records):
        if not collapses(one, prior, names):
            break
        began = one["step"]
    return [f"The pseudo labels collapse, since step {began:,} at the latest. {' '.join(told)}"]


def _mini(records, shares, label, prior, names):
    """The chart of a class."""
    share = [(one["step"], float(part[label])) for one, part in zip(records, shares, strict=True)]
    sure = [(one["step"], one["confidence"][label]) for one in records if one["counts"][label]]
    title = tables.shown(names[label])
    curves = {"share": share}
    return charts.chart(title, "", curves, float(prior[label]), MINI_HEIGHT, {"confidence": sure})
