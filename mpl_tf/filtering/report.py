"""report.html: one page that opens without anything else; pictures and charts are inside."""

import collections
import html
import io

import numpy as np

from mpl_tf.base import files
from mpl_tf.data import decode
from mpl_tf.filtering import inputs, outputs
from mpl_tf.run.report import look

PICTURES = 6  # Best ones and last ones kept of a class.
CLASSES = 50  # With pictures; of more classes these are spread evenly.
# Beside what all pages share.
STYLE = """
.gap { width: 18px; } .pair { display: flex; gap: 4px; border: 1px solid #d0d7de; padding: 4px; border-radius: 4px; }
.bar { fill: #b6c2cf; } .kept { fill: #0969da; }
"""


def write(counts, chosen, names, chunks, excluded, output):
    """Write OUTPUT/report.html.

    Args:
        counts: outputs.Counts.
        chosen: outputs.Selected.
        names: of the classes.
        chunks, excluded: lists of inputs.Chunk, of the images and of the evaluation images.
        output: Path.
    """
    grid = _grid(chosen, len(names))
    wanted = {("unlabeled", *image) for places in grid.values() for image, _ in places}
    for what, image, other, _ in counts.overlaps:
        wanted |= {("unlabeled", *image), (what, *other)}
    thumbnails = _thumbnails(wanted, {"unlabeled": chunks, "evaluation": excluded})
    summary = counts.summary(chosen, names)
    title = f"{summary['kept_images']:,} of {summary['images']:,} images kept"
    parts = [
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{title}</title>",
        f"<style>{look.STYLE}{STYLE}</style></head><body><h1>{title}</h1>",
        _totals(summary),
        "<h2>Classes</h2>",
        _classes(summary, counts.histogram, chosen),
        "<h2>Best and last kept of each class</h2>",
        f"<p class='note'>{len(grid)} of {len(names)} classes; the best on the left, the last kept on the right.</p>",
        *(_pictures(names[label], places, thumbnails) for label, places in grid.items()),
        "<h2>Overlaps</h2>",
        _pairs(counts.overlaps, thumbnails, summary["rejected"]["overlaps"]),
        "</body></html>",
    ]
    files.write_text(output / "report.html", "\n".join(parts) + "\n")


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
    """Dict of (set, chunk, row) to (data URI, id) of each image that can be read."""
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
            found[what, chunk, item.row] = (look.thumbnail(upright), name)
    return found


def _totals(summary):
    rows = [("kept", summary["kept_images"]), ("shown in an epoch, copies counted", summary["images_an_epoch"])]
    rows += [(f"left out: {reason.replace('_', ' ')}", count) for reason, count in summary["rejected"].items()]
    for problem, about in summary["problems"].items():
        what = "converted" if about["used"] else "unreadable"
        rows.append((f"{what}: {problem.replace('_', ' ')}", about["count"]))
    cells = "".join(f"<tr><td>{html.escape(name)}</td><td>{count:,}</td></tr>" for name, count in rows)
    return f"<table>{cells}</table>"


def _classes(summary, histogram, chosen):
    heads = ("class", "predicted", "wanted", "kept", "shown an epoch", "least probability", "by probability, 0 to 1")
    labels, probability = (chosen.kept[name].to_numpy() for name in ("class", "probability"))
    kept = outputs.histogram(labels, probability, len(histogram))
    lines = ["<tr>" + "".join(f"<th>{head}</th>" for head in heads) + "</tr>"]
    for about in summary["classes"]:
        least = "" if about["least_probability"] is None else f"{about['least_probability']:.4f}"
        cells = [f"{about[key]:,}" for key in ("predicted", "wanted", "kept", "copies")] + [least]
        cells.append(_bars(histogram[about["class"]], kept[about["class"]]))
        name = html.escape(about["name"])
        lines.append(f"<tr><td>{name}</td>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    note = "<p class='note'>Grey: all images of the class by the model; blue: those kept. Heights are square roots.</p>"
    return f"<table>{''.join(lines)}</table>{note}"


def _bars(every, kept):
    """Inline SVG of a histogram and of the part of it that is kept; square-root heights, so that few are seen too."""
    top, width, height = max(every.max(), kept.max(), 1) ** 0.5, 8, 36
    bars = []
    for number, pair in enumerate(zip(every, kept, strict=True)):
        for kind, count in zip(("bar", "kept"), pair, strict=True):
            tall = height * count**0.5 / top
            if count:
                x, y = number * width, height - tall
                bars.append(f"<rect class='{kind}' x='{x}' y='{y:.1f}' width='{width - 1}' height='{tall:.1f}'/>")
    return f"<svg width='{width * len(every)}' height='{height}' role='img'>{''.join(bars)}</svg>"


def _pictures(name, places, thumbnails):
    figures = []
    for number, (image, probability) in enumerate(places):
        if number == PICTURES:
            figures.append("<div class='gap'></div>")
        figures.append(_figure(thumbnails.get(("unlabeled", *image)), f"{probability:.4f}"))
    return f"<h3>{html.escape(name)}</h3><div class='row'>{''.join(figures)}</div>"


def _figure(thumbnail, caption):
    if thumbnail is None:
        return f"<figure><figcaption>cannot be read now, {html.escape(caption)}</figcaption></figure>"
    uri, name = thumbnail
    text = html.escape(name)
    return (
        f"<figure><img src='{uri}' alt='{text}' title='{text}'><figcaption>{html.escape(caption)}</figcaption></figure>"
    )


def _pairs(overlaps, thumbnails, total):
    if not total:
        return "<p>None was found.</p>"
    pairs = []
    for what, image, other, distance in overlaps:
        other_set = "evaluation" if what == "evaluation" else "kept"
        figures = _figure(thumbnails.get(("unlabeled", *image)), f"left out, {distance} bits off")
        figures += _figure(thumbnails.get((what, *other)), other_set)
        pairs.append(f"<div class='pair'>{figures}</div>")
    note = f"<p class='note'>{len(pairs)} of {total:,}: the image left out, and the one that it overlaps.</p>"
    return f"{note}<div class='row'>{''.join(pairs)}</div>"
