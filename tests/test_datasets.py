"""mpl_tf.datasets from folders of images, in the three lines of its docstring."""

import keras
import numpy as np
from PIL import Image

import mpl_tf


def test_folders_become_batches_in_three_lines(tmp_path):
    random = np.random.default_rng(0)
    for part in ("labeled/cat", "labeled/dog", "more"):
        (tmp_path / part).mkdir(parents=True)
        for number in range(6):
            Image.fromarray(random.integers(0, 256, (10, 12, 3), dtype=np.uint8)).save(
                tmp_path / part / f"{number}.png"
            )
    size = {"image_size": (8, 8), "seed": 0, "verbose": False}
    labeled = keras.utils.image_dataset_from_directory(tmp_path / "labeled", **size)
    unlabeled = keras.utils.image_dataset_from_directory(tmp_path / "more", labels=None, **size)
    batches = mpl_tf.datasets.from_keras(labeled, unlabeled, labeled_batch=4, mu=3)
    one = next(iter(batches))
    assert one["x_u_strong"].shape == (12, 8, 8, 3) and set(one["y_l"].numpy()) <= {0, 1}
    x, y = next(iter(mpl_tf.datasets.normalised(labeled)))
    assert x.shape == (12, 8, 8, 3) and y.shape == (12,)
