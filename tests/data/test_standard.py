"""Data sets of TFDS by their rows alone, whatever their splits are called: small ones written here."""

import dataclasses
import io

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from mpl_tf import data
from mpl_tf.data import decode
from mpl_tf.settings.catalogue import DATASETS, DataRow, TfdsSplits

COUNTS = (10, 14, 26)  # Images a class.
OF_TFDS = [row for row in DATASETS.values() if row.tfds]


def write(folder, name, features, splits, config=None, version="1.0.0"):
    """Write a TFDS data set: {split: list of examples}."""
    tfds.dataset_builders.store_as_tfds_dataset(
        name=name,
        version=version,
        features=tfds.features.FeaturesDict(features),
        split_datasets={split: list(enumerate(examples)) for split, examples in splits.items()},
        config=config,
        data_dir=folder,
        disable_shuffling=True,
    )


def noise(count, shape, seed):
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), np.uint8)


def labels(counts, seed=0):
    """So many of each class, in a random order."""
    return np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))


def load(make_config, monkeypatch, row, **flags):
    """The data set of a row that the catalogue does not have."""
    monkeypatch.setitem(DATASETS, row.name, row)
    batches = {"labeled_batch": 3, "finetune_batch": 3}
    return data.load(make_config("cifar10_4k", **batches, **flags).replace(dataset=row.name))


def keys(images):
    return [image.tobytes() for image in images]


@pytest.fixture(scope="module")
def train_alone(tmp_path_factory):
    """(folder, images, labels) of a data set whose only split is `train`."""
    folder = tmp_path_factory.mktemp("train_alone")
    images, classes = noise(sum(COUNTS), (8, 8, 3), 1), labels(COUNTS)
    features = {"image": tfds.features.Image(shape=(8, 8, 3)), "label": tfds.features.ClassLabel(num_classes=3)}
    examples = [{"image": image, "label": label} for image, label in zip(images, classes, strict=True)]
    write(folder, "train_alone", features, {"train": examples})
    return folder, images, classes


def alone(**splits):
    """The row of that data set."""
    tfds_splits = TfdsSplits("train_alone", test="", **splits)
    scale = {"mean": (0.5,) * 3, "std": (0.25,) * 3}
    return DataRow("alone", "train alone", "mpl_tf.data.standard:load", shape=(8, 8, 3), tfds=tfds_splits, **scale)


@pytest.mark.parametrize("seed", [0, 1])
def test_without_test_images_a_fifth_of_each_class_is_split_off(train_alone, make_config, monkeypatch, seed):
    folder, images, classes = train_alone
    dataset = load(make_config, monkeypatch, alone(), data_dir=folder, num_labels=9, seed=seed)
    assert np.bincount(dataset.test.labels).tolist() == [2, 2, 5]  # 10, 14 and 26 // 5
    assert np.bincount(dataset.labeled.labels).tolist() == [3, 3, 3]
    parts = [keys(part.images) for part in (dataset.test, dataset.labeled, dataset.unlabeled)]
    assert [len(part) for part in parts] == [9, 9, 32]
    assert sorted(sum(parts, [])) == sorted(keys(images))
    label = dict(zip(keys(images), classes, strict=True))
    for part in (dataset.test, dataset.labeled):
        assert [label[key] for key in keys(part.images)] == part.labels.tolist()


def test_the_test_part_alone_is_that_of_the_whole_and_needs_no_labels(train_alone, make_config, monkeypatch):
    """Also where it is split off; --num_labels that the data no longer allow is no matter."""
    folder, row = train_alone[0], alone()
    whole = load(make_config, monkeypatch, row, data_dir=folder, num_labels=9)
    config = make_config("cifar10_4k", data_dir=folder, num_labels=7, mode="train").replace(dataset=row.name)
    row_of_test = dataclasses.replace(row, test_path="mpl_tf.data.standard:load_test")
    monkeypatch.setitem(DATASETS, row.name, row_of_test)
    test = data.load_test(config, None)
    assert (test.labeled, test.unlabeled, test.shape) == (None, None, (8, 8, 3))
    assert test.class_names == whole.class_names and test.test.fingerprint() == whole.test.fingerprint()


def test_training_images_may_be_gone_where_there_are_test_images(tmp_path, make_config, monkeypatch):
    images = noise(20, (8, 8, 3), 3)
    features = {"image": tfds.features.Image(shape=(8, 8, 3)), "label": tfds.features.ClassLabel(num_classes=2)}
    examples = [{"image": image, "label": number % 2} for number, image in enumerate(images)]
    write(tmp_path, "two", features, {"train": examples[:12], "test": examples[12:]})
    for path in (tmp_path / "two").rglob("*-train.*"):
        path.unlink()
    row = dataclasses.replace(alone(), test_path="mpl_tf.data.standard:load_test", tfds=TfdsSplits("two"))
    monkeypatch.setitem(DATASETS, row.name, row)
    dataset = data.load_test(make_config("cifar10_4k", data_dir=tmp_path).replace(dataset=row.name), None)
    np.testing.assert_array_equal(dataset.test.images, images[12:])
    assert dataset.test.labels.tolist() == [0, 1] * 4


