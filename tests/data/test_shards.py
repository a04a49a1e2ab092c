"""Shards of unlabeled images: what is written is read, by Python and by TensorFlow; copies in training; damage."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mpl_tf import data
from mpl_tf.base.errors import RunError, UsageError
from mpl_tf.data import listing, pipeline, shards, tfrecord
from mpl_tf.devices import distribute


def png(level, size=(8, 8)):
    output = io.BytesIO()
    Image.new("RGB", size, (level,) * 3).save(output, "PNG")
    return output.getvalue()


def write(path, levels_and_copies):
    """A shard with an image of each grey level."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for level, copies in levels_and_copies:
            writer.write(shards.serialize(png(level), f"image {level}", level % 2, level / 256, copies))
    return path


def test_a_record_by_python_and_by_tensorflow(tmp_path):
    path = write(tmp_path / "a.tfrecord", [(40, 1), (50, 3)])
    found = tfrecord.records(path)
    assert [str(record) for record in found] == [f"{path}#0", f"{path}#1"]
    assert shards.copies(found).tolist() == [1, 3]
    assert tfrecord.records(path, found[1].offset - tfrecord.HEADER, 1) == found[1:]
    serialized = list(tf.data.TFRecordDataset(str(path)))
    for record, text in zip(found, serialized, strict=True):
        values, parsed = record.example(), shards.parse(text)
        assert {name: value.numpy() for name, value in parsed.items()} == values
        assert record.open().read() == values["image/encoded"]
        level = int(values["image/id"].split()[1])
        np.testing.assert_array_equal(shards.decode(parsed["image/encoded"]), np.full((8, 8, 3), level))
    batch = shards.parse(tf.stack(serialized))
    assert batch["image/copies"].numpy().tolist() == [1, 3]


def test_other_peoples_records_need_only_an_image():
    feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[png(9)]))
    example = tf.train.Example(features=tf.train.Features(feature={"image/encoded": feature}))
    parsed = shards.parse(tf.constant(example.SerializeToString()))
    assert parsed["image/copies"].numpy() == 1 and parsed["image/class/label"].numpy() == -1
    assert parsed["image/probability"].numpy() == -1 and parsed["image/id"].numpy() == b""


def test_names_of_shards():
    yes = (
        "a.tfrecord",
        "a.tfrecords",
        "a.tfrec",
        "cifar10-train.tfrecord-00000-of-00001",
        "kept-00000-of-00002.tfrecord",
    )
    assert all(map(listing.is_shard, yes))
    assert not any(map(listing.is_shard, ("a.jpg", ".partial-a.tfrecord", "tfrecord", "a.tfrecord.gz")))


def test_a_set_of_shards_is_whole(tmp_path):
    write(tmp_path / "kept-00000-of-00002.tfrecord", [(1, 1)])
    with pytest.raises(UsageError, match="expected 2 shards like kept-00000-of-00002.tfrecord .* found 1"):
        listing.shards(tmp_path, "--unlabeled_dir")
    second = write(tmp_path / "kept-00001-of-00002.tfrecord", [(2, 1)])
    assert listing.shards(tmp_path, "--unlabeled_dir")[1] == second


def test_a_shard_that_is_cut_off_is_named(tmp_path):
    path = write(tmp_path / "a.tfrecord", [(1, 1), (2, 1)])
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(RunError, match="a.tfrecord: expected .* ends within record 1"):
        tfrecord.records(path)


@pytest.fixture
def folders(tmp_path, make_config):
    """A Config of a data set of two classes whose unlabeled images are two shards and a file."""
    for name in ("labeled_dir/a", "labeled_dir/b", "test_dir/a"):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "x.png").write_bytes(png(200))
    unlabeled = tmp_path / "unlabeled_dir"
    write(unlabeled / "kept-00000-of-00002.tfrecord", [(10, 1), (20, 3)])
    write(unlabeled / "deep" / "b.tfrecord", [(30, 2)])
    write(unlabeled / "kept-00001-of-00002.tfrecord", [(40, 1)])
    (unlabeled / "file.png").write_bytes(png(50))
    paths = {name: tmp_path / name for name in ("labeled_dir", "unlabeled_dir", "test_dir")}
    return lambda **values: make_config("folder", image_size=8, labeled_batch=2, finetune_batch=2, **paths | values)


