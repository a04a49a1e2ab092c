"""The ImageNet data sets: who is in which part, from TFDS and from the usual shards, and what is refused."""

import shutil

import numpy as np
import pytest
import tensorflow as tf

from mpl_tf import data
from mpl_tf.base.errors import RunError, UsageError
from mpl_tf.data import file_kinds, imagenet, listing, shards, tfrecord
from mpl_tf.settings import flags
from tests import miniature


@pytest.fixture
def load(imagenet_dir):
    """A function of a data set's name and flags that loads it from the miniature."""

    def load(name, *arguments, data_dir=imagenet_dir):
        return data.load(flags.parse([f"--dataset={name}", "--scale=smoke", f"--data_dir={data_dir}", *arguments]))

    return load


def encoded(source):
    """The encoded image of every example."""
    return [bytes(source.example(number)[0].numpy()) for number in range(len(source))]


def labels(source):
    return [int(source.example(number)[1]) for number in range(len(source))]


# ---- From TFDS ----------------------------------------------------------------------------------------------------


def test_imagenet_10_has_the_subset_labeled_and_all_training_images_unlabeled(load):
    dataset = load("imagenet_10")
    images = [miniature.jpeg(image) for image, _ in miniature.photographs(48, 1)]
    assert sorted(encoded(dataset.unlabeled)) == sorted(images)
    assert sorted(encoded(dataset.labeled)) == sorted(images[:16])
    assert sorted(encoded(dataset.test)) == sorted(miniature.jpeg(image) for image, _ in miniature.photographs(24, 2))
    assert (dataset.unlabeled.labeled, dataset.labeled.labeled, dataset.flip) == (False, True, True)
    assert dataset.shape == (32, 32, 3) and dataset.num_classes == 1000 and dataset.class_names[7] == "n01514668"
    known = {
        image: miniature.LABELS[label] for image, (_, label) in zip(images, miniature.photographs(48, 1), strict=True)
    }
    assert labels(dataset.labeled) == [known[image] for image in encoded(dataset.labeled)]


def test_the_validation_images_alone_are_those_of_the_whole(load, imagenet_dir, tmp_path):
    """From TFDS with ReaL, and from the usual shards: the training images and the subset are gone."""
    whole = load("imagenet_10")
    for name in ("imagenet2012", "imagenet2012_real"):
        shutil.copytree(imagenet_dir / name, tmp_path / name)
    for path in tmp_path.rglob("*-train.*"):
        path.unlink()

    def alone(data_dir):
        parsed = flags.parse(["--dataset=imagenet_10", "--scale=smoke", f"--data_dir={data_dir}"])
        return data.load_test(parsed, None)

    found = alone(tmp_path)
    assert (found.labeled, found.unlabeled, found.shape) == (None, None, (32, 32, 3))
    assert found.class_names == whole.class_names
    assert found.test.fingerprint() == whole.test.fingerprint() and encoded(found.test) == encoded(whole.test)
    assert found.real.fingerprint() == whole.real.fingerprint()
    (tmp_path / "usual").mkdir()
    usual(tmp_path / "usual", "validation-00000-of-00001", [1, 1000, 500], True)
    assert labels(alone(tmp_path / "usual").test) == [0, 999, 499]


def test_imagenet_has_all_labels_and_imagenet_jft_holds_some_out(load, tmp_path):
    whole = load("imagenet")
    assert (len(whole.labeled), whole.unlabeled, len(whole.test), whole.real is None) == (48, None, 24, False)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "more.jpg").write_bytes(miniature.jpeg(miniature.photographs(1, 5)[0][0]))
    first, again, other = (load("imagenet_jft", f"--unlabeled_dir={tmp_path}", f"--seed={seed}") for seed in (0, 0, 1))
    assert len(first.labeled) == 44 and set(encoded(first.labeled)) < set(encoded(whole.labeled))
    np.testing.assert_array_equal(first.labeled.places, again.labeled.places)
    assert not np.array_equal(first.labeled.places, other.labeled.places)
    assert encoded(first.unlabeled) == [(tmp_path / "a" / "more.jpg").read_bytes()]
    # Those held out may validate, and be scored in the test's place; ReaL labels are of the test.
    given = (f"--unlabeled_dir={tmp_path}", "--scored_on=validation")
    scored = load("imagenet_jft", *given)
    assert sorted(encoded(scored.validation) + encoded(scored.labeled)) == sorted(encoded(whole.labeled))
    assert scored.test is scored.validation and len(scored.test) == 4 and scored.real is None


