"""A miniature ImageNet in the format of TFDS, cut from scikit-learn's two real photographs."""

import io

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image
from sklearn.datasets import load_sample_images

LABELS = (0, 7, 998, 999)  # The upper and the lower half of each photograph.
VERSIONS = {"imagenet2012": "5.1.0", "imagenet2012_subset": "5.0.0", "imagenet2012_real": "1.0.0"}


def photographs(count, seed, low=40, high=90):
    """`count` pieces of the photographs: list of (uint8 [H, W, 3], sides low..high; number of its class in LABELS)."""
    random = np.random.default_rng(seed)
    halves = [half for image in load_sample_images().images for half in np.split(image[:426], 2)]
    found = []
    for number in range(count):
        half = halves[number % 4]
        height, width = random.integers(low, high, 2)
        top, left = (random.integers(0, space - side) for space, side in zip(half.shape, (height, width), strict=False))
        found.append((half[top : top + height, left : left + width], number % 4))
    return found


def jpeg(image):
    """JPEG bytes."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=95)
    return file.getvalue()


def real_labels(number):
    """Accepted classes of validation image `number`: none, its own, two, or a wrong one, in turn."""
    own = LABELS[number % 4]
    return [[], [own], [own, 3], [3]][number // 4 % 4]


def write(folder, train=48, labeled=16, validation=24, real=True):
    """Write imagenet2012, its 10pct subset and imagenet2012_real into a TFDS folder."""
    plain = {
        "file_name": tfds.features.Text(),
        "image": tfds.features.Image(encoding_format="jpeg"),
        "label": tfds.features.ClassLabel(num_classes=1000),
    }

    def examples(count, seed):
        return [
            {"file_name": f"{seed}_{number}.JPEG", "image": io.BytesIO(jpeg(image)), "label": LABELS[label]}
            for number, (image, label) in enumerate(photographs(count, seed))
        ]

    held = examples(validation, 2)
    _store(folder, "imagenet2012", plain, {"train": examples(train, 1), "validation": held})
    _store(folder, "imagenet2012_subset", plain, {"train": examples(train, 1)[:labeled], "validation": held}, "10pct")
    if real:
        features = {key: plain[key] for key in ("file_name", "image")} | {
            "original_label": tfds.features.ClassLabel(num_classes=1000),
            "real_label": tfds.features.Sequence(tfds.features.ClassLabel(num_classes=1000)),
        }
        accepted = [
            {key: example[key] for key in ("file_name", "image")}
            | {"original_label": example["label"], "real_label": real_labels(number)}
            for number, example in enumerate(examples(validation, 2))
        ]
        _store(folder, "imagenet2012_real", features, {"validation": accepted})


def _store(folder, name, features, splits, config=None):
    tfds.dataset_builders.store_as_tfds_dataset(
        name=name,
        version=VERSIONS[name],
        features=tfds.features.FeaturesDict(features),
        split_datasets={split: list(enumerate(examples)) for split, examples in splits.items()},
        config=config,
        data_dir=folder,
        disable_shuffling=True,
        download_config=tfds.download.DownloadConfig(num_shards=3),
    )
