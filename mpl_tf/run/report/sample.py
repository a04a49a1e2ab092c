"""The examples that a report looks at: few enough that an epoch's end costs little, the same ones each time."""

import hashlib
import math
from typing import NamedTuple

import numpy as np

from mpl_tf.run import evaluate
from mpl_tf.run.logits import logits

EXAMPLES = 1000  # The most of a part of the data set, spread evenly over it.
BYTES = 2**26  # The most memory that they take.


class Sample(NamedTuple):
    """Examples of a Source or what stands in its place.

    numbers: int [n], which of its examples; images: [n, ...] as its `pieces` has them, or Pictures; labels: int [n] or
    None.
    """

    numbers: np.ndarray
    images: np.ndarray
    labels: np.ndarray | None


class Pictures:
    """Images of a source, each read when it is asked for: few of a sample are shown.

    Args:
        source: Source or OwnImages of images.
        numbers: int [n], which of its examples.
    """

    def __init__(self, source, numbers):
        self.source, self.numbers = source, numbers

    def __getitem__(self, place):
        """uint8 [H, W, 3] at a place, int."""
        return self.source.at(self.numbers[[place]])[0]


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
    """What networks say of samples; as long as its weights stay what they are, each is asked once.

    Args:
        batch: examples a batch.
    """

    def __init__(self, batch):
        self.networks, self.batch, self._weights, self._found = {}, batch, {}, {}

    def ask(self, networks):
        """Ask these from now on, and forget what was found of one with other weights.

        Args:
            networks: dict of role to deployable keras.Model.
        """
        for role, network in networks.items():
            weights = _digest(network)
            if weights != self._weights.get(role):
                self._found = {key: found for key, found in self._found.items() if key[0] != role}
                self._weights[role] = weights
        self.networks = networks

    def of(self, role, drawn):
        """A network's distributions on a Sample, float64 [n, C]."""
        # With what is found the sample is held, so that no other one comes to stand at its place in memory.
        if (role, id(drawn)) not in self._found:
            self._found[role, id(drawn)] = drawn, distributions(self.networks[role], drawn, self.batch)
        return self._found[role, id(drawn)][1]


def distributions(network, drawn, batch):
    """What a deployable keras.Model says of a Sample, `batch` examples at a time: float64 [n, C]."""
    return evaluate.softmax(logits(network, drawn.images, batch))


def _digest(network):
    """A digest of a network's weights, bytes."""
    hashed = hashlib.blake2b()
    for values in network.get_weights():
        hashed.update(np.ascontiguousarray(values))
    return hashed.digest()
