"""Data sets by name. Each entry is a function of the Config that returns a Dataset."""

import dataclasses

from mpl_tf.base.errors import UsageError
from mpl_tf.data import digits, folder, imagenet, standard, two_moons
from mpl_tf.data.source import Dataset, Source

DATASETS = {
    "two_moons": two_moons.load,
    "digits_50": digits.load,
    "cifar10_4k": standard.CIFAR10.load,
    "cifar100_10k": standard.CIFAR100.load,
    "svhn_1k": standard.SVHN.load,
    "stl10_1k": standard.STL10.load,
    "imagenet_10": imagenet.load_10,
    "imagenet": imagenet.load_whole,
    "imagenet_jft": imagenet.load_jft,
    "folder": folder.load,
}

__all__ = ["DATASETS", "Dataset", "Source", "load"]


def load(config):
    """Load the data set that `config` names and check it against the batch sizes.

    With --unlabeled_source=labeled its unlabeled examples are the labeled ones without their labels: MPL as a
    regulariser (paper, table 9).

    Raises:
        UsageError: unknown data set, or a batch larger than the labeled set.
        RunError: data that cannot be read.
    """
    if config.dataset not in DATASETS:
        raise UsageError(f"--dataset: expected one of {', '.join(DATASETS)}, got {config.dataset}")
    dataset = DATASETS[config.dataset](config)
    if config.unlabeled_source == "labeled":
        dataset = dataclasses.replace(dataset, unlabeled=dataset.labeled.take(slice(None), with_labels=False))
    for name, batch in config.labeled_batches().items():
        if batch > len(dataset.labeled):
            raise UsageError(f"--{name}: expected at most the {len(dataset.labeled)} labeled examples, got {batch}")
    return dataset
