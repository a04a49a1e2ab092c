"""All finished runs below a folder in one table, beside the papers' figures.

    python -m tools.results --runs=runs

RUNS may be a URL (gs://, s3://). Groups the runs by data set, method and the flags in which the runs of that method
differ, prints the table and writes it to --output. Files that are no results of this program are named on stderr and
left out.
"""

import dataclasses
import statistics
import sys
from concurrent.futures import ThreadPoolExecutor

from mpl_tf.base import files, storage
from mpl_tf.base.errors import UsageError
from mpl_tf.settings.fields import flag

from . import _command
from ._ablation.report import mean_sd

THREADS = 16  # Runs read at once: in a bucket each is a request or two.
NOT_SETTINGS = ("dataset", "method", "seed", "workdir", "mode", "debug", "data_dir", "images", "store")
MPL_2, MPL_9 = "MPL, Table 2", "MPL, Table 9"
META_SEMI = "Meta-Semi, Table 1, CNN-13"
# Test top-1 in percent, mean ± sd where the paper gives one, and where it stands. Table 9 has no unlabeled data.
PAPERS = {
    ("cifar10_4k", "supervised"): ("82.14 ± 0.25", MPL_9),
    ("cifar10_4k", "label_smoothing"): ("82.21 ± 0.18", MPL_9),
    ("cifar10_4k", "mean_teacher"): ("84.13 ± 0.28", MPL_2),
    ("cifar10_4k", "fixmatch"): ("95.74 ± 0.05", MPL_2),
    ("cifar10_4k", "uda"): ("94.53 ± 0.18", MPL_2),
    ("cifar10_4k", "mpl"): ("96.11 ± 0.07", MPL_2),
    ("cifar10_4k", "mpl", "labeled"): ("83.71 ± 0.21", MPL_9),
    ("cifar10_4k", "meta_semi"): ("92.95", META_SEMI),
    ("cifar100_10k", "meta_semi"): ("69.49", META_SEMI),
    ("svhn_1k", "supervised"): ("88.17 ± 0.47", MPL_9),
    ("svhn_1k", "label_smoothing"): ("89.39 ± 0.25", MPL_9),
    ("svhn_1k", "mean_teacher"): ("94.35 ± 0.47", MPL_2),
    ("svhn_1k", "fixmatch"): ("97.72 ± 0.38", MPL_2),
    ("svhn_1k", "uda"): ("97.11 ± 0.17", MPL_2),
    ("svhn_1k", "mpl"): ("98.01 ± 0.07", MPL_2),
    ("svhn_1k", "mpl", "labeled"): ("91.89 ± 0.14", MPL_9),
    ("imagenet_10", "fixmatch"): ("71.5", MPL_2),
    ("imagenet_10", "uda"): ("68.07", MPL_2),
    ("imagenet_10", "mpl"): ("73.89", MPL_2),
}


@dataclasses.dataclass(frozen=True)
class Flags:
    """Flags of the table."""

    runs: str = flag("folder with finished runs at any depth, or a URL", "runs")
    output: str = flag("file of the table, or a URL; empty: RUNS/results.md", "")


COMMAND = _command.Command("results", __doc__, (Flags,), urls=("runs", "output"))


def main(argv=None):
    """Make the table; returns the exit status."""
    return COMMAND.run(argv, _tabulate)


def _tabulate(values):
    lines = table(read(values.runs))
    files.write_text(values.output or storage.join(values.runs, "results.md"), "\n".join(lines) + "\n")
    print("\n".join(lines))


def read(folder):
    """The finished runs below a folder.

    Args:
        folder: path or URL.
    Returns:
        list of dict: dataset, method, seed, top1, settings (dict of flag to value).
    Raises:
        UsageError: no such folder, or no finished run in it.
    """
    if not storage.is_dir(folder):
        raise UsageError(f"--runs: expected a folder of runs, got {folder}")
    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(_read_or_tell, storage.find(folder, "results.json")))
    runs = [run for run in found if run]
    if not runs:
        raise UsageError(f"--runs: expected finished runs below {folder}, found no results.json of one")
    return runs


def _read_or_tell(path):
    """`_read_run`; None, and a line on stderr, where it is none."""
    try:
        return _read_run(path)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        print(f"results: {path} left out, expected the results of a finished run ({reason})", file=sys.stderr)
        return None


def table(runs):
    """Lines of a Markdown table, a row for each data set, method and settings.

    Args:
        runs: as `read` returns them.
    """
    lines = [
        "| data set | method | settings | runs | test top-1, % (mean ± sd over seeds) | the papers' | source |",
        "|---|---|---|---|---|---|---|",
    ]
    # Within a data set and method the runs are told apart by the flags in which they differ; seeds are no flag.
    groups = {}
    for run in sorted(runs, key=lambda run: (run["dataset"], run["method"], run["seed"])):
        groups.setdefault((run["dataset"], run["method"]), []).append(run)
    for (dataset, method), members in groups.items():
        varying = _varying([run["settings"] for run in members])
        settings = {}
        for run in members:
            key = " ".join(f"--{name}={run['settings'].get(name)}" for name in varying)
            settings.setdefault(key, []).append(run)
        for key, same in sorted(settings.items(), key=lambda item: -statistics.mean(run["top1"] for run in item[1])):
            accuracy = mean_sd([100 * run["top1"] for run in same])
            figure, source = _paper(dataset, method, same[0]["settings"])
            lines.append(f"| {dataset} | {method} | {key} | {len(same)} | {accuracy} | {figure} | {source} |")
    return lines


def _read_run(path):
    # A figure that was changed since is no figure; a config.json may have been edited by hand.
    results = files.read_json(path)
    if "test" not in results and "validation" in results:
        raise ValueError("it has no test images")
    settings = files.read_json(path.parent / "config.json", intact=False)["flags"]
    return {
        "dataset": str(results["dataset"]),
        "method": str(results["method"]),
        "seed": int(results["seed"]),
        "top1": float(results["test"]["top1"]),
        "settings": {name: value for name, value in settings.items() if name not in NOT_SETTINGS},
    }


def _varying(settings):
    """Names of the flags that do not have the same value in all of these dicts, in the order of the flags."""
    names = dict.fromkeys(name for one in settings for name in one)
    return [name for name in names if any(one.get(name) != settings[0].get(name) for one in settings)]


def _paper(dataset, method, settings):
    """(figure, source) of the papers, empty where they have none for such runs."""
    if settings.get("scored_on") == "validation":
        return "", ""
    key = (dataset, method)
    if settings.get("unlabeled_source") == "labeled":
        key += ("labeled",)
    return PAPERS.get(key, ("", ""))


if __name__ == "__main__":
    sys.exit(main())
