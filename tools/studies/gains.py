"""What each part of Meta Pseudo Labels adds: the differences of several studies in one table and one picture.

    python -m tools.studies.gains
    python -m tools.studies.gains --page=digits

Reads the runs.csv of the studies below --results and writes a page, gains or digits, as .md, .png and .svg into
--output. Each difference is paired by seed and tested as the studies' tables are, corrected for all differences of
the page together.
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
ASKED_OF_DIGITS = (
    ("class balance 1", "balance 1", "off, soft"),
    ("class balance 3", "balance 3", "off, soft"),
    ("the paper's feedback", "taylor, mean", "off, sampled"),
    ("exact feedback", "exact", "off, soft"),
    ("that of shuffled labels", "shuffled labels", "off, soft"),
    ("exact feedback beside balance 1", "exact, balance 1", "balance 1"),
    ("exact feedback beside balance 3", "exact, balance 3", "balance 3"),
)
# Page to what it shows; and to its studies: of each its title, its folder and what is asked of it.
SHOWN = {"gains": "photographs", "digits": "digits"}
PAGES = {
    "gains": {
        "40 labels": ("photographs/40", ASKED),
        "250 labels": ("photographs/250", ASKED),
        "4,000 labels": ("photographs/4000", ASKED),
        "40 labels, 60 seeds": (
            "photographs/deciding",
            (("exact feedback beside balance", "exact, balance", "off, balance"),),
        ),
    },
    "digits": {
        "10 labels": ("feedback/digits_10_balance", ASKED_OF_DIGITS),
        "50 labels": ("feedback/digits_50_balance", ASKED_OF_DIGITS),
        "10 labels, no UDA": ("feedback/digits_10_balance_without_uda", ASKED_OF_DIGITS),
        "50 labels, no UDA": ("feedback/digits_50_balance_without_uda", ASKED_OF_DIGITS),
    },
}
COLUMNS = ("what is added", "seeds", "without, %", "with, %", "difference, points (95 % interval)", "p", "p, Holm")


@dataclasses.dataclass(frozen=True)
class Flags:
    """Flags of the page."""

    page: str = flag("gains: photographs; digits: handwritten digits", "gains", choices=tuple(PAGES))
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
    studies, output = PAGES[values.page], Path(values.output)
    gains = found(studies, Path(values.results))
    head = [SHOWN[values.page], *COLUMNS]
    text = [f"| {' | '.join(head)} |", "|" + "---|" * len(head), *map(_line, gains), ""]
    text += [
        f"Exact two-sided sign-flip test over seeds, Holm's correction for these {len(gains)} differences; Student's t "
        f"intervals, not corrected. Command: `python -m tools.studies.gains --page={values.page}`"
    ]
    files.write_text(output / f"{values.page}.md", "\n".join(text) + "\n")
    figures.intervals(gains, output / values.page)
    print("\n".join(text))


def found(studies, folder):
    """The gains of a page's studies, corrected together: list of Gain.

    Args:
        studies: dict, a page of PAGES.
        folder: Path of the studies' folders.
    Raises:
        UsageError: a study's runs.csv is not there, or lacks a row.
    """
    gains = []
    for study, (place, asked) in studies.items():
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
