"""two_moons: 2,000 generated points in two half moons, 1,000 each (paper section 3.1)."""

import numpy as np

from mpl_tf.data.source import Dataset, Source
from mpl_tf.data.splits import labeled_split

POINTS = 2000
MOON_NOISE = 0.1  # The paper does not say; at 0.15 the moons touch.


def load(row, config):
    """Points float32 [N, 2]; config.num_labels at random labeled (paper: 6), the others unlabeled.

    All 2,000 points are the test set, as the paper asks for the right classifier of the moons.
    """
    from sklearn.datasets import make_moons

    points, labels = make_moons(POINTS, noise=MOON_NOISE, random_state=config.seed)
    everything = Source(points.astype(np.float32), labels.astype(np.int32))
    chosen, rest = labeled_split(labels, config.num_labels, row.classes, config.seed)
    return Dataset(
        name=row.name,
        labeled=everything.take(chosen),
        unlabeled=everything.take(rest, with_labels=False) if len(rest) else None,
        test=everything,
        class_names=("upper", "lower"),
    )
