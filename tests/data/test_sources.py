"""The data sets: sizes, balance, who is in which part, and the messages where files are absent or damaged.

Covers: __init__.py, digits.py, source.py, standard.py, tfds.py, two_moons.py
"""

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from sklearn.datasets import load_digits, make_moons

from mpl_tf import data
from mpl_tf.base.errors import RunError, UsageError
from mpl_tf.data import Source, standard
from mpl_tf.data.tfds import TfdsData

TFDS = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "tfds"
# Examples a class and the sizes of the other splits, as their authors publish them.
CIFAR_TRAIN, CIFAR_TEST = 50_000, 10_000
SVHN_TRAIN = (4948, 13861, 10585, 8497, 7458, 6882, 5727, 5595, 5045, 4659)
SVHN_EXTRA, SVHN_TEST = 531_131, 26_032
STL_TRAIN, STL_TEST, STL_UNLABELED = 5000, 8000, 100_000
STANDARD = {  # Data set: that of TFDS, and labels of its training images.
    "cifar10_4k": ("cifar10", np.repeat(np.arange(10), CIFAR_TRAIN // 10)),
    "cifar100_10k": ("cifar100", np.repeat(np.arange(100), CIFAR_TRAIN // 100)),
    "svhn_1k": ("svhn_cropped", np.repeat(np.arange(10), SVHN_TRAIN)),
    "stl10_1k": ("stl10", np.repeat(np.arange(10), STL_TRAIN // 10)),
}


def counted(*sources):
    """How often each image comes, over all sources, as a Counter of its bytes."""
    return Counter(image.tobytes() for source in sources for image in source.images)


def numbers(source):
    """The examples of a source made by `numbered`."""
    return source.images[:, 0]


def numbered(labels, first=0):
    """A Source whose images are whole numbers, counted from `first`."""
    return Source(np.arange(first, first + len(labels), dtype=np.int64)[:, None], labels.astype(np.int32))


class Numbered:
    """In the place of TfdsData: splits of the published sizes, images numbered from 0, 10^6 and 2 * 10^6 on."""

    def __init__(self, name, data_dir, label="label"):
        ((_, labels),) = [known for known in STANDARD.values() if known[0] == name]
        labels = np.random.default_rng(9).permutation(labels)
        sizes = {"cifar10": CIFAR_TEST, "cifar100": CIFAR_TEST, "svhn_cropped": SVHN_TEST, "stl10": STL_TEST}
        self.class_names = tuple(f"c{number}" for number in range(labels.max() + 1))
        self.splits = {"train": numbered(labels), "test": numbered(np.zeros(sizes[name]), first=2 * 10**6)}
        if name == "svhn_cropped":
            self.splits["extra"] = numbered(np.zeros(SVHN_EXTRA), first=10**6)
        if name == "stl10":
            self.splits["unlabelled"] = numbered(np.full(STL_UNLABELED, -1), first=10**6)

    def read(self, split, size=None, after=None, resize="crop"):
        source = self.splits[split]
        return source if after is None else Source(np.concatenate([after, source.images]), source.labels)


@pytest.fixture
def numbered_files(monkeypatch):
    monkeypatch.setattr(standard, "TfdsData", Numbered)


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


def test_both_batches_are_told_at_once(make_config):
    with pytest.raises(UsageError, match="^2 problems: .*--labeled_batch: .*--finetune_batch: .* got 52$"):
        data.load(make_config("digits_50", labeled_batch=51, finetune_batch=52))


def test_the_finetuning_batch_is_free_where_there_is_no_finetuning(make_config):
    assert len(data.load(make_config("digits_50", finetune_batch=51, finetune_steps=0)).labeled) == 50


# ---- Standard data sets: who is in which part ---------------------------------------------------------------------

SPLITS = [  # Data set, labels, those held out, unlabeled ones.
    ("cifar10_4k", 1000, 5000, 44_000),
    ("cifar10_4k", 2000, 5000, 43_000),
    ("cifar10_4k", 4000, 5000, 41_000),
    ("cifar100_10k", 4000, 5000, 41_000),
    ("cifar100_10k", 10_000, 5000, 35_000),
    ("svhn_1k", 500, 0, 72_757 + SVHN_EXTRA),
    ("svhn_1k", 1000, 0, 603_388),
    ("stl10_1k", 1000, 0, 104_000),
    ("stl10_1k", 5000, 0, 100_000),
]


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("name", "num_labels", "held_out", "num_unlabeled"), SPLITS)
def test_each_example_is_in_one_part(make_config, numbered_files, name, num_labels, held_out, num_unlabeled, seed):
    files = Numbered(STANDARD[name][0], "")
    config = make_config(name, num_labels=num_labels, seed=seed, finetune_batch=min(512, num_labels))
    dataset = data.load(config)
    labels = files.splits["train"].labels
    labeled, unlabeled = numbers(dataset.labeled), numbers(dataset.unlabeled)
    assert (len(labeled), len(unlabeled)) == (num_labels, num_unlabeled)
    classes = len(files.class_names)
    assert np.bincount(dataset.labeled.labels).tolist() == [num_labels // classes] * classes
    np.testing.assert_array_equal(labels[labeled], dataset.labeled.labels)  # so all of them are of train
    together = np.concatenate([labeled, unlabeled])
    of_train = together[together < 10**6]
    assert len(np.unique(together)) == len(together) and len(of_train) == len(labels) - held_out
    others = [numbers(source) for split, source in files.splits.items() if split not in ("train", "test")]
    np.testing.assert_array_equal(np.sort(together[together >= 10**6]), np.concatenate([[], *others]))
    np.testing.assert_array_equal(dataset.test.images, files.splits["test"].images)
    assert dataset.unlabeled.labels is None and dataset.class_names == files.class_names


def test_the_images_held_out_are_scored_where_settings_are_chosen_and_the_others_stay(make_config, numbered_files):
    """CIFAR-10: 5,000 of the training set, none of them learned from, the parts of training as they are without it."""
    plain, chosen = (data.load(make_config("cifar10_4k", scored_on=part)) for part in ("test", "validation"))
    assert len(chosen.test) == 5000
    for part in ("labeled", "unlabeled"):
        np.testing.assert_array_equal(numbers(getattr(chosen, part)), numbers(getattr(plain, part)))
    parts = [numbers(part) for part in (chosen.labeled, chosen.unlabeled, chosen.test)]
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(CIFAR_TRAIN))
    labels = Numbered("cifar10", "").splits["train"].labels
    np.testing.assert_array_equal(chosen.test.labels, labels[numbers(chosen.test)])
    again = data.load_test(make_config("cifar10_4k", scored_on="validation"), None)
    np.testing.assert_array_equal(numbers(again.test), numbers(chosen.test))
    # The same images validate a run that is scored on the test images.
    validated = data.load(make_config("cifar10_4k", validate_on="held_out"))
    np.testing.assert_array_equal(numbers(validated.validation), numbers(chosen.test))
    assert len(validated.test) == 10_000 and plain.validation is None


def test_digits_held_out_for_choosing_are_none_of_the_test_images_whatever_the_seed(make_config):
    plain = data.load(make_config())
    chosen = [data.load(make_config(scored_on="validation", seed=seed)) for seed in (0, 1)]
    np.testing.assert_array_equal(chosen[0].test.images, chosen[1].test.images)
    assert [len(part) for part in (chosen[0].labeled, chosen[0].unlabeled, chosen[0].test)] == [50, 1034, 264]
    everything = counted(*(getattr(plain, part) for part in ("labeled", "unlabeled", "test")))
    assert counted(plain.test, *(getattr(chosen[0], part) for part in ("labeled", "unlabeled", "test"))) == everything


@pytest.mark.parametrize("name", ["cifar10_4k", "cifar100_10k"])
def test_cifar_seeds_hold_out_and_label_other_images(make_config, numbered_files, name):
    first, second, again = (data.load(make_config(name, seed=seed)) for seed in (0, 1, 0))
    np.testing.assert_array_equal(numbers(first.labeled), numbers(again.labeled))
    np.testing.assert_array_equal(numbers(first.unlabeled), numbers(again.unlabeled))
    assert len(np.intersect1d(numbers(first.labeled), numbers(second.labeled))) < len(first.labeled) / 3
    assert len(np.intersect1d(numbers(first.unlabeled), numbers(second.unlabeled))) < 40_000


def refused_labels(config):
    with pytest.raises(UsageError) as caught:
        data.load(config)
    message = str(caught.value)
    assert message.startswith("--num_labels: expected ") and "\n" not in message
    return message


@pytest.mark.parametrize(
    ("name", "num_labels"), [("cifar10_4k", 45_100), ("cifar100_10k", 45_000), ("svhn_1k", 46_600), ("stl10_1k", 5010)]
)
def test_more_labels_than_a_class_has_are_refused_and_the_advised_number_is_taken(
    make_config, numbered_files, name, num_labels
):
    message = refused_labels(make_config(name, num_labels=num_labels))
    advised = int(message.split("give at most ")[1])
    assert advised < num_labels and f"for {num_labels} labels" in message
    assert len(data.load(make_config(name, num_labels=advised)).labeled) == advised


@pytest.mark.parametrize(("name", "classes"), [("cifar10_4k", 10), ("cifar100_10k", 100), ("stl10_1k", 10)])
def test_labels_that_are_no_multiple_of_the_classes_are_refused(make_config, numbered_files, name, classes):
    message = refused_labels(make_config(name, num_labels=1005))
    assert message.endswith(f"a positive multiple of the {classes} classes, got 1005")


@pytest.mark.parametrize("num_labels", [10, 20, 500, 1000])
def test_digits_take_any_number_of_labels(make_config, num_labels):
    dataset = data.load(make_config("digits_50", num_labels=num_labels, labeled_batch=10, finetune_batch=10))
    assert np.bincount(dataset.labeled.labels).tolist() == [num_labels // 10] * 10
    assert len(dataset.unlabeled) == 1348 - num_labels
    assert "class" in refused_labels(make_config("digits_50", num_labels=1340))


# ---- The labeled examples as unlabeled ones -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["two_moons", "digits_50", *STANDARD])
def test_the_labeled_examples_alone_serve_as_unlabeled_ones(make_config, numbered_files, name):
    plain = data.load(make_config(name))
    dataset = data.load(make_config(name, unlabeled_source="labeled"))
    np.testing.assert_array_equal(dataset.labeled.images, plain.labeled.images)
    np.testing.assert_array_equal(dataset.unlabeled.images, plain.labeled.images)
    assert dataset.unlabeled.labels is None and dataset.labeled.labels is not None
    np.testing.assert_array_equal(dataset.test.images, plain.test.images)


def test_they_do_so_where_all_are_labeled(make_config):
    dataset = data.load(make_config("digits_50", num_labels=0, unlabeled_source="labeled"))
    np.testing.assert_array_equal(dataset.unlabeled.images, dataset.labeled.images)
    assert len(dataset.unlabeled) == 1348


@pytest.mark.parametrize(("name", "split"), [("svhn_1k", "extra"), ("stl10_1k", "unlabelled")])
def test_they_spare_the_reading_of_others(make_config, monkeypatch, name, split):
    monkeypatch.setattr(standard, "TfdsData", Numbered)
    read = []
    original = Numbered.read
    monkeypatch.setattr(
        Numbered, "read", lambda self, split, *how, **more: read.append(split) or original(self, split, *how, **more)
    )
    data.load(make_config(name, unlabeled_source="labeled"))
    assert read == ["train", "test"]
    data.load(make_config(name))
    assert read[2:] == ["train", split, "test"]


# ---- Standard data sets from files --------------------------------------------------------------------------------


@pytest.mark.slow
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


class Small(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Noise in the form of a TFDS data set; labels in turn, -1 in the split `unlabelled`."""

    def _info(self):
        features = {"image": tfds.features.Image(shape=(self.side, self.side, 3))}
        features |= {"label": tfds.features.ClassLabel(num_classes=self.classes)} | self.more
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split, seed, n) for seed, (split, n) in enumerate(self.sizes.items())}

    def _generate_examples(self, split, seed, count):
        images = np.random.default_rng(seed).integers(0, 256, (count, self.side, self.side, 3), np.uint8)
        for index, image in enumerate(images):
            example = {"image": image, "label": -1 if split == "unlabelled" else index % self.classes}
            others = {"id": f"{split}_{index}", "coarse_label": (index + 7) % 20}
            yield index, example | {name: others[name] for name in self.more}


class SmallCifar10(Small, skip_registration=True):
    name, VERSION, side, classes = "cifar10", tfds.core.Version("3.0.2"), 32, 10
    more = {"id": tfds.features.Text()}
    sizes = {"train": 100, "test": 20}


class SmallCifar100(Small, skip_registration=True):
    name, VERSION, side, classes = "cifar100", tfds.core.Version("3.0.2"), 32, 100
    more = {"id": tfds.features.Text(), "coarse_label": tfds.features.ClassLabel(num_classes=20)}
    sizes = {"train": 1000, "test": 100}


class SmallSvhn(Small, skip_registration=True):
    name, VERSION, side, classes = "svhn_cropped", tfds.core.Version("3.1.0"), 32, 10
    more = {"id": tfds.features.Text()}
    sizes = {"train": 60, "extra": 40, "test": 20}


class SmallStl(Small, skip_registration=True):
    name, VERSION, side, classes = "stl10", tfds.core.Version("1.0.0"), 96, 10
    more = {}
    sizes = {"train": 60, "test": 20, "unlabelled": 300}


@pytest.fixture(scope="module")
def small_files(tmp_path_factory):
    """A folder of TFDS data sets, each a small one in the form of the real one."""
    folder = tmp_path_factory.mktemp("tfds")
    for builder in (SmallCifar10, SmallCifar100, SmallSvhn, SmallStl):
        builder(data_dir=folder).download_and_prepare()
    return folder


CIFAR_SCALE = ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))
FROM_FILES = [  # Data set, builder, labels, held out, mean and standard deviation as published, to three digits.
    ("cifar10_4k", SmallCifar10, 20, 10, *CIFAR_SCALE),
    ("cifar100_10k", SmallCifar100, 100, 100, (0.507, 0.487, 0.441), (0.2675, 0.2565, 0.276)),
    ("svhn_1k", SmallSvhn, 20, 0, (0.438, 0.444, 0.473), (0.198, 0.201, 0.197)),
    ("stl10_1k", SmallStl, 20, 0, (0.447, 0.440, 0.407), (0.260, 0.257, 0.271)),
]


@pytest.mark.parametrize(("name", "builder", "num_labels", "held_out", "mean", "std"), FROM_FILES)
def test_files_are_read_and_split(make_config, small_files, name, builder, num_labels, held_out, mean, std):
    batches = {"labeled_batch": num_labels, "finetune_batch": num_labels}
    dataset = data.load(make_config(name, data_dir=small_files, num_labels=num_labels, **batches))
    splits = {
        split: tfds.as_numpy(tfds.load(builder.name, split=split, data_dir=small_files, download=False, batch_size=-1))
        for split in builder.sizes
    }
    others = [Source(part["image"]) for split, part in splits.items() if split not in ("train", "test")]
    available = counted(Source(splits["train"]["image"]), *others)
    assert len(dataset.labeled) == num_labels
    assert len(dataset.unlabeled) == sum(builder.sizes.values()) - builder.sizes["test"] - num_labels - held_out
    used = counted(dataset.labeled, dataset.unlabeled)
    assert max(used.values()) == 1 and used <= available and (available - used).total() == held_out
    assert all(counted(source) <= used for source in others)
    label = {
        image.tobytes(): label for image, label in zip(splits["train"]["image"], splits["train"]["label"], strict=True)
    }
    assert [label[image.tobytes()] for image in dataset.labeled.images] == dataset.labeled.labels.tolist()
    assert np.bincount(dataset.labeled.labels).tolist() == [num_labels // builder.classes] * builder.classes
    np.testing.assert_array_equal(dataset.test.images, splits["test"]["image"])
    np.testing.assert_array_equal(dataset.test.labels, splits["test"]["label"])
    assert dataset.flip is (name != "svhn_1k") and dataset.shape == (builder.side, builder.side, 3)
    assert dataset.unlabeled.labels is None and dataset.name == name
    assert {part.images.dtype for part in (dataset.labeled, dataset.unlabeled, dataset.test)} == {np.dtype(np.uint8)}
    np.testing.assert_allclose(dataset.mean, mean, atol=5e-4)
    np.testing.assert_allclose(dataset.std, std, atol=5e-4)


def test_reading_of_many_batches_keeps_the_order_and_what_comes_before(small_files):
    files = TfdsData("stl10", small_files)
    before = np.full((3, 96, 96, 3), 9, np.uint8)
    source = files.read("unlabelled", after=before)
    np.testing.assert_array_equal(source.images[:3], before)
    stored = tfds.as_numpy(tfds.load("stl10", split="unlabelled", data_dir=small_files, download=False))
    np.testing.assert_array_equal(source.images[3:], [example["image"] for example in stored])  # 300: two batches
    assert source.labels.tolist() == [-1] * 300


# ---- Files that are absent or damaged -----------------------------------------------------------------------------


def failure(config):
    """The message of a run that fails while it loads its data: one line, exit status 1."""
    with pytest.raises(RunError) as caught:
        data.load(config)
    assert caught.value.status == 1 and "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(("name", "tfds_name"), [(name, known[0]) for name, known in STANDARD.items()])
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
def test_a_damaged_shard_ends_the_run_and_its_folder_is_named(make_config, small_files, tmp_path, damage):
    shutil.copytree(small_files / "svhn_cropped", tmp_path / "svhn_cropped")
    (shard,) = tmp_path.rglob("svhn_cropped-extra.tfrecord-*")
    damage(shard)
    message = failure(make_config("svhn_1k", data_dir=tmp_path, num_labels=20))
    assert message.startswith("--data_dir: svhn_cropped")
    assert str(shard.parent) in message and "cannot be read" in message


def test_a_damaged_description_of_a_data_set_ends_the_run(make_config, small_files, tmp_path):
    shutil.copytree(small_files / "svhn_cropped", tmp_path / "svhn_cropped")
    (description,) = tmp_path.rglob("dataset_info.json")
    description.write_text("{")
    message = failure(make_config("svhn_1k", data_dir=tmp_path, num_labels=20))
    assert message.startswith("--data_dir: svhn_cropped") and str(tmp_path) in message
