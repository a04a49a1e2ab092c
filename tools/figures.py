"""Drawings of the studies, each as PNG and SVG."""

import statistics

from mpl_tf import files


def dots(groups, path):
    """Test accuracy: a line of dots a row, a dot a seed, a bar the mean.

    Args:
        groups: dict of row name to its runs, dicts with top1.
        path: of the files, without their endings.
    """
    figure, axes = _new((7, 0.4 * len(groups) + 1.2))
    for place, group in enumerate(groups.values()):
        top1 = [100 * run["top1"] for run in group]
        axes.plot(top1, [place] * len(top1), "o", color="tab:blue", alpha=0.4)
        axes.plot(statistics.mean(top1), place, "|", color="black", markersize=16, markeredgewidth=2)
    axes.set(yticks=range(len(groups)), yticklabels=list(groups), xlabel="test top-1, % (a dot a seed, a bar the mean)")
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
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
