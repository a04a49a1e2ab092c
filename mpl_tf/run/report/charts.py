"""Curves as numbers for the page's inline SVG."""

import csv
import functools
import math

from mpl_tf.run.teacher_labels import GENERATION

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 360, 170, 44, 20, 8  # Of a chart and its margins, in the units of its drawing.
POINTS = 200  # The most of a curve; of longer ones these are spread evenly, the last among them.
COLOURS = ("#0969da", "#d1570a", "#1a7f37", "#8250df", "#bf3989", "#57606a")
# Title, what it tells, and the columns of metrics.csv with what each is.
CHARTS = (
    (
        "Losses in training",
        "nats, means of an epoch",
        {
            "loss": "labeled",
            "student_loss": "student, on the labels it is given",
            "uda_loss": "weak against strong views",
            "consistency_loss": "student against average",
        },
    ),
    ("Loss on the validation images", "nats", {"val_loss": "student", "val_teacher_loss": "teacher"}),
    (
        "Accuracy",
        "share that is right, 0 to 1",
        {
            "val_accuracy": "student, validation",
            "val_teacher_accuracy": "teacher, validation",
            "accuracy": "labeled batches, in training",
        },
    ),
    ("Feedback h", "nats; above 0: the pseudo labels helped the student", {"h": "h", "baseline": "its baseline"}),
    (
        "The feedback's share",
        "of what the teacher is told, 0 to 1; below 0.01 it hardly reaches the teacher",
        {"feedback_share": "feedback_share"},
    ),
    (
        "Unlabeled images that count",
        "share, 0 to 1; near 0 the threshold lets nothing through",
        {"uda_mask": "sure enough (mask)", "selected": "selected"},
    ),
    (
        "Agreement",
        "share of the unlabeled images with one class, 0 to 1",
        {"student_agreement": "student with its labels", "teacher_agreement": "student with average"},
    ),
    ("Learning rates", "", {"learning_rate": "labeled loss's network", "student_learning_rate": "student"}),
)


def table(path):
    """The rows of a table of metrics: list of dicts of column to float; [] where there is none that can be read."""
    try:
        with open(path, newline="", encoding="utf-8") as file:
            return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    except (OSError, ValueError, TypeError):
        return []


def of_run(rows, network="student"):
    """The charts of a phase: list of what `chart` returns.

    Args:
        rows: of its table, metrics.csv of the main phase, as `table` returns them.
        network: what the page calls the network that the phase trains.
    """
    found = []
    for title, note, columns in CHARTS:
        curves = {
            label.replace("student", network): [(row["step"], row[name]) for row in rows]
            for name, label in columns.items()
            if rows and name in rows[0]
        }
        # What is 0 throughout, as the feedback of a run without, says nothing.
        curves = {label: points for label, points in curves.items() if any(value for _, value in points)}
        if curves:
            found.append(chart(title, note, curves))
    return found


def of_phases(workdir):
    """The charts of the phases before the main one and after it, those that a run has: list of dicts of title, charts.

    Args:
        workdir: Path of the run's folder, of one in a bucket the copy on the disk.
    """
    generations = sorted(workdir.glob(f"{GENERATION}*.csv"), key=_generation)
    phases = [("teacher", "The teacher, trained first", "teacher")]
    phases += [(path.stem, f"Generation {_generation(path)}, a teacher in its turn", "network") for path in generations]
    phases.append(("finetune", "Finetuning on the labeled images", "student"))
    found = [(title, of_run(table(workdir / f"{name}.csv"), network)) for name, title, network in phases]
    return [{"title": title, "charts": drawn} for title, drawn in found if drawn]


def _generation(path):
    """The number of a table of Noisy Student's."""
    return int(path.stem.removeprefix(GENERATION))


def chart(title, note, curves, level=None, height=HEIGHT, beside=None):
    """Curves in one frame.

    Args:
        title, note: str, what it shows.
        curves: dict of name to list of (step, value); values that are not finite are left out.
        level: a value that has a broken line of its own, or None.
        height: of the drawing.
        beside: further curves, of shares, for which the frame reaches from 0 to 1.
    Returns:
        dict for the template: `lines` (name, colour, points of an SVG, the last value), ticks of both axes (place,
        text), the level's place, the frame.
    """
    curves, beside = _finite(curves), _finite(beside or {})
    every = [point for points in curves.values() for point in points] or [(0, 0)]
    xs = 0, max(x for x, _ in every) or 1
    ys = [y for _, y in every] + ([] if level is None else [level])
    low, high = min(ys), max(ys)
    if low >= 0 and low < 0.5 * high:  # Shares and losses are read from 0.
        low = 0
    if high - low < 1e-12:
        low, high = low - (abs(low) / 2 or 0.5), high + (abs(high) / 2 or 0.5)

    def place(x, y, low=low, high=high):
        across = LEFT + (WIDTH - LEFT - 8) * (x - xs[0]) / (xs[1] - xs[0])
        return round(across, 1), round(TOP + (height - TOP - BOTTOM) * (high - y) / (high - low), 1)

    lines = [_line(name, points, place, COLOURS[number % 6]) for number, (name, points) in enumerate(curves.items())]
    in_share = functools.partial(place, low=0, high=1)
    lines += [_line(name, points, in_share, COLOURS[len(lines) % 6]) for name, points in beside.items()]
    return {
        "title": title,
        "note": note,
        "lines": lines,
        "y": [(place(0, y)[1], _tick(y)) for y in (low, (low + high) / 2, high)],
        "x": [(place(x, low)[0], f"{x:,.0f}") for x in xs],
        "level": None if level is None else place(0, level)[1],
        "frame": {"width": WIDTH, "height": height, "left": LEFT, "right": WIDTH - 8, "bottom": height - BOTTOM},
    }


def _tick(value):
    """A number beside an axis, which has room for seven characters."""
    return min(f"{value:.3g}", f"{value:.1e}", key=len) if len(f"{value:.3g}") > 7 else f"{value:.3g}"


def _finite(curves):
    return {name: [(x, y) for x, y in thinned(points) if math.isfinite(y)] for name, points in curves.items()}


def _line(name, points, place, colour):
    """A curve for the template."""
    places = [place(x, y) for x, y in points]
    last = f"{points[-1][1]:.4g}" if points else "none"
    drawn = " ".join(f"{x},{y}" for x, y in places)
    return {"name": name, "colour": colour, "points": drawn, "places": places, "last": last}


def thinned(points, most=POINTS):
    """At most that many of a list, spread evenly, the first and the last among them."""
    if len(points) <= most:
        return points
    return [points[round(number * (len(points) - 1) / (most - 1))] for number in range(most)]
