"""The catalogue: which methods, data sets and networks there are, and every fact that holds for one of them alone.

Rows are literal and import nothing: `row.resolve()` imports the class or the function behind a row when it is wanted.
What the program, the tools and the texts of --help say of all methods, data sets or networks is read from here.
"""

from mpl_tf.base.errors import UsageError, did_you_mean
from mpl_tf.settings.catalogue.datasets import DATASETS, IMAGENET_MEAN, IMAGENET_STD
from mpl_tf.settings.catalogue.foreign import FOREIGN, ForeignName
from mpl_tf.settings.catalogue.methods import METHODS
from mpl_tf.settings.catalogue.networks import NETWORKS
from mpl_tf.settings.catalogue.rows import DataRow, MethodRow, NetworkRow, TfdsSplits

__all__ = [
    "DATASETS",
    "FOREIGN",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "METHODS",
    "NETWORKS",
    "DataRow",
    "ForeignName",
    "MethodRow",
    "NetworkRow",
    "TfdsSplits",
    "find",
    "inputs",
    "lines",
    "network",
    "takers",
]


def find(rows, name, flag):
    """The row of that name.

    Args:
        rows: METHODS, DATASETS or NETWORKS.
        name: str.
        flag: that gave the name, for the message.
    Raises:
        UsageError: there is no such row; it tells the nearest name.
    """
    if name not in rows:
        near = did_you_mean(name, rows)
        raise UsageError(f"--{flag}: expected one of {', '.join(rows)}, got {name or 'nothing'}{near}")
    return rows[name]


def network(name, flag="model"):
    """The row of a network, of this program or of a library.

    Args:
        name: str.
        flag: that gave the name, for the message.
    Raises:
        UsageError: there is no such network; it tells the nearest name, or names.
    """
    return ForeignName.read(flag, name) if ForeignName.claims(name) else find(NETWORKS, name, flag)


def inputs(config):
    """The network of this program whose inputs' form the data set takes, its row; None where there is none.

    That of --model, else that of --teacher_model: networks of libraries bring any form to their own.
    """
    rows = [network(name) for name in (config.model, config.teacher_model) if name]
    return next((row for row in rows if not row.library), None)


def lines(rows):
    """The line of help of each row: dict of name to str."""
    return {row.name: row.help for row in rows.values()}


def takers(option):
    """Names of the methods that take a flag as an option, with commas between them."""
    return ", ".join(row.name for row in METHODS.values() if option in row.options)
