"""The data sets: sizes, balance, who is in which part, and the messages where files are absent or damaged."""

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from sklearn.datasets import load_digits, make_moons

from mpl_tf import data
from mpl_tf.data import Source, standard
from mpl_tf.errors import RunError, UsageError

TFDS = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "tfds"
# Examples a class, 0 to 9, and the sizes of the other splits (http://ufldl.stanford.edu/housenumbers).
SVHN_TRAIN = (4948, 13861, 10585, 8497, 7458, 6882, 5727, 5595, 5045, 4659)
SVHN_EXTRA, SVHN_TEST = 531_131, 26_032


def counted(*sources):
    """How often each image comes, over all sources, as a Counter of its bytes."""
    return Counter(image.tobytes() for source in sources for image in source.images)


def numbers(source):
    """The examples of a source made by `numbered`."""
    return source.images[:, 0]


def numbered(labels, first=0):
    """A Source whose images are whole numbers, counted from `first`."""
    return Source(np.arange(first, first + len(labels), dtype=np.int64)[:, None], labels.astype(np.int32))


@pytest.fixture
def replaced_read(monkeypatch):
    """A function that puts Sources in the place of a TFDS data set's splits."""

    def replace(*sources):
        names = tuple("0123456789")
        monkeypatch.setattr(standard, "_read", lambda name, splits, data_dir: (*sources, names))

    return replace


# ---- digits_50 ----------------------------------------------------------------------------------------------------


def test_digits_are_those_of_scikit_learn_each_in_one_part(make_config):
    dataset = data.load(make_config("digits_50"))
    raw = load_digits()
    expected = np.rint(raw.images * 255 / 16).astype(np.uint8)
    assert (len(dataset.labeled), len(dataset.unlabeled), len(dataset.test)) == (50, 1298, 449)
    assert dataset.shape == (8, 8, 3) and dataset.labeled.images.dtype == np.uint8
    assert dataset.labeled.images.max() == 255
    everything = Source(np.repeat(expected[..., None], 3, axis=-1))
    assert counted(dataset.labeled, dataset.unlabeled, dataset.test) == counted(everything)
    labels = {image.tobytes(): label for image, label in zip(everything.images, raw.target, strict=True)}
    for part in (dataset.labeled, dataset.test):
        assert [labels[image.tobytes()] for image in part.images] == part.labels.tolist()


def test_digits_are_labeled_five_a_class_and_never_mirrored(make_config):
    dataset = data.load(make_config("digits_50"))
    assert np.bincount(dataset.labeled.labels).tolist() == [5] * 10
    assert dataset.unlabeled.labels is None and dataset.flip is False and dataset.fill == 0
    assert dataset.class_names == tuple("0123456789") and dataset.num_classes == 10


def test_digits_are_normalised_by_what_is_not_test(make_config):
    dataset = data.load(make_config("digits_50"))
    training = np.concatenate([dataset.labeled.images, dataset.unlabeled.images]) / 255
    np.testing.assert_allclose(dataset.mean, [training.mean()] * 3, rtol=1e-12)
    np.testing.assert_allclose(dataset.std, [training.std()] * 3, rtol=1e-12)


def test_the_seed_moves_the_labels_of_digits_and_not_the_test(make_config):
    first, second, again = (data.load(make_config("digits_50", seed=seed)) for seed in (0, 1, 0))
    np.testing.assert_array_equal(first.test.images, second.test.images)
    assert counted(first.labeled) != counted(second.labeled)
    np.testing.assert_array_equal(first.labeled.images, again.labeled.images)
    np.testing.assert_array_equal(first.unlabeled.images, again.unlabeled.images)


# ---- two_moons ----------------------------------------------------------------------------------------------------


def test_two_moons_are_2000_points_of_which_six_are_labeled(make_config):
    dataset = data.load(make_config("two_moons"))
    assert (len(dataset.labeled), len(dataset.unlabeled), len(dataset.test)) == (6, 1994, 2000)
    assert np.bincount(dataset.labeled.labels).tolist() == [3, 3]
    assert np.bincount(dataset.test.labels).tolist() == [1000, 1000]
    assert dataset.shape == (2,) and dataset.labeled.images.dtype == np.float32
    assert counted(dataset.labeled, dataset.unlabeled) == counted(dataset.test)
    label = {point.tobytes(): label for point, label in zip(dataset.test.images, dataset.test.labels, strict=True)}
    assert [label[point.tobytes()] for point in dataset.labeled.images] == dataset.labeled.labels.tolist()


def test_two_moons_are_drawn_from_the_seed(make_config):
    for seed in (0, 3):
        expected, labels = make_moons(2000, noise=0.1, random_state=seed)
        test = data.load(make_config("two_moons", seed=seed)).test
        np.testing.assert_array_equal(test.images, expected.astype(np.float32))
        np.testing.assert_array_equal(test.labels, labels)


