"""Grids of small pictures: the run's own views, sure and unsure labels, two networks that differ, the worst errors."""

import numpy as np
import tensorflow as tf

from mpl_tf.data import pipeline
from mpl_tf.data.draws import seed_of
from mpl_tf.data.source import Source
from mpl_tf.data.stored import Stored
from mpl_tf.run.report import look, tables

SHOWN, WEAK, STRONG = 4, 2, 4  # Images of a part whose views are shown, and views of each.
CLASSES, EACH = 12, 6  # Classes with pictures, of more spread evenly; most and least confident images of each.
WORST = 24  # Errors, and images on which two networks differ.


def without(dataset):
    """Why a run has no pictures, in words; empty where it has. `dataset`: Dataset of the examples as they were read."""
    if isinstance(dataset.labeled, Stored):
        return "Images are left out: only their stored features are at hand."
    return "" if len(dataset.shape) == 3 else "Images are left out: the examples are points."


def views(dataset, config):
    """Views as training sees them, of a few images of each part.

    Args:
        dataset: Dataset of images.
        config: Config.
    Returns:
        dict of "labeled" and "unlabeled" to list of (what it is, uint8 [n, H, W, 3], n images in the same order).
    Raises:
        RunError: an image that cannot be read.
    """
    made, found = pipeline.make_views(dataset, config), {}
    for part in ("labeled", "unlabeled"):
        source = getattr(dataset, part)
        if source is None or not len(source):
            continue
        images = _as_trained_on(source, np.unique(np.linspace(0, len(source) - 1, SHOWN).astype(np.int64)), config)
        found[part] = [("as it is read", images)]
        for kind, view, stream, count in (
            ("weak", made.weak, pipeline.WEAK, WEAK),
            ("strong", made.strong, pipeline.STRONG, STRONG),
        ):
            seeds = [seed_of(config.seed, stream, number) for number in range(count)]
            found[part] += [(kind, view(images, seed).numpy()) for seed in seeds]
    return found


def of_views(found):
    """The grids of `views`, a row an image: list of dicts for the template."""
    grids = []
    for part, kinds in found.items():
        rows = [("", [_figure(each[row], kind) for kind, each in kinds]) for row in range(len(kinds[0][1]))]
        note = f"{len(rows)} {part} images in rows. Each step draws other views by the same flags."
        grids.append({"title": f"Views of {part} images", "note": note, "rows": rows})
    return grids


def joined(kinds):
    """The views of a part as one image, a row an image: uint8 [H, W, 3]."""
    return np.concatenate([np.concatenate(list(images), axis=0) for _, images in kinds], axis=1)


def _as_trained_on(source, numbers, config):
    """The images of these numbers, int [n], as a step's views are made of them: uint8 [n, H, W, 3]."""
    chosen = source.take(numbers, with_labels=False)
    if isinstance(source, Source):
        return chosen.images
    # Of streamed images steps see random crops.
    seeds = tf.random.stateless_uniform([len(numbers), 2], [config.seed, 0], None, None, tf.int32)
    draws = tf.data.Dataset.from_tensors((tf.range(len(numbers)), seeds))
    try:
        return next(iter(chosen.training_batches(draws))).images.numpy()
    except tf.errors.OpError as error:
        raise chosen.failure(error) or error from error


def confident(given, drawn, names):
    """The grid of the surest and the least sure labels of each class.

    Args:
        given: float [n, C], the labels' distributions.
        drawn: Sample of the n unlabeled images.
        names: of the C classes.
    """
    best, sure = given.argmax(axis=-1), given.max(axis=-1)
    present, rows = np.unique(best), []
    if len(present) > CLASSES:
        present = present[np.linspace(0, len(present) - 1, CLASSES).astype(int)]
    for label in present:
        order = np.flatnonzero(best == label)
        order = order[np.argsort(-sure[order], kind="stable")]
        shown = order if len(order) <= 2 * EACH else [*order[:EACH], *order[-EACH:]]
        rows.append((tables.shown(names[label]), [_figure(drawn.images[n], f"{sure[n]:.3f}") for n in shown]))
    note = (
        f"Unlabeled images by the class that they are given: the {EACH} most confident, then the {EACH} least; "
        f"{len(rows)} of {len(names)} classes, {len(sure):,} images looked at."
    )
    return {"title": "Most and least confident", "note": note, "rows": rows}


def differing(given, own, drawn, names):
    """The grid of unlabeled images on which both networks are sure, and of different classes.

    Args:
        given, own: float [n, C], the teacher's and the student's distributions.
        drawn, names: as in `confident`.
    """
    a, b = given.argmax(axis=-1), own.argmax(axis=-1)
    both = np.where(a != b, np.minimum(given.max(axis=-1), own.max(axis=-1)), -1)
    order = [n for n in np.argsort(-both, kind="stable")[:WORST] if both[n] >= 0]
    told = [f"teacher {_said(given[n], names)}, student {_said(own[n], names)}" for n in order]
    figures = [_figure(drawn.images[n], caption) for n, caption in zip(order, told, strict=True)]
    note = f"{np.sum(a != b):,} of {len(a):,} unlabeled images looked at; those on which both are surest."
    return {"title": "Teacher and student disagree", "note": note, "rows": [("", figures)]}


def errors(own, drawn, names, part):
    """The grid of the surest wrong answers.

    Args:
        own: float [n, C], the student's distributions.
        drawn: Sample of labeled images.
        names: of the C classes.
        part: their name.
    """
    best, sure = own.argmax(axis=-1), own.max(axis=-1)
    wrong = np.flatnonzero(best != drawn.labels)
    order = wrong[np.argsort(-sure[wrong], kind="stable")][:WORST]
    said = [f"{tables.shown(names[drawn.labels[n]])}, said {_said(own[n], names)}" for n in order]
    figures = [_figure(drawn.images[n], caption) for n, caption in zip(order, said, strict=True)]
    note = f"{len(wrong):,} of {len(best):,} {part} images looked at are wrong; the surest of them: true class, answer."
    return {"title": f"Worst {part} errors", "note": note, "rows": [("", figures)]}


def _said(distribution, names):
    """The class of a distribution [C] and how sure it is."""
    return f"{tables.shown(names[distribution.argmax()])} {distribution.max():.2f}"


def _figure(image, caption):
    return {"uri": look.thumbnail(image), "caption": caption}
