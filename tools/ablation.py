"""Runs of the program side by side over seeds, and a table of them.

    python -m tools.ablation --study=methods --dataset=digits_50 --seeds=0-4 --output=docs/methods

Each run is one `python -m mpl_tf.main` in its own folder under OUTPUT/runs; a finished one is not run again, one that
was cut off goes on. Writes OUTPUT/runs.csv (a row a run), OUTPUT/table.md and OUTPUT/table.png, table.svg.
"""

import csv
import json
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

from absl import flags

from mpl_tf import config as configuration
from mpl_tf import files
from mpl_tf.errors import UsageError

EXACT = ["--method=mpl", "--feedback=exact", "--feedback_scale=sum", "--pseudo_labels=soft"]
# A study is a dict of row name to the flags that make it; the first row is what the others are compared with.
STUDIES = {
    "methods": {
        "supervised": ["--method=supervised"],
        "uda": ["--method=uda"],
        "mpl, feedback off": ["--method=mpl", "--feedback=off"],
        "mpl": ["--method=mpl"],
    },
    "feedback": {
        "off": ["--method=mpl", "--feedback=off"],
        "taylor, mean": [
            "--method=mpl",
            "--feedback=taylor",
            "--feedback_scale=mean",
            "--feedback_weight=1",
            "--pseudo_labels=sampled",
        ],
        "exact, weight 1": [*EXACT, "--feedback_weight=1"],
        "exact, weight 3": [*EXACT, "--feedback_weight=3"],
    },
    "speed": {
        "mpl": ["--method=mpl"],
        "split passes": ["--method=mpl", "--teacher_passes=split"],
        "mixed_bfloat16": ["--method=mpl", "--precision=mixed_bfloat16"],
    },
}


def main(argv=None):
    """Run a study; returns the exit status."""
    values = flags.FlagValues()
    flags.DEFINE_enum("study", "methods", list(STUDIES), "which rows to run", flag_values=values)
    flags.DEFINE_string("dataset", "digits_50", "data set of every run", flag_values=values)
    flags.DEFINE_string("seeds", "0-4", "first-last, or a list: 0,3,7", flag_values=values)
    flags.DEFINE_string("output", "docs/methods", "folder of the table", flag_values=values)
    flags.DEFINE_multi_string("extra", [], "a flag for every run, as --extra=--train_steps=100", flag_values=values)
    try:
        values(["ablation", *(sys.argv[1:] if argv is None else argv)])
        seeds = parse_seeds(values.seeds)
        rows = run_study(STUDIES[values.study], values.dataset, seeds, values.extra, Path(values.output))
    except (flags.Error, UsageError, subprocess.CalledProcessError) as error:
        print(f"ablation: error: {error}", file=sys.stderr)
        return 2 if isinstance(error, (flags.Error, UsageError)) else 1
    command = (
        f"python -m tools.ablation --study={values.study} --dataset={values.dataset} --seeds={values.seeds} "
        f"--output={values.output}" + "".join(f" --extra={flag}" for flag in values.extra)
    )
    write_table(rows, command, Path(values.output))
    return 0


def parse_seeds(text):
    """'0-4' or '0,3,7' as a list of int.

    Raises:
        UsageError: neither of these.
    """
    try:
        first, dash, last = text.partition("-")
        return list(range(int(first), int(last) + 1)) if dash else [int(part) for part in text.split(",")]
    except ValueError as error:
        raise UsageError(f"--seeds: expected first-last or a list like 0,3,7, got {text}") from error


def run_study(study, dataset, seeds, extra, output):
    """Run what has not been run; list of dicts, one a run, written to OUTPUT/runs.csv as they come."""
    rows = []
    for name, arguments in study.items():
        for seed in seeds:
            folder = output / "runs" / f"{name.replace(', ', '-').replace(' ', '_')}-seed{seed}"
            started = time.perf_counter()
            if not (folder / "results.json").exists():
                command = [
                    sys.executable,
                    "-m",
                    "mpl_tf.main",
                    f"--dataset={dataset}",
                    *arguments,
                    *extra,
                    f"--seed={seed}",
                    f"--workdir={folder}",
                ]
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
                files.write_text(folder / "wall_seconds.txt", f"{time.perf_counter() - started:.1f}\n")
            rows.append(_row(name, seed, folder))
            print(f"{name}, seed {seed}: {100 * rows[-1]['top1']:.2f} %", flush=True)
    return rows


def _row(name, seed, folder):
    results = json.loads((folder / "results.json").read_text())
    return {
        "name": name,
        "seed": seed,
        "top1": results["test"]["top1"],
        "loss": results["test"]["loss"],
        "feedback_share": results["means"].get("feedback_share", 0.0),
        "wall_seconds": float((folder / "wall_seconds.txt").read_text()),
    }


def write_table(rows, command, output):
    """Write runs.csv, table.md, table.png and table.svg into `output`."""

    def save(path):
        with open(path, "w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)

    files.write(output / "runs.csv", save)
    groups = {}
    for row in rows:
        groups.setdefault(row["name"], []).append(row)
    reference = next(iter(groups.values()))
    lines = [
        "| row | runs | test top-1, % (mean ± sd) | paired difference to the first row, points | "
        "feedback's share of the teacher's gradient | seconds a run |",
        "|---|---|---|---|---|---|",
    ]
    for name, group in groups.items():
        top1 = [100 * row["top1"] for row in group]
        difference = statistics.mean(100 * (a["top1"] - b["top1"]) for a, b in zip(group, reference, strict=True))
        share = statistics.mean(row["feedback_share"] for row in group)
        wall = statistics.mean(row["wall_seconds"] for row in group)
        lines.append(f"| {name} | {len(group)} | {_mean_sd(top1)} | {difference:+.2f} | {share:.3f} | {wall:.0f} |")
    found = configuration.versions()["versions"]
    about = f"Python {found['python']}, TensorFlow {found['tensorflow']}, Keras {found['keras']}, {platform.machine()}"
    lines += ["", f"Command: `{command}`", "", f"Machine: {about}, no accelerator unless said otherwise."]
    files.write_text(output / "table.md", "\n".join(lines) + "\n")
    _draw(groups, output)
    print("\n".join(lines))


def _mean_sd(values):
    spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.2f}{spread}"


def _draw(groups, output):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 0.6 * len(groups) + 1.2), layout="constrained")
    for place, group in enumerate(groups.values()):
        top1 = [100 * row["top1"] for row in group]
        axes.plot(top1, [place] * len(top1), "o", color="tab:blue", alpha=0.4)
        axes.plot(statistics.mean(top1), place, "|", color="black", markersize=22, markeredgewidth=2)
    axes.set(yticks=range(len(groups)), yticklabels=list(groups), xlabel="test top-1, % (a dot a seed, a bar the mean)")
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    for ending in ("png", "svg"):
        files.write(output / f"table.{ending}", lambda path, e=ending: figure.savefig(path, format=e, dpi=120))
    pyplot.close(figure)


if __name__ == "__main__":
    sys.exit(main())