# ---- Number of labels, whatever the data set ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "num_labels", "available"), [("digits_50", 0, 1348), ("two_moons", 0, 2000), ("two_moons", 2000, 2000)]
)
def test_where_all_are_labeled_none_are_unlabeled(make_config, name, num_labels, available):
    dataset = data.load(make_config(name, num_labels=num_labels, method="supervised"))
    assert len(dataset.labeled) == available
    assert dataset.unlabeled is None


def test_another_number_of_labels_moves_the_others_to_the_unlabeled(make_config):
    dataset = data.load(make_config("digits_50", num_labels=100))
    assert np.bincount(dataset.labeled.labels).tolist() == [10] * 10
    assert len(dataset.unlabeled) == 1248


@pytest.mark.parametrize("flag", ["labeled_batch", "finetune_batch"])
def test_a_batch_larger_than_the_labeled_set_is_refused(make_config, flag):
    with pytest.raises(UsageError, match=f"^--{flag}: expected at most the 50 labeled examples, got 51$"):
        data.load(make_config("digits_50", **{flag: 51}))


def test_the_finetuning_batch_is_free_where_there_is_no_finetuning(make_config):
    assert len(data.load(make_config("digits_50", finetune_batch=51, finetune_steps=0)).labeled) == 50


# ---- CIFAR-10-4K --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1])
def test_cifar_10_holds_5000_out_and_labels_4000_of_the_others(make_config, replaced_read, seed):
    labels = np.random.default_rng(9).permutation(np.repeat(np.arange(10), 5000))
    replaced_read(numbered(labels), numbered(labels[:10_000], first=100_000))
    dataset = data.load(make_config("cifar10_4k", seed=seed))
    labeled, unlabeled = numbers(dataset.labeled), numbers(dataset.unlabeled)
    assert (len(labeled), len(unlabeled), len(dataset.test)) == (4000, 41_000, 10_000)
    assert len(np.unique(np.concatenate([labeled, unlabeled]))) == 45_000  # so 5,000 are in neither
    assert max(labeled.max(), unlabeled.max()) < 50_000 <= numbers(dataset.test).min()
    np.testing.assert_array_equal(labels[labeled], dataset.labeled.labels)
    assert np.bincount(dataset.labeled.labels).tolist() == [400] * 10
    assert dataset.unlabeled.labels is None


def test_cifar_10_seeds_hold_out_and_label_other_images(make_config, replaced_read):
    labels = np.repeat(np.arange(10), 5000)
    replaced_read(numbered(labels), numbered(labels))
    first, second, again = (data.load(make_config("cifar10_4k", seed=seed)) for seed in (0, 1, 0))
    np.testing.assert_array_equal(numbers(first.labeled), numbers(again.labeled))
    np.testing.assert_array_equal(numbers(first.unlabeled), numbers(again.unlabeled))
    assert len(np.intersect1d(numbers(first.labeled), numbers(second.labeled))) < 1000
    assert len(np.intersect1d(numbers(first.unlabeled), numbers(second.unlabeled))) < 40_000


@pytest.mark.skipif(not (TFDS / "cifar10").is_dir(), reason="needs the CIFAR-10 files in ../shared/data/tfds")
def test_cifar_10_files_are_read_and_split(make_config):
    dataset = data.load(make_config("cifar10_4k", data_dir=TFDS))
    assert (len(dataset.labeled), len(dataset.unlabeled), len(dataset.test)) == (4000, 41_000, 10_000)
    assert dataset.shape == (32, 32, 3) and dataset.unlabeled.images.dtype == np.uint8
    assert np.bincount(dataset.labeled.labels).tolist() == [400] * 10
    assert np.bincount(dataset.test.labels).tolist() == [1000] * 10
    assert dataset.class_names[:2] == ("airplane", "automobile") and dataset.flip is True
    assert (dataset.mean, dataset.std) == ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))
    every = tfds.as_numpy(tfds.load("cifar10", split="train", data_dir=TFDS, download=False, batch_size=-1))
    train = counted(Source(every["image"]))
    used = counted(dataset.labeled, dataset.unlabeled)
    # Counted with repetition, so that an image that CIFAR-10 itself has twice may be in two parts, but no oftener.
    assert used <= train and (train - used).total() == 5000
    pairs = {(image.tobytes(), label) for image, label in zip(every["image"], every["label"], strict=True)}
    labeled = zip(dataset.labeled.images, dataset.labeled.labels, strict=True)
    assert {(image.tobytes(), label) for image, label in labeled} <= pairs


# ---- SVHN-1K ------------------------------------------------------------------------------------------------------


