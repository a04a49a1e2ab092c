"""The examples that a report looks at: few enough that an epoch's end costs little, the same ones each time."""

import math
from typing import NamedTuple

import numpy as np

from mpl_tf.run import evaluate
from mpl_tf.run.logits import logits

EXAMPLES = 1000  # The most of a part of the data set, spread evenly over it.
BYTES = 2**26  # The most memory that they take.


class Sample(NamedTuple):
    """Examples of a Source or what stands in its place.

    numbers: int [n], which of its examples; images: [n, ...] as its `pieces` has them; labels: int [n] or None.
    """

    numbers: np.ndarray
    images: np.ndarray
    labels: np.ndarray | None


def draw(source, with_labels=True):
    """A Sample of a source; of labeled examples those that cannot be read are left out.

    Args:
        source: Source, Streamed, OwnImages or Stored.
        with_labels: whether its labels are known and wanted.
    Raises:
        RunError: a file that cannot be read.
    """
    size = max(4 * math.prod(source.shape), 1)
    count = max(min(EXAMPLES, len(source), BYTES // size), 1)
    numbers = np.linspace(0, len(source) - 1, count).round().astype(np.int64)
    images, labels = zip(*source.take(numbers, with_labels).pieces(count), strict=True)
    return Sample(numbers, np.concatenate(images), np.concatenate(labels) if with_labels else None)


class Answers:
    """What networks say of samples, each asked once.

    Args:
        networks: dict of role to deployable keras.Model.
        batch: examples a batch.
    """

    def __init__(self, networks, batch):
        self.networks, self.batch, self._found = networks, batch, {}

    def of(self, role, drawn):
        """A network's distributions on a Sample, float64 [n, C]."""
        if (role, id(drawn)) not in self._found:
            z = logits(self.networks[role], drawn.images, self.batch)
            self._found[role, id(drawn)] = evaluate.softmax(z)
        return self._found[role, id(drawn)]
