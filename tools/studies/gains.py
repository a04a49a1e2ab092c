"""What each part of Meta Pseudo Labels adds: the differences of several studies in one table and one picture.

    python -m tools.studies.gains

Reads the runs.csv of the studies below --results and writes gains.md, gains.png and gains.svg into --output. Each
difference is paired by seed and tested as the studies' tables are, corrected for all differences of the page together.
"""

import csv
import dataclasses
import statistics
import sys
from pathlib import Path

from mpl_tf.base import files
from mpl_tf.base.errors import UsageError
from mpl_tf.settings.fields import flag
from tools import _command
from tools._ablation import figures, paired, report

# What is asked, the row and the row it is compared with.
ASKED = (
    ("unlabeled images by UDA", "uda", "supervised"),
    ("class balance beside UDA", "uda, balance", "uda"),
    ("a student of UDA's labels", "off", "uda"),
    ("class balance of its teacher", "off, balance", "off"),
    ("the paper's feedback", "taylor", "off, sampled"),
    ("exact feedback", "exact", "off"),
    ("exact feedback beside balance", "exact, balance", "off, balance"),
)
# Title to the study's folder and what is asked of it.
STUDIES = {
    "40 labels": ("photographs/40", ASKED),
    "250 labels": ("photographs/250", ASKED),
    "4,000 labels": ("photographs/4000", ASKED),
    "40 labels, 60 seeds": (
        "photographs/deciding",
        (("exact feedback beside balance", "exact, balance", "off, balance"),),
    ),
}
HEAD = (
    "| photographs | what is added | seeds | without, % | with, % | difference, points (95 % interval) | p | p, Holm |"
)


@dataclasses.dataclass(frozen=True)
class Flags:
    """Flags of the page."""

    results: str = flag("folder of the studies' folders", "docs/results")
    output: str = flag("folder of the table and the picture", "docs/results/feedback")


COMMAND = _command.Command("gains", __doc__, (Flags,))


@dataclasses.dataclass(frozen=True)
class Gain:
    """One difference: of which study, what is added, top-1 of both rows in %, seeds, and the Comparison."""

    study: str
    asked: str
    without: float
    added: float
    seeds: int
    comparison: paired.Comparison


def main(argv=None):
    """Write the page; returns the exit status."""
    return COMMAND.run(argv, _write)


def _write(values):
    gains, output = found(Path(values.results)), Path(values.output)
    text = [HEAD, "|" + "---|" * (HEAD.count("|") - 1), *map(_line, gains), ""]
    text += [
        f"Exact two-sided sign-flip test over seeds, Holm's correction for these {len(gains)} differences; Student's t "
        "intervals, not corrected. Command: `python -m tools.studies.gains`"
    ]
    files.write_text(output / "gains.md", "\n".join(text) + "\n")
    figures.intervals(gains, output / "gains")
    print("\n".join(text))


def found(folder):
    """The gains of all studies, corrected together: list of Gain.

    Args:
        folder: Path of the studies' folders.
    Raises:
        UsageError: a study's runs.csv is not there, or lacks a row.
    """
    gains = []
    for study, (place, asked) in STUDIES.items():
        runs = _runs(folder / place / "runs.csv")
        for question, name, reference in asked:
            missing = next((row for row in (name, reference) if row not in runs), None)
            if missing:
                raise UsageError(f"--results: expected runs of {missing!r} in {folder / place}, got {', '.join(runs)}")
            row, other = runs[name], runs[reference]
            means = [100 * statistics.mean(run["top1"] for run in group) for group in (other, row)]
            gains.append(Gain(study, question, *means, len(row), report.difference(row, other)))
    corrected = paired.holm([gain.comparison for gain in gains])
    return [dataclasses.replace(gain, comparison=one) for gain, one in zip(gains, corrected, strict=True)]


def _runs(path):
    """dict of row name to its runs, dicts with top1 and examples, in the order of their seeds."""
    if not path.is_file():
        raise UsageError(f"--results: expected the runs of a study in {path}; docs/results/README.md has its command")
    with open(path, newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: int(row["seed"]))
    groups = {}
    for row in rows:
        run = {"top1": float(row["top1"]), "examples": int(row["examples"])}
        groups.setdefault(row["name"], []).append(run)
    return groups


def _line(gain):
    cells = [gain.study, gain.asked, str(gain.seeds), f"{gain.without:.2f}", f"{gain.added:.2f}"]
    cells += report.told(gain.comparison)
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
