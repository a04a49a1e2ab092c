"""report.html: one page that opens without anything else; pictures, charts and its script are inside."""

import collections
import functools
import io
from pathlib import Path
from typing import NamedTuple

import jinja2
import numpy as np

from mpl_tf.base import files
from mpl_tf.data import decode
from mpl_tf.filtering import inputs, outputs, pairs
from mpl_tf.run.report import look

PICTURES = 6  # Best ones and last ones kept of a class.
CLASSES = 50  # With pictures; of more classes these are spread evenly.
BAR, TALL = 8, 36  # Width and greatest height of a bar of probabilities, pixels.
CHART = (432, 120)  # Width and height of the histogram of distances, pixels.


class Shown(NamedTuple):
    """A small picture.

    Attributes:
        uri: of its data; empty where it cannot be read now.
        name: id of the image.
    """

    uri: str = ""
    name: str = ""


def write(counts, chosen, names, distance, chunks, excluded, output):
    """Write OUTPUT/report.html.

    Args:
        counts: outputs.Counts.
        chosen: outputs.Selected.
        names: of the classes; None where the model has none.
        distance: largest one that overlaps, bits; -1: equal pixels alone.
        chunks, excluded: lists of inputs.Chunk, of the images and of the evaluation images.
        output: Path.
    """
    named, names = names is not None, names or [str(number) for number in range(len(chosen.limits))]
    grid, overlaps = _grid(chosen, len(names)), counts.overlaps.shown()
    wanted = {("unlabeled", *image) for places in grid.values() for image, _ in places}
    for pair in overlaps:
        wanted |= {("unlabeled", *pair.image), (pair.what, *pair.other)}
    pictures = _thumbnails(wanted, {"unlabeled": chunks, "evaluation": excluded})
    summary = counts.summary(chosen, names)
    content = {
        "title": f"{summary['kept_images']:,} of {summary['images']:,} images kept",
        "style": look.STYLE,
        "script": _file("report.js"),
        "named": named,
        "totals": _totals(summary),
        "classes": _classes(summary, counts.histogram, chosen),
        "grid": [_pictures(number, names[number], places, pictures) for number, places in grid.items()],
        "overlaps": {"total": counts.overlaps.total, "threshold": distance}
        | {"others": [(count, pairs.OTHERS[name]) for name, count in sorted(counts.overlaps.others.items())]}
        | _distances(counts.overlaps.counts, distance)
        | {"pairs": [_pair(pair, names, pictures) for pair in overlaps]},
    }
    files.write_text(output / "report.html", _template().render(content) + "\n")


def _grid(chosen, classes):
    """Dict of class to the best and the last kept: list of ((chunk, row), probability), None between them."""
    kept = chosen.kept
    labels = kept["class"].to_numpy()
    columns = [kept[name].to_numpy() for name in ("chunk", "row", "probability")]
    present = np.flatnonzero(np.bincount(labels, minlength=classes))
    if len(present) > CLASSES:
        present = present[np.linspace(0, len(present) - 1, CLASSES).astype(int)]
    result = {}
    for label in present.tolist():
        first, stop = np.searchsorted(labels, [label, label + 1]).tolist()
        shown = sorted({*range(first, min(first + PICTURES, stop)), *range(max(stop - PICTURES, first), stop)})
        found = zip(*(column[shown].tolist() for column in columns), strict=True)
        result[label] = [((chunk, row), probability) for chunk, row, probability in found]
    return result


def _thumbnails(wanted, chunks):
    """Dict of (set, chunk, row) to Shown, of each image that can be read."""
    found, by_chunk = {}, collections.defaultdict(set)
    for what, chunk, row in wanted:
        by_chunk[what, chunk].add(row)
    for (what, chunk), rows in sorted(by_chunk.items()):
        for item in inputs.pick(chunks[what][chunk], rows):
            try:
                name, data = item.load()
                with decode.open_image(io.BytesIO(data)) as image:
                    upright, _ = decode.upright(image, chunks[what][chunk].ground)
            except (OSError, ValueError):
                continue
            found[what, chunk, item.row] = Shown(look.thumbnail(upright), name)
    return found


