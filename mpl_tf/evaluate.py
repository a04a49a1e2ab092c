"""Evaluation: every test example exactly once, and the labeling of new images."""

import csv

import numpy as np

from mpl_tf import files


def evaluate(model, source, batch):
    """Score a deployable model (export.deployable) on labeled examples.

    Args:
        model: keras.Model of examples as Source.images has them -> logits.
        source: Source with labels, N examples.
        batch: examples a batch.
    Returns:
        (scores, confusion): dict of top1 and top5 (fractions in [0, 1]; top5 is top-C where there are C < 5 classes),
        loss (mean cross entropy, nats) and n; int [C, C] counts, a row for each true class.
    """
    from sklearn.metrics import confusion_matrix, log_loss, top_k_accuracy_score

    logits = np.asarray(model.predict(source.images, batch_size=batch, verbose=0), np.float64)
    classes = np.arange(logits.shape[-1])
    best = logits.argmax(axis=-1)
    five = min(5, len(classes))
    top5 = 1.0 if five == len(classes) else top_k_accuracy_score(source.labels, logits, k=five, labels=classes)
    scores = {
        "top1": float(np.mean(best == source.labels)),
        "top5": float(top5),
        "loss": float(log_loss(source.labels, softmax(logits), labels=classes)),
        "n": len(source),
    }
    return scores, confusion_matrix(source.labels, best, labels=classes)


def softmax(logits):
    """Probabilities [N, C] of logits [N, C]."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def draw_confusion(confusion, class_names, path):
    """Write a picture (PNG) of a confusion matrix.

    Args:
        confusion: int [C, C], a row for each true class.
        class_names: C names.
        path: where to.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from sklearn.metrics import ConfusionMatrixDisplay

    few = len(class_names) <= 20  # More than that and names and counts cannot be read.
    side = 2 + 0.5 * len(class_names) if few else 10
    figure, axes = pyplot.subplots(figsize=(max(side, 4), max(side, 4)), layout="constrained")
    display = ConfusionMatrixDisplay(confusion, display_labels=class_names if few else None)
    display.plot(ax=axes, include_values=few, xticks_rotation="vertical", cmap="Blues", colorbar=not few)
    axes.set(xlabel="predicted class", ylabel="true class")
    files.write(path, lambda temporary: figure.savefig(temporary, dpi=100, format="png"))
    pyplot.close(figure)


def label_files(model, paths, images, class_names, batch, output):
    """Write a CSV of file, class and probability, one row an image.

    Args:
        model: deployable keras.Model.
        paths: of the N images.
        images: uint8 [N, H, W, 3].
        class_names: one a class.
        batch: images a batch.
        output: path of the CSV file.
    """
    probabilities = softmax(np.asarray(model.predict(images, batch_size=batch, verbose=0), np.float64))
    best = probabilities.argmax(axis=-1)

    def save(temporary):
        with open(temporary, "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["file", "class", "probability"])
            for path, label, row in zip(paths, best, probabilities, strict=True):
                writer.writerow([path, class_names[label], f"{row[label]:.6f}"])

    files.write(output, save)