def test_svhn_labels_1000_of_train_and_leaves_603388_unlabeled(make_config, replaced_read):
    labels = np.random.default_rng(9).permutation(np.repeat(np.arange(10), SVHN_TRAIN))
    train, extra = numbered(labels), numbered(np.zeros(SVHN_EXTRA), first=len(labels))
    replaced_read(train, extra, numbered(np.zeros(SVHN_TEST), first=10**6))
    dataset = data.load(make_config("svhn_1k"))
    labeled, unlabeled = numbers(dataset.labeled), numbers(dataset.unlabeled)
    assert (len(labeled), len(unlabeled), len(dataset.test)) == (1000, 603_388, 26_032)
    assert np.bincount(dataset.labeled.labels).tolist() == [100] * 10
    np.testing.assert_array_equal(labels[labeled], dataset.labeled.labels)  # so all of them are of train
    np.testing.assert_array_equal(np.sort(np.concatenate([labeled, unlabeled])), np.arange(73_257 + 531_131))


class SmallSvhn(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Noise in the form of TFDS's svhn_cropped: 60 + 40 + 20 images, labels 0 to 9 in turn."""

    name = "svhn_cropped"
    VERSION = tfds.core.Version("3.1.0")

    def _info(self):
        image = tfds.features.Image(shape=(32, 32, 3))
        features = {"image": image, "label": tfds.features.ClassLabel(num_classes=10), "id": tfds.features.Text()}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        sizes = {"train": 60, "extra": 40, "test": 20}
        return {split: self._generate_examples(split, seed, n) for seed, (split, n) in enumerate(sizes.items())}

    def _generate_examples(self, split, seed, count):
        images = np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3), np.uint8)
        for index, image in enumerate(images):
            yield index, {"image": image, "label": index % 10, "id": f"{split}_{index}"}


@pytest.fixture(scope="module")
def svhn_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    SmallSvhn(data_dir=folder).download_and_prepare()
    return folder


def test_svhn_files_are_read_and_split(make_config, svhn_files):
    config = make_config("svhn_1k", data_dir=svhn_files, num_labels=20, labeled_batch=20, finetune_batch=20)
    dataset = data.load(config)
    train, extra, test = (
        tfds.as_numpy(tfds.load("svhn_cropped", split=split, data_dir=svhn_files, download=False, batch_size=-1))
        for split in ("train", "extra", "test")
    )
    assert (len(dataset.labeled), len(dataset.unlabeled), len(dataset.test)) == (20, 80, 20)
    assert np.bincount(dataset.labeled.labels).tolist() == [2] * 10
    label = {image.tobytes(): label for image, label in zip(train["image"], train["label"], strict=True)}
    assert [label[image.tobytes()] for image in dataset.labeled.images] == dataset.labeled.labels.tolist()
    assert counted(dataset.labeled, dataset.unlabeled) == counted(Source(train["image"]), Source(extra["image"]))
    np.testing.assert_array_equal(dataset.test.images, test["image"])
    np.testing.assert_array_equal(dataset.test.labels, test["label"])
    assert dataset.flip is False and dataset.shape == (32, 32, 3)
    np.testing.assert_allclose(dataset.mean, [0.438, 0.444, 0.473], atol=5e-4)
    np.testing.assert_allclose(dataset.std, [0.198, 0.201, 0.197], atol=5e-4)


# ---- Files that are absent or damaged -----------------------------------------------------------------------------


def failure(config):
    """The message of a run that fails while it loads its data: one line, exit status 1."""
    with pytest.raises(RunError) as caught:
        data.load(config)
    assert caught.value.status == 1 and "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(("name", "tfds_name"), [("cifar10_4k", "cifar10"), ("svhn_1k", "svhn_cropped")])
def test_an_absent_data_set_that_cannot_be_downloaded_ends_the_run(make_config, tmp_path, monkeypatch, name, tfds_name):
    def download(*_, **__):
        raise ConnectionError("no route to host\nand more")

    for attribute in ("download", "download_and_extract"):
        monkeypatch.setattr(tfds.download.DownloadManager, attribute, download)
    message = failure(make_config(name, data_dir=tmp_path))
    for told in ("--data_dir:", tfds_name, str(tmp_path), "ConnectionError: no route to host"):
        assert told in message
    assert "and more" not in message


def damage_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)


def damage_end(path):
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize("damage", [damage_byte, damage_end, Path.unlink])
def test_a_damaged_shard_ends_the_run_and_its_folder_is_named(make_config, svhn_files, tmp_path, damage):
    shutil.copytree(svhn_files / "svhn_cropped", tmp_path / "svhn_cropped")
    (shard,) = tmp_path.rglob("svhn_cropped-extra.tfrecord-*")
    damage(shard)
    message = failure(make_config("svhn_1k", data_dir=tmp_path, num_labels=20))
    assert message.startswith("--data_dir: svhn_cropped")
    assert str(shard.parent) in message and "cannot be read" in message


def test_a_damaged_description_of_a_data_set_ends_the_run(make_config, svhn_files, tmp_path):
    shutil.copytree(svhn_files / "svhn_cropped", tmp_path / "svhn_cropped")
    (description,) = tmp_path.rglob("dataset_info.json")
    description.write_text("{")
    message = failure(make_config("svhn_1k", data_dir=tmp_path, num_labels=20))
    assert message.startswith("--data_dir: svhn_cropped") and str(tmp_path) in message
