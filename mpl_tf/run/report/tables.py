"""The page's tables: headline figures, scores of the classes, confusions, flags, and what it ran on."""

import dataclasses
import functools
import os
import platform
from pathlib import Path

import numpy as np
from PIL import Image

from mpl_tf.base import memory, versions
from mpl_tf.run.callbacks import duration
from mpl_tf.run.report import look
from mpl_tf.settings import flags

FEW = 20  # Classes whose confusions are a table of counts; of more they are a picture and the most frequent pairs.
PAIRS = 40  # Of classes that are confused, the most frequent ones.
LARGEST = 720  # Side of that picture, pixels.


def shown(text):
    """Any text for the page; bytes of file names that are no UTF-8 come out escaped."""
    return os.fsencode(str(text)).decode(errors="backslashreplace")


def headline(config, rows, step, seconds, results):
    """The figures at the top: list of (what, figure).

    Args:
        config: of the run.
        rows: of its metrics.csv (charts.table).
        step, seconds: how far its main phase is.
        results: of a finished run, dict as results.json holds it; else None.
    """
    last, found = (rows[-1] if rows else {}), []
    for part in ("test", "validation") if results else ():
        scores = results.get(part)
        if scores and not (part == "test" and results.get("scored_on")):
            found.append((f"{part} top-1, {scores['n']:,} images", _percent(scores["top1"])))
            found.append((f"{part}, mean recall of the classes", _percent(scores["balanced_accuracy"])))
            found.append((f"{part} loss, nats", f"{scores['loss']:.4f}"))
    if results and "best_step" in results:
        found.append(("step whose weights are kept", f"{results['student_step']:,}"))
    best = max((row for row in rows if "val_accuracy" in row), key=lambda row: row["val_accuracy"], default=None)
    if best and not results:
        found.append(("validation accuracy now", _percent(last["val_accuracy"])))
        if "val_teacher_accuracy" in last:
            found.append(("the teacher's", _percent(last["val_teacher_accuracy"])))
    if best:
        found.append((f"best validation accuracy, at step {best['step']:,.0f}", _percent(best["val_accuracy"])))
    if "feedback_share" in last:
        found.append(("the feedback's share, last epoch", f"{last['feedback_share']:.4f}"))
    if "uda_mask" in last:
        found.append(("unlabeled images that count, last epoch", _percent(last["uda_mask"])))
    if last.get("skipped_steps"):
        found.append(("steps skipped for gradients that are not finite", f"{last['skipped_steps']:,.0f}"))
    return [*found, (f"for {step:,} of {config.train_steps:,} steps", duration(seconds))]


def examples(dataset):
    """How many there are of each part, in words."""
    parts = {"labeled": dataset.labeled, "unlabeled": dataset.unlabeled}
    parts |= {"validation": dataset.validation, "test": dataset.test}
    return ", ".join(f"{len(part):,} {name}" for name, part in parts.items() if part is not None) + " examples"


def _percent(share):
    return f"{100 * share:.2f} %"


def classes(per_class, names):
    """Rows of the classes' scores, the least F1 first: list of (name, precision, recall, f1, support).

    Args:
        per_class: as evaluate.by_class returns it.
        names: of the classes.
    """
    columns = (per_class[key] for key in ("precision", "recall", "f1", "support"))
    found = list(zip(map(shown, names), *columns, strict=True))
    return sorted(found, key=lambda row: (row[4] == 0, row[3]))


def confusions(confusion, names):
    """A confusion matrix as the page shows it.

    Args:
        confusion: int [C, C], a row for each true class.
        names: of the C classes.
    Returns:
        dict: `names` and `rows`, of few classes (name, list of (count, share of the row)); of many `picture`, a data
        URI, and its `side` in pixels; `pairs`, the most frequent (true, predicted, count, share of the true class).
    """
    names, of_class = [shown(name) for name in names], np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    shares = confusion / of_class
    wrong = confusion * (1 - np.eye(len(names), dtype=int))
    first = np.argsort(-wrong, axis=None, kind="stable")[:PAIRS]
    places = [divmod(int(place), len(names)) for place in first if wrong.flat[place]]
    found = {"pairs": [(names[a], names[b], int(wrong[a, b]), f"{shares[a, b]:.2f}") for a, b in places]}
    if len(names) <= FEW:
        rows = [
            list(zip(counts.tolist(), row.round(2).tolist(), strict=True))
            for counts, row in zip(confusion, shares, strict=True)
        ]
        return found | {"names": names, "rows": list(zip(names, rows, strict=True))}
    picture = _picture(shares)
    return found | {"picture": look.data_uri(picture, "PNG", optimize=True), "side": picture.size[0]}


def _picture(shares):
    """Shares [C, C] of each row as a blue picture; square roots, so that few are seen too."""
    # Of more classes than pixels the largest of neighbouring shares are shown.
    block = -(-len(shares) // LARGEST)
    padded = np.pad(shares, (0, -len(shares) % block))
    side = len(padded) // block
    values = padded.reshape(side, block, side, block).max(axis=(1, 3)) ** 0.5
    colours = 255 - values[..., None] * (255 - np.array([9, 63, 148]))
    times = max(LARGEST // side, 1)
    return Image.fromarray(colours.round().astype(np.uint8)).resize((side * times,) * 2, Image.Resampling.NEAREST)


def flag_rows(config):
    """(changed, others): lists of (flag, value, value of flags/defaults.flags), those that differ from it first."""
    usual, found = flags.defaults(), ([], [])
    for field in dataclasses.fields(config):
        value, default = getattr(config, field.name), usual.get(field.name)
        found[value == default].append((field.name, *(_written(one) for one in (value, default))))
    return found


def _written(value):
    return str(value).lower() if isinstance(value, bool) else shown(value)


@functools.cache
def machine():
    """Versions and hardware: list of (what, which)."""
    import tensorflow as tf

    found = versions.versions()
    rows = list(found["versions"].items()) + [("revision", found["git_revision"] or "not known")]
    rows += [("machine", f"{platform.system()} {platform.machine()}, {_processor()}")]
    rows += [("cores", str(os.cpu_count())), ("memory", f"{memory.total() / 2**30:.1f} GiB")]
    for device in tf.config.list_physical_devices():
        about = tf.config.experimental.get_device_details(device).get("device_name", "")
        if device.device_type != "CPU":
            rows.append((device.name, about or device.device_type))
    return rows


def _processor():
    """Name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = ()
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
