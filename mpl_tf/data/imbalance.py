"""Classes of different size in the labeled set: how much an example of each counts, and what is told of it."""

from mpl_tf.data.plausible import MOST_CLASSES


def balanced_weights(shares):
    """Weights w_c = n / (C n_c) of the classes, scikit-learn's "balanced": the mean over the labeled examples is 1.

    Args:
        shares: n_c / n, the classes' shares of the labeled examples, C floats of sum 1.
    Returns:
        list of C floats; C counts the classes that have labeled examples, one that has none has weight 0.
    """
    present = sum(share > 0 for share in shares)
    return [1 / (present * share) if share > 0 else 0.0 for share in shares]


def told(dataset, config):
    """What --class_weights and --balanced_batches make of the labeled set: tuple of lines for the user.

    Args:
        dataset: Dataset with labeled examples.
        config: Config.
    """
    lines, names = [], dataset.class_names
    if config.class_weights == "balanced":
        weights = balanced_weights(dataset.class_prior)
        each = ", ".join(f"{name} {weight:.3g}" for name, weight in zip(names, weights, strict=True))
        few = len(names) <= MOST_CLASSES
        lines.append(f"labeled examples count {each if few else f'{min(weights):.3g} to {max(weights):.3g}'}")
    if config.balanced_batches:
        lines.append(f"labeled batches: one in {len(names)} of each class in the mean")
    return tuple(lines)