def test_labels_of_real_are_the_accepted_classes(load):
    real = load("imagenet").real
    by_image = {
        miniature.jpeg(image): set(miniature.real_labels(number))
        for number, (image, _) in enumerate(miniature.photographs(24, 2))
    }
    for number, image in enumerate(encoded(real)):
        accepted = real.example(number)[1].numpy()
        assert accepted.shape == (1000,) and set(np.flatnonzero(accepted)) == by_image[image]


def test_without_its_files_real_is_left_out(load, imagenet_dir, tmp_path):
    shutil.copytree(imagenet_dir / "imagenet2012", tmp_path / "imagenet2012")
    assert load("imagenet", data_dir=tmp_path).real is None


def test_the_labeled_images_may_be_the_unlabeled_ones_too(load):
    dataset = load("imagenet", "--method=mpl", "--unlabeled_source=labeled", "--finetune_steps=0")
    assert encoded(dataset.unlabeled) == encoded(dataset.labeled) and not dataset.unlabeled.labeled


def test_a_cut_shard_is_named(load, imagenet_dir, tmp_path):
    shutil.copytree(imagenet_dir / "imagenet2012", tmp_path / "imagenet2012")
    path = tmp_path / "imagenet2012" / miniature.VERSIONS["imagenet2012"] / "imagenet2012-train.tfrecord-00001-of-00003"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(RunError, match=rf"^{path}: expected .* it ends within record 15"):
        load("imagenet", data_dir=tmp_path)
    path.unlink()
    with pytest.raises(RunError, match="^--data_dir: imagenet2012 in .* cannot be read"):
        load("imagenet", data_dir=tmp_path)


def test_a_number_of_labels_is_refused(load):
    with pytest.raises(UsageError, match="^--num_labels: expected 0, as imagenet_10 takes all of its labels, got 8"):
        load("imagenet_10", "--num_labels=8")


# ---- From the usual shards ----------------------------------------------------------------------------------------


def usual(folder, name, values, synset):
    """A shard of the usual features, its labels as given."""
    with tf.io.TFRecordWriter(str(folder / name)) as writer:
        for value in values:
            image = np.full((10, 12, 3), value % 256, np.uint8)
            features = {
                "image/encoded": tf.train.Feature(bytes_list=tf.train.BytesList(value=[miniature.jpeg(image)])),
                "image/class/label": tf.train.Feature(int64_list=tf.train.Int64List(value=[value])),
            }
            if synset:
                features["image/class/synset"] = tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"n01440764"]))
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())


@pytest.fixture
def plain(tmp_path):
    """A folder of the usual shards, counted from 1."""
    folder = tmp_path / "plain"
    folder.mkdir()
    for number in range(2):
        usual(folder, f"train-0000{number}-of-00002", range(1 + 10 * number, 11 + 10 * number), True)
    usual(folder, "validation-00000-of-00001", [1, 1000, 500], True)
    return folder


def test_the_usual_shards_count_from_1_beside_a_synset_and_from_0_without(load, plain):
    dataset = load("imagenet", data_dir=plain)
    assert labels(dataset.labeled) == list(range(20)) and labels(dataset.test) == [0, 999, 499]
    assert dataset.real is None and dataset.num_classes == 1000
    usual(plain, "validation-00000-of-00001", [0, 999], False)
    assert labels(load("imagenet", data_dir=plain).test) == [0, 999]


def test_a_labeled_tenth_of_the_usual_shards_is_given_by_its_folder(load, plain, tmp_path):
    (tmp_path / "tenth").mkdir()
    usual(tmp_path / "tenth", "train-00000-of-00001", [4, 5, 6, 7], True)
    dataset = load("imagenet_10", f"--labeled_dir={tmp_path / 'tenth'}", data_dir=plain)
    assert labels(dataset.labeled) == [3, 4, 5, 6] and len(dataset.unlabeled) == 20
    with pytest.raises(UsageError, match="^--labeled_dir: expected TFRecord shards of the labeled tenth"):
        load("imagenet_10", data_dir=plain)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="^--labeled_dir: no TFRecord shard in "):
        load("imagenet_10", f"--labeled_dir={tmp_path / 'empty'}", data_dir=plain)