def _totals(summary):
    """List of (what, how many)."""
    rows = [("kept", summary["kept_images"]), ("shown in an epoch, copies counted", summary["images_an_epoch"])]
    rows += [(f"left out: {reason.replace('_', ' ')}", count) for reason, count in summary["rejected"].items()]
    for problem, about in summary["problems"].items():
        what = "converted" if about["used"] else "unreadable"
        rows.append((f"{what}: {problem.replace('_', ' ')}", about["count"]))
    return rows


def _classes(summary, histogram, chosen):
    """A row of the table a class, dict."""
    labels, probability = (chosen.kept[name].to_numpy() for name in ("class", "probability"))
    kept = outputs.histogram(labels, probability, len(histogram))
    rows = []
    for about in summary["classes"]:
        number, least = about["class"], about["least_probability"]
        cells = [f"{about[key]:,}" for key in ("predicted", "wanted", "kept", "copies")]
        cells.append("" if least is None else f"{least:.4f}")
        bars = _bars(histogram[number], kept[number])
        size = {"width": BAR * len(histogram[number]), "height": TALL}
        rows.append({"number": number, "name": about["name"], "cells": cells, "bars": bars} | size)
    return rows


def _bars(every, kept):
    """List of (kind, x, y, width, height) of a histogram's bars, and of the part of them that is kept; square-root
    heights, so that few are seen too."""
    top, bars = max(every.max(), kept.max(), 1) ** 0.5, []
    for number, pair in enumerate(zip(every, kept, strict=True)):
        for kind, count in zip(("bar", "kept"), pair, strict=True):
            height = round(TALL * count**0.5 / top, 1)
            if count:
                bars.append((kind, number * BAR, round(TALL - height, 1), BAR - 1, height))
    return bars


def _distances(counts, distance):
    """The histogram of distances: its size and bars, each of the two sets on top of the other.

    Args:
        counts: as pairs.Pairs has them.
        distance: as `write` has it.
    """
    width, height = CHART
    places = range(max(distance, 0) + 1)
    bar, bars = width / len(places), []
    top = max(sum(counts[what][one] for what in pairs.SETS) for one in places) or 1
    for one in places:
        parts, floor, so_far = [], height, 0
        for what in pairs.SETS:
            so_far += counts[what][one]
            y = height * (1 - (so_far / top) ** 0.5)
            if counts[what][one]:
                parts.append((what, round(y, 1), round(floor - y, 1)))
            floor = y
        here = {what: counts[what][one] for what in pairs.SETS}
        bars.append({"distance": one, "x": round(one * bar, 1), "counts": here, "parts": parts})
    return {"width": width, "height": height, "bar": round(bar, 2), "bars": bars}


def _pictures(number, name, places, pictures):
    """A class's part of the grid, dict."""
    figures = [(pictures.get(("unlabeled", *image), Shown()), f"{probability:.4f}") for image, probability in places]
    return {"number": number, "name": name, "best": figures[:PICTURES], "last": figures[PICTURES:]}


def _pair(pair, names, pictures):
    """A pair as the page has it, dict."""
    image, other = (pictures.get(place, Shown()) for place in (("unlabeled", *pair.image), (pair.what, *pair.other)))
    kind = "evaluation" if pair.what == "evaluation" else "kept"
    about = {"number": pair.label, "name": names[pair.label], "told": pair.told, "kind": kind}
    about["distance"] = pair.distance if pair.bits else -1  # Below any threshold.
    return about | {"image": image, "other": other}


def _file(name):
    """A part of the page that lies beside this module, which no value of a run comes into."""
    return (Path(__file__).parent / name).read_text("utf-8")


@functools.cache
def _template():
    """The page; what is put into it is escaped, but for its own script and style."""
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_file("report.html"))