def test_the_seed_moves_the_labels_and_those_held_out_and_not_the_test(train_alone, make_config, monkeypatch):
    how = {"data_dir": train_alone[0], "num_labels": 9}
    row = alone(held_out=20)
    first, second = (load(make_config, monkeypatch, row, seed=seed, **how) for seed in (0, 1))
    np.testing.assert_array_equal(first.test.images, second.test.images)
    plain = load(make_config, monkeypatch, alone(), **how)
    np.testing.assert_array_equal(first.test.images, plain.test.images)
    used = [{*keys(part.labeled.images), *keys(part.unlabeled.images)} for part in (first, second)]
    assert [len(part) for part in used] == [37, 37]  # Of 50: 9 are for the test, a tenth of 41 is held out.
    assert used[0] != used[1] and set(keys(first.labeled.images)) != set(keys(second.labeled.images))


def test_splits_and_labels_of_other_names_and_images_of_many_sizes(tmp_path, make_config, monkeypatch):
    sizes = [(9, 20), (16, 8), (12, 12), (30, 10)] * 3
    images = [noise(1, (*size, 3), number)[0] for number, size in enumerate(sizes)]
    features = {
        "image": tfds.features.Image(encoding_format="png"),
        "species": tfds.features.ClassLabel(names=["ape", "bee", "cat"]),
    }
    examples = [{"image": image, "species": number % 3} for number, image in enumerate(images)]
    splits = {"learning": examples[:6], "validation": examples[6:9], "web": examples[9:]}
    write(tmp_path, "zoo", features, splits)
    row = DataRow(
        "own_zoo",
        "three animals",
        "mpl_tf.data.standard:load",
        mean=(0.5,) * 3,
        std=(0.25,) * 3,
        flip=True,
        fill=7,
        tfds=TfdsSplits("zoo", train="learning", test="validation", extra="web", label="species"),
    )
    dataset = load(make_config, monkeypatch, row, data_dir=tmp_path, num_labels=3, image_size=10)

    def resized(image):
        file = io.BytesIO()
        Image.fromarray(image).save(file, "PNG")
        return decode.decode(file, 10)

    expected = np.stack([resized(image) for image in images])  # [12, 10, 10, 3]
    np.testing.assert_array_equal(dataset.test.images, expected[6:9])
    assert dataset.test.labels.tolist() == [0, 1, 2]
    assert sorted(keys(dataset.labeled.images) + keys(dataset.unlabeled.images)[:3]) == sorted(keys(expected[:6]))
    np.testing.assert_array_equal(dataset.unlabeled.images[3:], expected[9:])
    assert dataset.class_names == ("ape", "bee", "cat") and dataset.name == "own_zoo"
    assert (dataset.flip, dataset.fill, dataset.mean) == (True, 7, (0.5, 0.5, 0.5))
    config = make_config(
        "cifar10_4k", data_dir=tmp_path, num_labels=3, image_size=10, labeled_batch=3, finetune_batch=3
    )
    stretched = data.load(config.replace(dataset=row.name, resize="stretch"))
    whole = [Image.fromarray(image).resize((10, 10), Image.Resampling.BILINEAR) for image in images[6:9]]
    np.testing.assert_array_equal(stretched.test.images, np.stack(whole))


def test_grey_images_get_three_equal_channels(tmp_path, make_config, monkeypatch):
    images = noise(20, (8, 8, 1), 3)
    features = {"image": tfds.features.Image(shape=(8, 8, 1)), "label": tfds.features.ClassLabel(num_classes=2)}
    examples = [{"image": image, "label": number % 2} for number, image in enumerate(images)]
    write(tmp_path, "grey", features, {"train": examples[:12], "test": examples[12:]})
    row = DataRow(
        "own_grey",
        "grey",
        "mpl_tf.data.standard:load",
        shape=(8, 8, 3),
        mean=(0.5,) * 3,
        std=(0.25,) * 3,
        tfds=TfdsSplits("grey"),
    )
    dataset = load(make_config, monkeypatch, row, data_dir=tmp_path, num_labels=4)
    np.testing.assert_array_equal(dataset.test.images, np.repeat(images[12:], 3, axis=-1))


def test_eurosat_is_a_row_and_a_flagfile(tmp_path, make_config):
    version = str(tfds.builder("eurosat/rgb", data_dir=tmp_path / "none").version)
    features = {
        "filename": tfds.features.Text(),
        "image": tfds.features.Image(shape=(64, 64, 3)),
        "label": tfds.features.ClassLabel(num_classes=10),
    }
    images, classes = noise(150, (64, 64, 3), 4), labels([15] * 10)
    examples = [
        {"filename": f"{number}.jpg", "image": image, "label": label}
        for number, (image, label) in enumerate(zip(images, classes, strict=True))
    ]
    write(tmp_path, "eurosat", features, {"train": examples}, config="rgb", version=version)
    config = make_config("eurosat")
    assert (config.num_labels, config.model, config.train_steps) == (1000, "wide_resnet_28_2", 300_000)
    short = config.replace(data_dir=str(tmp_path), num_labels=100, labeled_batch=10, finetune_batch=10)
    dataset = data.load(short)
    assert (len(dataset.labeled), len(dataset.unlabeled), len(dataset.test)) == (100, 20, 30)
    assert np.bincount(dataset.test.labels).tolist() == [3] * 10
    assert dataset.flip is True and dataset.mean == (0.344, 0.380, 0.408)


@pytest.mark.parametrize("row", OF_TFDS, ids=lambda row: row.name)
def test_a_row_says_of_its_images_what_tfds_says(row, tmp_path):
    features = tfds.builder(row.tfds.builder, data_dir=tmp_path).info.features
    assert features["image"].shape == row.shape
    assert features[row.tfds.label].num_classes == row.classes
