"""Own images of a folder read for some steps, in a process of its own: how much memory that takes and how long.

python -m tests.data.folder_of_any_size FOLDER IMAGES: FOLDER has `labeled` and `test`, and gets `all-IMAGES`, that many
links to a few small photographs. Prints as JSON the seconds of the listing and of the fingerprint, and the largest
memory of the process after its start and in all, MiB.
"""

import json
import os
import resource
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

LINKS = 50_000  # To one file; ext4 has no more than 65,000.


def write(root, images):
    """The folder's images."""
    for level, place in enumerate(("labeled/cat", "labeled/dog", "test/cat", "test/dog")):
        (root / place).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32), (level,) * 3).save(root / place / "a.png")
    folder = root / f"all-{images}"
    folder.mkdir()
    for number in range(images):
        if number % LINKS == 0:
            photograph = folder / f"{number:08d}.jpg"
            pixels = np.random.default_rng(number).integers(0, 256, (48, 64, 3), np.uint8)
            Image.fromarray(pixels).save(photograph)
        else:
            os.link(photograph, folder / f"{number:08d}.jpg")
    return folder


def peak():
    """The largest memory of this process so far, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(root, images):
    """Write, list, read."""
    folder_of_images = write(root, images)
    from mpl_tf.data import folder, pipeline
    from mpl_tf.devices import choice
    from mpl_tf.settings import flags
    from mpl_tf.settings.catalogue import DATASETS

    given = {"labeled_dir": root / "labeled", "test_dir": root / "test", "unlabeled_dir": folder_of_images}
    small = {"image_size": 32, "labeled_batch": 2, "finetune_batch": 2, "mu": 64, "method": "mean_teacher"}
    config = flags.parse(["--dataset=folder", *(f"--{name}={value}" for name, value in (given | small).items())])
    devices = choice.make_devices("one")
    before, start = peak(), time.perf_counter()
    dataset = folder.load(DATASETS["folder"], config, most=10**6)
    listed = time.perf_counter()
    dataset.unlabeled.fingerprint()
    identified = time.perf_counter()
    keys = ("x_l", "y_l", "x_u_weak", "x_u_weak_2")
    for _ in pipeline.training_batches(dataset, config, keys, 2, 0, 20, devices):
        pass
    told = {"seconds": listed - start, "fingerprint": identified - listed, "before": before, "peak": peak()}
    print(json.dumps(told | {"unlabeled": len(dataset.unlabeled)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
