"""Validation images: labeled examples that no training sees, whose scores may choose what the test set must not.

A run has them from one place: --validation_dir (mpl_tf/data/folder.py reads it), --validation_fraction of the labeled
examples, or those that the data set holds out of its training set.
"""

import dataclasses

import numpy as np

from mpl_tf.base.errors import UsageError
from mpl_tf.data.splits import share_of_each


def added(dataset, config):
    """The Dataset with its validation examples, where the flags ask for them.

    Args:
        dataset: Dataset as its loader gives it.
        config: Config.
    Raises:
        UsageError: --validation_fraction of labels that are not known before they are read, or that leaves none.
    """
    if config.validation_fraction:
        return _drawn(dataset, config)
    if not config.holds_out:
        return dataset
    if not dataset.held_out:
        raise UsageError(
            f"{config.validated_by()[0]}: expected images held out of the training set, {dataset.name} of "
            f"{len(dataset.labeled)} labeled ones holds none out; give --validation_fraction"
        )
    return dataclasses.replace(dataset, validation=dataset.held_out)


def _drawn(dataset, config):
    """The Dataset with a share of each class of its labeled examples held out of training."""
    labels = getattr(dataset.labeled, "labels", None)
    if labels is None:
        raise UsageError(
            f"--validation_fraction: {dataset.name} reads its labels while it trains, expected 0, got "
            f"{config.validation_fraction}; leave it out"
        )
    held, kept = share_of_each(labels, config.validation_fraction, config.seed)
    if not len(held):
        raise UsageError(
            f"--validation_fraction: expected a class of two labeled examples or more, the {len(labels)} are each the "
            "only one of their class; give more labels, or leave it out"
        )
    few = np.bincount(labels, minlength=dataset.num_classes) == 1
    alone = f", none of the {few.sum()} classes that have one" if few.any() else ""
    note = (
        f"validation: {len(held)} of the {len(labels)} labeled examples, {100 * config.validation_fraction:g} % of "
        f"each class{alone}, held out of training by --seed={config.seed}"
    )
    return dataclasses.replace(
        dataset,
        labeled=dataset.labeled.take(kept),
        validation=dataset.labeled.take(held),
        notes=(*dataset.notes, note),
    )


def scored(dataset, config):
    """The Dataset whose test part is what --scored_on says: with "validation" the validation examples."""
    if config.scored_on == "test":
        return dataset
    return dataclasses.replace(dataset, test=dataset.validation, real=None)  # ReaL labels are of test images.
