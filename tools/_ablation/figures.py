"""Drawings of the studies, each as PNG and SVG."""

import statistics

from mpl_tf.base import files


def dots(groups, path, part="test"):
    """Accuracy: a line of dots a row, a dot a seed, a bar the mean.

    Args:
        groups: dict of row name to its runs, dicts with top1.
        path: of the files, without their endings.
        part: of the data that was scored.
    """
    figure, axes = _new((7, 0.4 * len(groups) + 1.2))
    for place, group in enumerate(groups.values()):
        top1 = [100 * run["top1"] for run in group]
        axes.plot(top1, [place] * len(top1), "o", color="tab:blue", alpha=0.4)
        axes.plot(statistics.mean(top1), place, "|", color="black", markersize=16, markeredgewidth=2)
    axes.set(
        yticks=range(len(groups)), yticklabels=list(groups), xlabel=f"{part} top-1, % (a dot a seed, a bar the mean)"
    )
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    _save(figure, path)


def intervals(gains, path):
    """Differences with their 95 % intervals, a line each, in the order given; filled where the corrected test decides.

    Args:
        gains: list of objects with study, asked and comparison (paired.Comparison).
        path: as in `dots`.
    """
    figure, axes = _new((8, 0.34 * len(gains) + 1.2))
    studies = list(dict.fromkeys(gain.study for gain in gains))
    for place, gain in enumerate(gains):
        found = gain.comparison
        low, middle, high = (100 * value for value in (found.low, found.difference, found.high))
        color = f"C{studies.index(gain.study)}"
        face = color if found.significant else "white"
        axes.plot([low, high], [place, place], color=color)
        axes.plot(middle, place, "o", color=color, markerfacecolor=face)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set(yticks=range(len(gains)), yticklabels=[f"{gain.asked} ({gain.study})" for gain in gains])
    axes.set_xlabel("points of test top-1, 95 % interval\nfilled: significant after correction")
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    _save(figure, path)


def against_labels(groups, path):
    """Test accuracy over the number of labels (paper, Figure 5): a line a method, bars of one standard deviation.

    Args:
        groups: dict of row name, "METHOD, N labels", to its runs, dicts with top1 and labels.
        path: as in `dots`.
    """
    # One point a row: the rows of a method differ in their number of labels.
    lines = {}
    for name, group in groups.items():
        top1 = [100 * run["top1"] for run in group]
        spread = statistics.stdev(top1) if len(top1) > 1 else 0.0
        lines.setdefault(name.rpartition(", ")[0], []).append((group[0]["labels"], statistics.mean(top1), spread))
    figure, axes = _new((6, 4))
    for name, points in lines.items():
        labels, means, spreads = zip(*sorted(points), strict=True)
        axes.errorbar(labels, means, spreads, marker="o", capsize=3, label=name)
    # A logarithmic axis that names the numbers themselves.
    ticks = sorted({point[0] for points in lines.values() for point in points})
    axes.set(xscale="log", xlabel="labeled examples", ylabel="test top-1, % (mean ± sd over seeds)")
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend()
    _save(figure, path)


def over_steps(curves, path):
    """Training accuracy over the steps (paper, Figure 4): a line a curve, a band of one standard deviation over seeds.

    Args:
        curves: dict of legend to a list, one a seed, of [(step, accuracy)], the same steps in each.
        path: as in `dots`.
    """
    figure, axes = _new((6, 4))
    for name, seeds in curves.items():
        # Mean and spread over the seeds at each step.
        steps = [step for step, _ in seeds[0]]
        columns = [[100 * value for _, value in column] for column in zip(*seeds, strict=True)]
        means = [statistics.mean(column) for column in columns]
        spreads = [statistics.stdev(column) if len(column) > 1 else 0.0 for column in columns]
        (line,) = axes.plot(steps, means, label=name)
        low, high = ([m + sign * sd for m, sd in zip(means, spreads, strict=True)] for sign in (-1, 1))
        axes.fill_between(steps, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
    axes.set(xlabel="step", ylabel="training accuracy, % (mean ± sd over seeds)")
    axes.grid(alpha=0.3)
    axes.legend()
    _save(figure, path)


def _new(size):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot.subplots(figsize=size, layout="constrained")


def _save(figure, path):
    from matplotlib import pyplot

    for ending in ("png", "svg"):
        target = path.with_name(f"{path.name}.{ending}")
        files.write(target, lambda temporary, e=ending: figure.savefig(temporary, format=e, dpi=120))
    pyplot.close(figure)
