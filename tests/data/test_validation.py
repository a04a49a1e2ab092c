"""Validation images: whose they are, how many of each class, and that no training sees them."""

import numpy as np
import pytest
from PIL import Image

from mpl_tf import data
from mpl_tf.base.errors import UsageError
from mpl_tf.data import Dataset, Source, fingerprint, folder, streamed, validation
from mpl_tf.data.splits import share_of_each
from mpl_tf.settings.catalogue import DATASETS

NAMES = ("cat", "dog", "emu")


def numbered(counts):
    """A data set whose labeled images are of as many levels, as many of each class as `counts` says."""
    labels = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    images = np.broadcast_to(np.arange(len(labels), dtype=np.uint8)[:, None, None, None], (len(labels), 2, 2, 3))
    return Dataset("own", Source(images.copy(), labels), None, None, NAMES)


def levels(source):
    return source.images[:, 0, 0, 0].tolist()


@pytest.mark.parametrize(
    ("share", "held"), [(0.2, [2, 1, 1, 0]), (0.5, [5, 2, 1, 0]), (0.01, [1, 1, 1, 0]), (0.9, [9, 3, 1, 0])]
)
def test_of_each_class_its_share_is_drawn_and_both_parts_have_one_where_there_are_two(share, held):
    """Classes of 10, 4, 2 and 1 examples; 0.5 of 4 are 2, 0.9 of 4 are 3.6, of which one is left to train on."""
    labels = np.repeat(np.arange(4), (10, 4, 2, 1))
    first, rest = share_of_each(labels, share, seed=3)
    assert np.bincount(labels[first], minlength=4).tolist() == held
    np.testing.assert_array_equal(np.sort(np.concatenate([first, rest])), np.arange(len(labels)))
    np.testing.assert_array_equal(share_of_each(labels, share, seed=3)[0], first)
    if share == 0.2:
        assert {tuple(share_of_each(labels, share, seed)[0]) for seed in range(9)} != {tuple(first)}


def test_a_share_of_the_labeled_images_is_told_and_left_out_of_training(make_config):
    dataset = numbered((10, 4, 1))
    found = validation.added(dataset, make_config(validation_fraction=0.2))
    assert [len(found.labeled), len(found.validation)] == [12, 3]
    assert sorted(levels(found.labeled) + levels(found.validation)) == list(range(15))
    assert found.validation.labels.tolist() == [0, 0, 1]
    assert found.notes == (
        "validation: 3 of the 15 labeled examples, 20 % of each class, none of the 1 classes that have one, held out "
        "of training by --seed=0",
    )
    assert validation.added(dataset, make_config()) is dataset


def test_what_has_no_share_to_give_is_refused(make_config):
    with pytest.raises(UsageError, match="^--validation_fraction: expected a class of two .* the 3 are each the only"):
        validation.added(numbered((1, 1, 1)), make_config(validation_fraction=0.2))
    files = streamed.Streamed(("a",), np.zeros([4, 3], np.int64), None, 8)
    with pytest.raises(UsageError, match="^--validation_fraction: own reads its labels while it trains, expected 0,"):
        validation.added(Dataset("own", files, None, None, NAMES), make_config(validation_fraction=0.2))
    with pytest.raises(UsageError, match="^--validate_on=held_out: expected images held out .* own of 4 labeled ones"):
        validation.added(numbered((2, 1, 1)), make_config(validate_on="held_out"))


def test_digits_validate_on_a_share_of_their_labels_or_on_what_they_hold_out(make_config):
    plain = data.load(make_config(labeled_batch=10, finetune_batch=10))
    share, held = (
        data.load(make_config(labeled_batch=10, finetune_batch=10, **flags))
        for flags in ({"validation_fraction": 0.4}, {"validate_on": "held_out"})
    )
    assert np.bincount(share.validation.labels).tolist() == [2] * 10
    assert np.bincount(share.labeled.labels).tolist() == [3] * 10
    for part in ("unlabeled", "test"):
        np.testing.assert_array_equal(getattr(share, part).images, getattr(plain, part).images)
    assert [len(part) for part in (held.labeled, held.unlabeled, held.validation, held.test)] == [50, 1034, 264, 449]
    # What --scored_on=validation takes in the test's place are the same images.
    scored = data.load(make_config(labeled_batch=10, finetune_batch=10, scored_on="validation"))
    assert scored.test is scored.validation
    assert scored.test.fingerprint() == held.validation.fingerprint()
    mixed = data.load(make_config(labeled_batch=10, finetune_batch=10, scored_on="validation", validation_fraction=0.4))
    assert mixed.test is mixed.validation and mixed.test.fingerprint() == share.validation.fingerprint()


def test_labels_of_a_batch_are_counted_without_those_held_out(make_config):
    with pytest.raises(UsageError, match="^--labeled_batch: expected at most the 30 labeled examples, got 31"):
        data.load(make_config(labeled_batch=31, finetune_batch=30, validation_fraction=0.4))