def test_shards_that_are_not_the_usual_ones_are_refused(load, plain):
    usual(plain, "validation-00000-of-00001", [1000], False)
    with pytest.raises(RunError, match="validation-00000-of-00001: expected labels from 0, .*; got 1000 from 0"):
        load("imagenet", data_dir=plain)
    (plain / "validation-00000-of-00001").unlink()
    with pytest.raises(UsageError, match="^--data_dir: no shard validation-00000-of-... in "):
        load("imagenet", data_dir=plain)
    with tf.io.TFRecordWriter(str(plain / "validation-00000-of-00001")) as writer:
        writer.write(shards.serialize(b"", "a", 1, 0.5)[:20])
    with pytest.raises(RunError, match="validation-00000-of-00001: expected records of image/encoded and "):
        load("imagenet", data_dir=plain)
    (plain / "train-00001-of-00002").unlink()
    with pytest.raises(UsageError, match="^--data_dir: expected 2 shards like train-00000-of-00002 .*, found 1"):
        load("imagenet", data_dir=plain)


# ---- Unlabeled images ---------------------------------------------------------------------------------------------


def test_unlabeled_shards_show_each_image_as_often_as_it_counts(tmp_path):
    copies = [1, 3, 1, 200, 70_000]
    with tf.io.TFRecordWriter(str(tmp_path / "kept.tfrecord")) as writer:
        for number, count in enumerate(copies):
            writer.write(shards.serialize(b"image %d" % number, str(number), 5, 0.9, count))
    source = imagenet.unlabeled_files(tmp_path, 8)
    assert encoded(source) == [b"image %d" % number for number in range(5)] and not source.labeled
    np.testing.assert_array_equal(np.bincount(source.order), copies)
    assert shards.copies(tfrecord.records(tmp_path / "kept.tfrecord")).tolist() == copies


def test_other_peoples_shards_may_have_an_image_alone_or_its_copies_last(tmp_path):
    image = tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"x" * 1000]))
    example = tf.train.Example(features=tf.train.Features(feature={"image/encoded": image}))
    with tf.io.TFRecordWriter(str(tmp_path / "a.tfrecord")) as writer:
        writer.write(example.SerializeToString())
    assert imagenet.unlabeled_files(tmp_path, 8).order is None
    more = tf.train.Feature(int64_list=tf.train.Int64List(value=[4]))
    late = tf.train.Example(features=tf.train.Features(feature={"image/copies": more}))
    with tf.io.TFRecordWriter(str(tmp_path / "a.tfrecord")) as writer:
        writer.write(example.SerializeToString() + late.SerializeToString())  # Protocol buffers merge so.
    np.testing.assert_array_equal(imagenet.unlabeled_files(tmp_path, 8).order, [0, 0, 0, 0])


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(UsageError, match="^--unlabeled_dir: expected images or TFRecord shards, found none"):
        imagenet.unlabeled_files(tmp_path, 8)


def test_images_and_shards_together_are_refused_as_one_kind_would_be_left_out(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"x")
    with tf.io.TFRecordWriter(str(tmp_path / "a.tfrecord")) as writer:
        writer.write(shards.serialize(b"x", "x", 0, 0.5))
    with pytest.raises(
        UsageError, match="^--unlabeled_dir: expected TFRecord shards or images in .*, found 1 shards and 1 i"
    ):
        imagenet.unlabeled_files(tmp_path, 8)


def test_what_is_passed_over_is_counted(tmp_path):
    for name in ("a.webp", "deep/b.jpg", ".c.jpg", "d.heic"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    passed = listing.PassedOver()
    assert len(imagenet.unlabeled_files(tmp_path, 8, passed=passed)) == 2
    assert passed == {file_kinds.HIDDEN: 1, ".heic": 1}
