"""Seeded splits by index."""

import numpy as np

from mpl_tf.base.errors import UsageError

# Beside the seed: what is held out, and what --imbalance leaves out, do not depend on how the labeled ones were drawn.
VALIDATION_STREAM, THINNING_STREAM = 1, 2


def balanced(labels, total, num_classes, seed, class_names=None, fewer=False):
    """Draw equally many examples of each class.

    Args:
        labels: int [N] in [0, num_classes).
        total: examples to draw in all; a multiple of num_classes.
        num_classes: number of classes.
        seed: int >= 0.
        class_names: names for the message, the class numbers if None.
        fewer: whether a class of too few examples gives those that it has.
    Returns:
        (chosen, rest): sorted int64 indices, disjoint, together 0..N-1.
    Raises:
        UsageError: `total` is no multiple of the classes, or a class has too few examples.
    """
    each, remainder = divmod(total, num_classes)
    if remainder or not each:
        raise UsageError(f"--num_labels: expected a positive multiple of the {num_classes} classes, got {total}")
    random = np.random.default_rng(seed)
    counts = np.bincount(labels, minlength=num_classes)
    smallest = int(np.argmin(counts))
    if counts[smallest] < each and not fewer:
        name = class_names[smallest] if class_names else smallest
        raise UsageError(
            f"--num_labels: expected at least {each} labeled examples of each class for {total} labels, "
            f"class {name} has {counts[smallest]}; give at most {counts[smallest] * num_classes}"
        )
    members = [np.flatnonzero(labels == label) for label in range(num_classes)]
    chosen = np.sort(np.concatenate([random.choice(one, min(each, len(one)), replace=False) for one in members]))
    return chosen, np.setdiff1d(np.arange(len(labels)), chosen, assume_unique=True)


def hold_out(count, held, seed):
    """Split 0..count-1 at random into `held` indices and the rest; both sorted int64."""
    order = np.random.default_rng(seed).permutation(count)
    return np.sort(order[:held]), np.sort(order[held:])


def hold_out_of_each(labels, part, seed):
    """Split 0..N-1 at random into one in `part` of each class, rounded down, and the rest.

    Args:
        labels: int [N], classes.
        part: int > 1.
        seed: int >= 0.
    Returns:
        (held, rest): sorted int64 indices, disjoint, together 0..N-1.
    """
    random = np.random.default_rng(seed)
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    held = np.sort(np.concatenate([random.choice(one, len(one) // part, replace=False) for one in members]))
    return held, np.setdiff1d(np.arange(len(labels)), held, assume_unique=True)


def share_of_each(labels, share, seed):
    """Split 0..N-1 at random into a share of each class and the rest.

    Of a class of two examples or more at least one is in either part; that of a class of one is in the rest.

    Args:
        labels: int [N], classes.
        share: in (0, 1); of a class of n examples share * n are held, rounded.
        seed: int >= 0.
    Returns:
        (held, rest): sorted int64 indices, disjoint, together 0..N-1.
    """
    random = np.random.default_rng((seed, VALIDATION_STREAM))
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    counts = [min(max(int(share * len(one) + 0.5), 1), len(one) - 1) for one in members]
    drawn = [random.choice(one, count, replace=False) for one, count in zip(members, counts, strict=True)]
    held = np.sort(np.concatenate(drawn))
    return held, np.setdiff1d(np.arange(len(labels)), held, assume_unique=True)


def thinned(labels, ratio, num_classes, seed):
    """Thin the classes to a long tail: of the n examples of class c round(n * ratio^(-c / (C - 1))) are kept.

    At least one of each class is. Where all have n examples, the first keeps n and the last n / ratio.

    Args:
        labels: int [N] in [0, num_classes).
        ratio: float >= 1.
        num_classes: C >= 2.
        seed: int >= 0.
    Returns:
        (kept, left_out): sorted int64 indices, disjoint, together 0..N-1.
    """
    random = np.random.default_rng((seed, THINNING_STREAM))
    drawn = []
    for label, share in enumerate(ratio ** -np.linspace(0, 1, num_classes)):
        members = np.flatnonzero(labels == label)
        count = min(max(int(len(members) * share + 0.5), 1), len(members))
        drawn.append(random.choice(members, count, replace=False))
    kept = np.sort(np.concatenate(drawn))
    return kept, np.setdiff1d(np.arange(len(labels)), kept, assume_unique=True)


def training_split(labels, config, num_classes, class_names=None):
    """What of a training set is labeled, unlabeled, and neither: --num_labels, then --imbalance of either part.

    Args:
        labels: int [N] in [0, num_classes).
        config: Config.
        num_classes: number of classes.
        class_names: as in `balanced`.
    Returns:
        (labeled, unlabeled, left_out): sorted int64 indices, disjoint, together 0..N-1.
    Raises:
        UsageError: as `balanced`.
    """
    chosen, rest = labeled_split(labels, config.num_labels, num_classes, config.seed, class_names)
    if config.imbalance == 1:
        return chosen, rest, chosen[:0]
    parts = [thinned(labels[part], config.imbalance, num_classes, config.seed) for part in (chosen, rest)]
    (labeled, few), (unlabeled, many) = parts
    return chosen[labeled], rest[unlabeled], np.sort(np.concatenate([chosen[few], rest[many]]))


def labeled_split(labels, total, num_classes, seed, class_names=None):
    """As `balanced`, and all of them labeled where `total` is 0 (--num_labels=0)."""
    if not total:
        return np.arange(len(labels)), np.arange(0)
    return balanced(labels, total, num_classes, seed, class_names)