def test_the_fingerprint_tells_other_validation_images(make_config):
    one, two = (
        fingerprint.of(validation.added(numbered((10, 4, 2)), make_config(validation_fraction=0.2, seed=seed)))
        for seed in (0, 1)
    )
    assert one["validation"]["examples"] == 4
    told = fingerprint.changes(one, two, ("validation",))
    assert told == ["validation examples: 4 as before, but others, in another order or with other labels"]
    none = fingerprint.of(numbered((10, 4, 2)))
    assert none["validation"] is None
    assert fingerprint.changes(none, one, ("validation",)) == ["validation examples: 0 before, 4 now"]


# ---- Own images ---------------------------------------------------------------------------------------------------


@pytest.fixture
def own(tmp_path, make_config):
    """A function that makes the Config of the folders in tmp_path; each image is of its own level."""
    places = {"labeled_dir": (10, 11, 12), "validation_dir": (30, 31), "test_dir": (50,)}
    for place, found in places.items():
        for number, name in enumerate(("cat", "dog")):
            for level in found:
                path = tmp_path / place / name / f"{level}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (8, 8), (level + 100 * number,) * 3).save(path)

    def make(*places, **values):
        folders = {name: tmp_path / name for name in ("labeled_dir", *places)}
        about = {"method": "supervised", "image_size": 8, "labeled_batch": 1, "finetune_batch": 1}
        return make_config("folder", **about | folders | values)

    return make


def labeled_levels(source):
    return list(zip(source.labels.tolist(), levels(source), strict=True))


def test_a_folder_of_validation_images_is_read_like_the_test(own, tmp_path):
    (tmp_path / "validation_dir" / "dog" / "a.txt").write_text("no image")
    dataset = data.load(own("validation_dir", "test_dir"))
    assert labeled_levels(dataset.validation) == [(0, 30), (0, 31), (1, 130), (1, 131)]
    assert labeled_levels(dataset.test) == [(0, 50), (1, 150)]
    assert len(dataset.labeled) == 6
    assert "--validation_dir: passed over what is no image: 1 .txt" in dataset.notes
    assert "labeled + validation + test examples of each: cat 3 + 2 + 1, dog 3 + 2 + 1" in dataset.notes[-1]


@pytest.mark.parametrize("how", [{"validation_dir": True}, {"validation_fraction": 0.3}])
def test_test_images_may_be_left_out_where_there_are_validation_images(own, tmp_path, how):
    given = {name: tmp_path / name if value is True else value for name, value in how.items()}
    dataset = data.load(own(**given))
    assert dataset.test is None and len(dataset.validation) == (4 if "validation_dir" in how else 2)
    # And they may be taken for the test images.
    scored = data.load(own(scored_on="validation", **given))
    assert scored.test is scored.validation and labeled_levels(scored.test) == labeled_levels(dataset.validation)


def test_a_share_of_images_that_stay_in_their_files_is_that_of_those_in_memory(own):
    config = own("test_dir", validation_fraction=0.3)
    files, memory = (validation.added(folder.load(DATASETS["folder"], config, most), config) for most in (0, 10**9))
    assert not isinstance(files.validation, Source) and isinstance(memory.validation, Source)
    for part in ("labeled", "validation"):
        ((images, labels),) = getattr(files, part).pieces(9)
        np.testing.assert_array_equal(images, getattr(memory, part).images)
        np.testing.assert_array_equal(labels, getattr(memory, part).labels)
    one, two = (fingerprint.of(dataset) for dataset in (files, memory))
    assert fingerprint.changes(one, two) == []


def test_validation_images_that_are_not_what_they_seem(own, tmp_path):
    image = tmp_path / "validation_dir" / "emu" / "1.png"
    image.parent.mkdir()
    Image.new("RGB", (8, 8)).save(image)
    with pytest.raises(UsageError, match="^--validation_dir: class emu has no folder in --labeled_dir "):
        data.load(own("validation_dir"))
    image.unlink()
    image.parent.rmdir()
    with pytest.raises(UsageError, match="^--validation_dir: expected other images than those of --labeled_dir, got "):
        data.load(own(validation_dir=tmp_path / "labeled_dir"))
    with pytest.raises(UsageError, match="^--test_dir: expected other images than those of --validation_dir, got the"):
        data.load(own("validation_dir", test_dir=tmp_path / "validation_dir"))
    # Copies are counted and told.
    for place in ("validation_dir", "test_dir"):
        (tmp_path / place / "cat" / "10.png").write_bytes((tmp_path / "labeled_dir" / "cat" / "10.png").read_bytes())
    told = [note for note in data.load(own("validation_dir", "test_dir")).notes if "copies" in note]
    assert [note.partition(",")[0] for note in told] == [
        "--validation_dir: 1 of 5 images are copies of labeled ones",
        "--test_dir: 1 of 3 images are copies of labeled ones",
        "--test_dir: 1 of 3 images are copies of validation ones",
    ]
    for path in (tmp_path / "validation_dir").rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(UsageError, match="^--validation_dir: no image in .*validation_dir could be read$"):
        data.load(own("validation_dir", skip_bad_images=True))