def test_training_reads_shards_and_honours_copies(folders):
    config = folders(mu=8, flip=False, shift=0, seed=3)
    dataset = data.load(config)
    unlabeled = dataset.unlabeled
    assert sorted(unlabeled.images[:, 0, 0, 0].tolist()) == [10, 20, 30, 40, 50]
    assert (len(unlabeled), unlabeled.epoch, len(unlabeled.order)) == (5, 8, 8)
    scale, offset = dataset.normalisation()
    batches = pipeline.training_batches(dataset, config, ["x_u_weak"], 2, 0, 4, distribute.current())
    arrival = pipeline.arrival(dataset, config, ["x_u_weak"])
    for batch in map(arrival, batches):  # 16 images a step: two epochs.
        levels = np.round((batch["x_u_weak"].numpy()[:, 4, 4, 0] - offset[0]) / scale[0]).astype(int)
        counts = dict(zip(*(part.tolist() for part in np.unique(levels, return_counts=True)), strict=True))
        assert counts == {10: 2, 20: 6, 30: 4, 40: 2, 50: 2}


def test_labels_left_over_count_once(folders, tmp_path):
    (tmp_path / "labeled_dir" / "a" / "y.png").write_bytes(png(200))
    (tmp_path / "labeled_dir" / "b" / "y.png").write_bytes(png(200))
    unlabeled = data.load(folders(num_labels=2)).unlabeled
    assert (len(unlabeled), unlabeled.epoch) == (7, 10)
    assert np.bincount(unlabeled.order).tolist().count(1) == 5


def test_a_damaged_image_in_a_shard_is_named_or_left_out(folders, tmp_path):
    path = tmp_path / "unlabeled_dir" / "deep" / "c.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(shards.serialize(b"no image", "bad", 0, 0.5, 4))
        writer.write(b"no example")
    with pytest.raises(RunError, match="c.tfrecord#"):
        data.load(folders())
    dataset = data.load(folders(skip_bad_images=True))
    assert set(dataset.skipped) == {f"{path}#0", f"{path}#1"} and dataset.unlabeled.epoch == 8


# ---- Copies that nobody means -------------------------------------------------------------------------------------


@pytest.mark.parametrize("copies", [2**40, 2**31 - 1, 2**20 + 1, 0, -1, -(2**63)])
@pytest.mark.parametrize("late", [False, True])
def test_numbers_of_copies_out_of_range_are_refused_by_name(folders, tmp_path, copies, late):
    """2**40 was an overflow, 2**31 - 1 eight GiB of order; late: where the first bytes of a record do not tell."""
    record = shards.serialize(png(1), "x", 0, 0.5, copies)
    if late:
        example = tf.train.Example.FromString(record)
        example.features.feature["a"].bytes_list.value.append(bytes(2000))
        record = example.SerializeToString(deterministic=True)
    path = tmp_path / "unlabeled_dir" / "c.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(shards.serialize(png(1), "x", 0, 0.5, 2**20))
        writer.write(record)
    with pytest.raises(
        RunError, match=rf"^{path}#1: expected image/copies of 1 to 1048576, got {copies}; mend the shard"
    ):
        data.load(folders())


def test_copies_that_are_no_number_are_refused(folders, tmp_path):
    example = tf.train.Example.FromString(shards.serialize(png(1), "x", 0, 0.5))
    example.features.feature["image/copies"].bytes_list.value.append(b"many")
    path = tmp_path / "unlabeled_dir" / "c.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(example.SerializeToString())
    with pytest.raises(RunError, match=rf"^{path}#0: expected image/copies of 1 to 1048576, got b'many'"):
        data.load(folders())


def test_an_epoch_beyond_all_measure_is_refused():
    counts = np.full([1025], 2**20, np.int32)
    with pytest.raises(RunError, match="make an epoch of 1074790400 images, expected 1073741824 at most"):
        shards.order(counts)
    assert len(shards.order(np.array([3, 2**20], np.int32))) == 2**20 + 3
