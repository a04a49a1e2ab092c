"""predictions.csv: the classes that a network finds in new images, written as it finds them."""

import csv
import time
from typing import NamedTuple

import numpy as np

from mpl_tf.base import console, files
from mpl_tf.base.errors import UsageError
from mpl_tf.run import evaluate
from mpl_tf.run.logits import logits

TOLD_SECONDS = 10.0  # Between lines of progress.


class _Three(NamedTuple):
    file: str
    label: str
    probability: float


class Prediction(_Three):
    """What a network says of an image: a tuple (file, label, probability) that knows more.

    Attributes:
        file: as it was found; label: name of its most probable class, str; probability: of that class, in [0, 1].
        top: tuple of (label, probability) of the most probable classes, the first one that of the tuple; top_k of them.
        probabilities: tuple of those of all classes, in the order of the run's class_names; None unless asked for.
    """

    top = ()
    probabilities = None


class Shown(NamedTuple):
    """What is told of each image.

    top_k: of how many classes, the most probable ones.
    all_probabilities: whether that of each class is told too.
    """

    top_k: int
    all_probabilities: bool


def columns(shown, class_names):
    """Names of the columns: those of the most probable class first, whatever is shown."""
    more = [f"{name}_{place}" for place in range(2, shown.top_k + 1) for name in ("class", "probability")]
    each = [f"probability_of_{name}" for name in class_names] if shown.all_probabilities else []
    return ["file", "class", "probability", *more, *each]


def write(model, given, class_names, output, batch, shown, told=None):
    """Write a CSV file, one row an image, in the order of the images; no more than a piece of them is in memory.

    Args:
        model: deployable keras.Model of C classes.
        given: data.to_label.ToLabel.
        class_names: C names.
        output: path of the file, which appears when it is whole.
        batch: images a batch.
        shown: Shown.
        told: function of each Prediction; or None.
    Returns:
        How many images were labeled, int.
    Raises:
        UsageError: more classes asked for than there are; images as `given` refuses them.
        RunError: as `given`, or the file cannot be written.
    """
    if shown.top_k > len(class_names):
        raise UsageError(f"--top_k: expected at most the {len(class_names)} classes of the run, got {shown.top_k}")
    counted = 0

    def save(temporary):
        nonlocal counted
        last = time.perf_counter()
        # Names that are not UTF-8 keep their bytes.
        with open(temporary, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            writer = csv.writer(file)
            writer.writerow(columns(shown, class_names))
            for rows in _pieces(model, given, class_names, batch, shown):
                writer.writerows(map(_cells, rows))
                counted += len(rows)
                for row in rows if told else ():
                    told(row)
                if time.perf_counter() - last > TOLD_SECONDS:
                    last = time.perf_counter()
                    console.tell(f"{output}: {counted:,} of {len(given):,} images so far")

    files.write(output, save)
    return counted


def _pieces(model, given, class_names, batch, shown):
    """Lists of Predictions, a piece of the images each."""
    for paths, images in given.pieces(evaluate.piece(model.input_shape[1:], batch)):
        probabilities = evaluate.softmax(logits(model, images, batch))
        best = np.argsort(-probabilities, axis=-1, kind="stable")[:, : shown.top_k]
        yield [_prediction(*one, class_names, shown) for one in zip(paths, probabilities, best, strict=True)]


def _prediction(path, probabilities, best, class_names, shown):
    top = tuple((class_names[place], float(probabilities[place])) for place in best)
    made = Prediction(str(path), *top[0])
    made.top, made.probabilities = top, tuple(probabilities.tolist()) if shown.all_probabilities else None
    return made


def _cells(row):
    """A row of the file."""
    best = [text for label, probability in row.top for text in (label, f"{probability:.6f}")]
    return [row.file, *best, *(f"{probability:.6f}" for probability in row.probabilities or ())]
