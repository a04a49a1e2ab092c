"""Data sets by the names of the catalogue (settings/catalogue), whose rows say what loads each."""

import dataclasses

from mpl_tf.base.errors import together
from mpl_tf.data import imbalance, plausible, validation
from mpl_tf.data.source import Dataset, Source
from mpl_tf.settings import catalogue

__all__ = ["Dataset", "Source", "load", "load_test"]


def load(config):
    """Load the data set that `config` names and check it against the batch sizes.

    With --unlabeled_source=labeled its unlabeled examples are the labeled ones without their labels: MPL as a
    regulariser (paper, table 9).

    Raises:
        UsageError: unknown data set, or a batch larger than the labeled set.
        RunError: data that cannot be read.
    """
    row = catalogue.find(catalogue.DATASETS, config.dataset, "dataset")
    dataset = _whole(row, config)
    network = catalogue.inputs(config)
    if network and network.mean and dataset.mean:  # Inputs as the network was made for them.
        dataset = dataclasses.replace(dataset, mean=network.mean, std=network.std)
    if config.unlabeled_source == "labeled":
        dataset = dataclasses.replace(dataset, unlabeled=dataset.labeled.take(slice(None), with_labels=False))
    told = plausible.class_counts(dataset) + imbalance.told(dataset, config)
    dataset = dataclasses.replace(dataset, notes=dataset.notes + told)
    most = len(dataset.labeled)
    problems = [
        f"--{name}: expected at most the {most} labeled examples, got {batch}"
        for name, batch in config.labeled_batches().items()
        if batch > most
    ]
    if problems:
        raise together(problems)
    return dataset


def load_test(config, class_names):
    """Load what an evaluation needs: the test part, and none of the training data, which may be gone.

    Args:
        config: Config.
        class_names: of the run that is evaluated, tuple of str in the order of its outputs; None: not known.
    Returns:
        Dataset without labeled and unlabeled examples; where nothing can be gone, the whole one.
    Raises:
        UsageError: unknown data set, or test examples of other classes.
        RunError: data that cannot be read.
    """
    row = catalogue.find(catalogue.DATASETS, config.dataset, "dataset")
    # Validation images are found among those of the training.
    alone = row.test_path and config.scored_on == "test"
    dataset = row.resolve_test()(row, config, class_names) if alone else _whole(row, config)
    return dataclasses.replace(dataset, notes=dataset.notes + plausible.class_counts(dataset))


def _whole(row, config):
    """The Dataset with its validation part, and what it is scored on at the end as its test part."""
    return validation.scored(validation.added(row.resolve()(row, config), config), config)
