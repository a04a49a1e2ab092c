"""The page of the campaign of faults: counts of outcomes a method and kind, and what went wrong."""

import collections
import platform
import re

from mpl_tf.base import files, versions

from .judge import OUTCOMES, RECOVERED, REFUSED

COLUMNS = ("method", "kind", "fault", "outcome", "seconds", "why")
BAD = [outcome for outcome in OUTCOMES if outcome not in (RECOVERED, REFUSED)]
ABOUT = """A trial disturbs a short run, gives the same command again, and compares student, teachers, results and
tables with those of the undisturbed run. *Recovered*: every bit is the same; a damaged table whose damage was told is
not compared. *Refused*: one line says why; where it advises to delete a file, that was done and the run recovered.
*Unexpected*: another end. *Wrong*: exit status 0 and other numbers, or advice that does not help.
"""
TOLD = 20  # Sorts of refusals that the page lists.


def failed(rows):
    """Whether a trial had a bad end.

    Args:
        rows: list of dict of COLUMNS.
    """
    return any(row["outcome"] in BAD for row in rows)


def write(rows, path, command):
    """Write the page as Markdown."""
    found = versions.versions()
    known = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    bad = [row for row in rows if row["outcome"] in BAD]
    parts = [
        f"# {len(rows):,} faults\n\n`{command}`\n\n{platform.machine()}, {known}.\n",
        ABOUT,
        _counts(rows),
        "## Unexpected or wrong\n\n" + ("\n".join(_told(row) for row in bad) or "None.") + "\n",
        "## What was refused\n\n" + _refusals(rows),
    ]
    files.write_text(path, "\n".join(parts))


def _counts(rows):
    """The table of counts, kinds under methods, with sums."""
    counts = collections.Counter((row["method"], row["kind"], row["outcome"]) for row in rows)
    groups = list(dict.fromkeys((row["method"], row["kind"]) for row in rows))
    lines = ["| method | fault | tried | " + " | ".join(OUTCOMES) + " |", "|---|---|" + "---|" * (1 + len(OUTCOMES))]
    for group in groups:
        lines.append(_line(*group, [counts[*group, outcome] for outcome in OUTCOMES]))
    sums = [sum(row["outcome"] == outcome for row in rows) for outcome in OUTCOMES]
    return "\n".join([*lines, _line("all", "", sums)]) + "\n"


def _line(method, kind, numbers):
    return f"| {method} | {kind} | {sum(numbers)} | " + " | ".join(map(str, numbers)) + " |"


def _told(row):
    return f"- {row['method']}, {row['kind']}, {row['fault']}: {row['outcome']}: {row['why']}"


def _refusals(rows):
    """The messages of the refusals without their numbers, the most frequent first."""
    said = collections.Counter(re.sub(r"\d+", "N", row["why"]) for row in rows if row["outcome"] == REFUSED)
    return "\n".join(f"- {count} times: {text}" for text, count in said.most_common(TOLD)) + "\n"
