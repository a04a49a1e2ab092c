"""Evaluation: every test example exactly once."""

import math
import warnings

import numpy as np

from mpl_tf.base import files
from mpl_tf.run import glyphs
from mpl_tf.run.logits import logits

# Examples in memory at a time: so many at least, more where they are small, as each call of predict has its price.
PIECE, PIECE_BYTES = 1024, 2**25


def evaluate(model, source, batch):
    """Score a deployable model (export.deployable) on labeled examples.

    Args:
        model: keras.Model of examples as Source.images has them -> logits.
        source: Source or Streamed with labels, N examples.
        batch: examples a batch.
    Returns:
        (scores, confusion): dict of top1 and top5 (fractions in [0, 1]; top5 is top-C where there are C < 5 classes),
        loss (mean cross entropy, nats), n, and what `by_class` returns; int [C, C] counts, a row for each true class.
    """
    from sklearn.metrics import top_k_accuracy_score

    # Labels of a small test set may lack a class; scikit-learn is told of all.
    z, labels = _predictions(model, source, batch)
    classes = np.arange(z.shape[-1])
    best = z.argmax(axis=-1)
    five = min(5, len(classes))
    top5 = 1.0 if five == len(classes) else top_k_accuracy_score(labels, z, k=five, labels=classes)
    scores = {
        "top1": float(np.mean(best == labels)),
        "top5": float(top5),
        "loss": float(cross_entropy(z, labels).mean()),
        "n": len(labels),
    }
    return scores | by_class(labels, best, classes), confusions(labels, best, len(classes))


def confusions(labels, best, classes):
    """Counts int [C, C] of the predicted classes, a row for each true class.

    Args:
        labels, best: int [N], the true and the predicted classes.
        classes: C.
    """
    from sklearn.metrics import confusion_matrix

    return confusion_matrix(labels, best, labels=np.arange(classes))


def by_class(labels, best, classes):
    """How well each class is found, by scikit-learn, which says what each score is where a class is absent.

    Args:
        labels, best: int [N], the true and the predicted classes.
        classes: int [C], all there are.
    Returns:
        dict of balanced_accuracy (mean recall of the classes that have examples), macro_f1 (mean F1 of the classes
        that have examples or predictions), and per_class: dict of precision, recall, f1 (0 where a class has no
        predictions, no examples) and support (examples), each a list of C.
    """
    from sklearn.metrics import balanced_accuracy_score, f1_score, precision_recall_fscore_support

    names = ("precision", "recall", "f1", "support")
    each = precision_recall_fscore_support(labels, best, labels=classes, zero_division=0)
    with warnings.catch_warnings():  # Of predicted classes that have no examples: they lower precision alone.
        warnings.simplefilter("ignore", UserWarning)
        balanced = balanced_accuracy_score(labels, best)
    return {
        "balanced_accuracy": float(balanced),
        "macro_f1": float(f1_score(labels, best, average="macro", zero_division=0)),
        "per_class": {name: values.tolist() for name, values in zip(names, each, strict=True)},
    }


def evaluate_real(model, source, batch):
    """Score a deployable model by ImageNet-ReaL: precision at 1 (Beyer et al. 2020).

    A prediction is right if it is among the image's accepted classes; images that have none are left out.

    Args:
        model, batch: as in `evaluate`.
        source: Streamed, its labels bool [classes], the accepted ones.
    Returns:
        dict of top1 (fraction in [0, 1]) and n, the images that have accepted classes.
    """
    z, accepted = _predictions(model, source, batch)
    # Whether the class that each image was given is among its own.
    right = np.take_along_axis(accepted, z.argmax(axis=-1)[:, None], axis=-1)[:, 0]
    counted = accepted.any(axis=-1)
    return {"top1": float(right[counted].mean()), "n": int(counted.sum())}


def _predictions(model, source, batch):
    """Logits float64 [N, C] and labels [N, ...] of all examples."""
    return tuple(np.concatenate(arrays) for arrays in zip(*answers(model, source, batch), strict=True))


def answers(model, source, batch):
    """What a deployable model says of a source's examples, each once and in order, a piece at a time.

    Args:
        model, source, batch: as in `evaluate`.
    Yields:
        (logits, labels): float64 [n, C]; [n, ...] as the source has them.
    """
    for images, labels in source.pieces(piece(source.shape, batch)):
        yield logits(model, images, batch), labels


def piece(shape, batch):
    """Examples to predict in one call: whole batches, so that none is padded.

    Args:
        shape: of one example.
        batch: examples a batch.
    """
    examples = max(PIECE, PIECE_BYTES // (4 * math.prod(shape)))
    return batch * -(-examples // batch)


def cross_entropy(z, labels):
    """Nats [N] of logits [N, C] and labels int [N]; none is cut off, so that Keras says the same."""
    from scipy.special import log_softmax

    return -np.take_along_axis(log_softmax(z, axis=-1), labels[:, None], axis=-1)[:, 0]


def softmax(z):
    """Probabilities [N, C] of logits [N, C]."""
    exponentials = np.exp(z - z.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def draw_confusion(confusion, class_names, path):
    """Write a picture (PNG) of a confusion matrix.

    Args:
        confusion: int [C, C], a row for each true class.
        class_names: C names; glyphs.labels says what becomes of those that no installed font can draw.
        path: where to.
    """
    # Not by pyplot's own figures: a notebook's are shown as it was told to, and stay so.
    import matplotlib
    from matplotlib.figure import Figure
    from sklearn.metrics import ConfusionMatrixDisplay

    few = len(class_names) <= 20  # More than that and names and counts cannot be read.
    side = 2 + 0.5 * len(class_names) if few else 10
    labels = glyphs.labels(class_names if few else ())
    with matplotlib.rc_context({"font.family": labels.fonts, "text.parse_math": False}):  # A $ is a character.
        figure = Figure(figsize=(max(side, 4), max(side, 4)), layout="constrained")
        axes = figure.subplots()
        display = ConfusionMatrixDisplay(confusion, display_labels=labels.texts if few else None)
        display.plot(ax=axes, include_values=few, xticks_rotation="vertical", cmap="Blues", colorbar=not few)
        axes.set(xlabel="predicted class", ylabel="true class")
        figure.supxlabel(labels.note, fontsize="small")
        files.write(path, lambda temporary: figure.savefig(temporary, dpi=100, format="png"))
