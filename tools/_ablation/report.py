"""The files of a study from its runs: runs.csv, table.md and the text under it, made of the numbers alone."""

import csv
import math
import platform
import statistics

from mpl_tf.base import files, versions

from . import figures, paired

HEAD = (
    "| row | runs | {part} top-1, % (mean ± sd) | compared with | paired difference, points (95 % interval) | p | "
    "p, Holm | feedback's share (mean ± sd over seeds) | sd over a run's epochs |"
)


def write(rows, references, command, settings, output):
    """Write runs.csv, table.md, table.png and table.svg into `output` and print the table.

    Args:
        rows: list of dict, one a run: name, seed, top1, examples, feedback_share, feedback_share_sd, and scored_on, the
            images' part of the data; more columns go into runs.csv as they are.
        references: dict of row name to the name of the row it is compared with.
        command: that made them.
        settings: the flags that all rows have.
        output: Path of a folder.
    Returns:
        dict of row name to its runs.
    """
    files.write(output / "runs.csv", lambda path: _save_csv(path, rows))
    groups = {}
    for row in rows:
        groups.setdefault(row["name"], []).append(row)
    # The table, what its numbers say, and how they were made.
    comparisons = compare(groups, references)
    part = rows[0]["scored_on"]
    lines = [HEAD.format(part=part), "|" + "---|" * (HEAD.count("|") - 1)]
    lines += [_line(name, group, references[name], comparisons.get(name)) for name, group in groups.items()]
    text = [*lines, "", *conclusions(groups, references, comparisons), "", f"Command: `{command}`"]
    text += ["", f"Flags of every row: `{settings}`"] if settings else []
    text += ["", _machine()]
    files.write_text(output / "table.md", "\n".join(text) + "\n")
    figures.dots(groups, output / "table", part)
    print("\n".join(text))
    return groups


def compare(groups, references):
    """Comparisons of all rows with the rows they refer to, corrected together: dict of row name to paired.Comparison.

    Args:
        groups: dict of row name to its runs, dicts, the same seeds in each.
        references: as in `write`; a row that is its own is not compared.
    """
    names = [name for name in groups if references[name] != name]
    found = [difference(groups[name], groups[references[name]]) for name in names]
    return dict(zip(names, paired.holm(found), strict=True))


def difference(row, other):
    """paired.Comparison of a row with another, not corrected.

    Args:
        row, other: lists of runs, dicts with top1 and examples, the same seeds in the same order.
    """
    correct, reference = ([round(run["top1"] * run["examples"]) for run in runs] for runs in (row, other))
    return paired.compare(correct, reference, row[0]["examples"])


def conclusions(groups, references, comparisons):
    """What the numbers say: the test's name, the rows that differ after correction, and the best means; list of str."""
    lines = [
        f"Each row is paired by seed with the row it is compared with: Student's t interval of the mean difference, "
        f"exact two-sided sign-flip permutation test (p), Holm's correction for the {len(comparisons)} comparisons of "
        f"this table. A difference is called significant where the corrected p is below {paired.LEVEL}."
    ]
    # The test flips the signs of the seeds' differences: of n seeds the smallest two-sided p is 2 / 2^n.
    seeds = min(len(group) for group in groups.values())
    smallest = 2 / 2**seeds
    if smallest * len(comparisons) >= paired.LEVEL:
        lines[0] += (
            f" With {seeds} seeds this test gives no p below {smallest:.2g} (2 / 2^{seeds}), after the correction none "
            f"below {min(smallest * len(comparisons), 1):.2g}: no difference of this table can be called significant, "
            "however large. An interval takes the differences for normal and is not corrected for the other rows: one "
            "that excludes 0 shows that the row's seeds agree, and decides nothing."
        )
    # Who differs after correction, and the best mean of each family of rows.
    for word, sign in (("better", 1), ("worse", -1)):
        found = [
            f"{name} ({100 * c.difference:+.2f})"
            for name, c in comparisons.items()
            if c.significant and c.difference * sign > 0
        ]
        lines += ["", f"Significantly {word}: {'; '.join(found) or 'none'}."]
    for name in dict.fromkeys(references.values()):
        if name not in groups:
            continue
        family = [row for row in groups if references[row] == name]
        if len(family) > 1:
            best = max(family, key=lambda row: statistics.mean(run["top1"] for run in groups[row]))
            lines += ["", f"Best mean among {name} and the rows compared with it: {best}."]
    return lines


def mean_sd(values):
    """'mean ± standard deviation', or the mean alone of one value, two decimals."""
    spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.2f}{spread}"


def told(comparison):
    """Cells of a paired.Comparison: the difference in points with its interval, p, p corrected; list of str."""
    c = comparison
    interval = "" if math.isnan(c.low) else f" ({100 * c.low:+.2f} to {100 * c.high:+.2f})"
    return [f"{100 * c.difference:+.2f}{interval}", f"{c.p:.2g}", f"{c.corrected:.2g}"]


def _line(name, group, reference, comparison):
    top1, share, within = ([run[key] for run in group] for key in ("top1", "feedback_share", "feedback_share_sd"))
    between = f" ± {statistics.stdev(share):.4f}" if len(share) > 1 else ""
    cells = [name, str(len(group)), mean_sd([100 * value for value in top1])]
    cells += ["", "", "", ""] if comparison is None else [reference, *told(comparison)]
    cells += [f"{statistics.mean(share):.4f}{between}", f"{statistics.mean(within):.4f}"]
    return f"| {' | '.join(cells)} |"


def _save_csv(path, rows):
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _machine():
    found = versions.versions()["versions"]
    about = f"Python {found['python']}, TensorFlow {found['tensorflow']}, Keras {found['keras']}, {platform.machine()}"
    return f"Machine: {about}, no accelerator unless said otherwise."
