"""The catalogue: which methods, data sets and networks there are, and every fact that holds for one of them alone.

Rows are literal and import nothing: `row.resolve()` imports the class or the function behind a row when it is wanted.
What the program, the tools and the texts of --help say of all methods, data sets or networks is read from here.
"""

from mpl_tf.base.errors import UsageError, did_you_mean
from mpl_tf.settings.catalogue.datasets import DATASETS, IMAGENET_MEAN, IMAGENET_STD
from mpl_tf.settings.catalogue.methods import METHODS
from mpl_tf.settings.catalogue.networks import NETWORKS
from mpl_tf.settings.catalogue.rows import DataRow, MethodRow, NetworkRow, TfdsSplits

__all__ = [
    "DATASETS",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "METHODS",
    "NETWORKS",
    "DataRow",
    "MethodRow",
    "NetworkRow",
    "TfdsSplits",
    "find",
    "lines",
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


def lines(rows):
    """The line of help of each row: dict of name to str."""
    return {row.name: row.help for row in rows.values()}


def takers(option):
    """Names of the methods that take a flag as an option, with commas between them."""
    return ", ".join(row.name for row in METHODS.values() if option in row.options)
