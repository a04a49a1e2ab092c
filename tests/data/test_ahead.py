"""Images in a bucket: the same batches as from the disk, bit for bit, and many requests under way at a time."""

import dataclasses
import functools
import io
import threading

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mpl_tf.base import storage
from mpl_tf.base.errors import RunError
from mpl_tf.data import ahead, folder, pipeline, shards, streamed, tfrecord
from mpl_tf.devices import choice
from mpl_tf.settings.catalogue import DATASETS


def encoded(number):
    pixels = np.random.default_rng(number).integers(0, 255, (20, 24, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def write(root):
    """Labeled and test images of two classes; unlabeled ones, some deeper, and a shard that counts some twice."""
    for part, count in (("labeled", 4), ("test", 3)):
        for name in "ab":
            (root / part / name).mkdir(parents=True)
            for number in range(count):
                seed = number + 10 * "ab".index(name) + 20 * (part == "test")
                (root / part / name / f"{number}.png").write_bytes(encoded(seed))
    (root / "more" / "deep").mkdir(parents=True)
    for number in range(10):
        (root / "more" / ("deep" if number % 2 else "") / f"{number}.png").write_bytes(encoded(100 + number))
    (root / "more" / ".hidden.png").write_bytes(b"")
    (root / "more" / "notes.txt").write_bytes(b"")
    with tf.io.TFRecordWriter(str(root / "more" / "x.tfrecord")) as writer:
        for number in range(5):
            writer.write(shards.serialize(encoded(200 + number), f"n{number}", 0, 0.5, 1 + number % 2))


def upload(root, bucket):
    for path in root.rglob("*"):
        if path.is_file():
            storage.put(path, f"{bucket}/{path.relative_to(root)}")


@pytest.mark.slow
@pytest.mark.parametrize("most", [None, 0], ids=["in memory", "streamed"])
def test_batches_from_a_bucket_are_those_from_the_disk_bit_for_bit(most, bucket, tmp_path, make_config):
    write(tmp_path / "d")
    upload(tmp_path / "d", bucket)
    found = []
    for root in (str(tmp_path / "d"), bucket):
        config = make_config(
            "folder",
            labeled_dir=f"{root}/labeled",
            unlabeled_dir=f"{root}/more",
            test_dir=f"{root}/test",
            image_size=16,
            labeled_batch=4,
            mu=2,
            train_steps=10,
            steps_per_epoch=10,
            method="uda",
        )
        dataset = folder.load(DATASETS["folder"], config, most)
        keys = ("x_l", "y_l", "x_u_weak", "x_u_strong")
        batches = pipeline.training_batches(dataset, config, keys, 4, 0, 4, choice.make_devices("one"))
        values = [value.numpy() for batch in batches for value in batch.values()]
        values += [part for piece in dataset.test.pieces(4) for part in piece]
        found.append(
            (values, dataset.unlabeled.fingerprint(), [note for note in dataset.notes if "memory" not in note])
        )
    (ours, fingerprint, notes), (theirs, other, said) = found
    assert len(ours) == len(theirs) == 20
    for one, two in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one, two)
    assert fingerprint == other
    assert notes == said


def test_a_vanished_image_is_one_line(bucket, tmp_path, make_config):
    write(tmp_path / "d")
    upload(tmp_path / "d", bucket)
    config = make_config("folder", labeled_dir=f"{bucket}/labeled", test_dir=f"{bucket}/test", method="supervised")
    dataset = folder.load(DATASETS["folder"], config, 0)
    storage.remove(f"{bucket}/test/b/1.png")
    with pytest.raises(RunError, match=r"memory://bucket/test/b/1\.png: expected a readable .*no such object"):
        list(dataset.test.pieces(4))


def test_records_of_a_bucket_are_found_once_and_checked_when_they_are_read(bucket, tmp_path, monkeypatch):
    write(tmp_path / "d")
    place = tmp_path / "d" / "more" / "x.tfrecord"
    storage.put(place, f"{bucket}/x.tfrecord")
    here, there = (tfrecord.records(path) for path in (place, f"{bucket}/x.tfrecord"))
    assert [dataclasses.replace(record, path="") for record in here] == [
        dataclasses.replace(record, path="") for record in there
    ]
    assert shards.copies(there).tolist() == [1, 2, 1, 2, 1]
    with monkeypatch.context() as without:
        without.setattr(storage, "open_file", None)  # A second time no byte of the shard is read.
        assert tfrecord.records(f"{bucket}/x.tfrecord") == there
        assert shards.copies(there).tolist() == [1, 2, 1, 2, 1]
    pytest.importorskip("google_crc32c", reason="google-crc32c is not installed; mpl-tf[s3] or [gcs] brings it")
    assert there[3].example()["image/encoded"] == here[3].example()["image/encoded"]
    damaged = bytearray(place.read_bytes())
    damaged[there[3].offset + 40] ^= 1
    storage.put(bytes(damaged), f"{bucket}/x.tfrecord")
    with pytest.raises(ValueError, match="checksum is wrong"):
        there[3].example()
    read = streamed.index([f"{bucket}/x.tfrecord"], lambda data: (shards.parse(data)["image/encoded"], 0), 16)
    with pytest.raises(
        RunError, match=r"memory://bucket/x\.tfrecord: cannot be read \(a record whose checksum is wrong"
    ):
        list(read.pieces(5))


@pytest.fixture
def deterministic():
    """As a run has it."""
    tf.config.experimental.enable_op_determinism()


def test_many_requests_are_under_way_before_their_turn_and_the_order_stays(deterministic):
    together = threading.Barrier(10, timeout=60)  # The first requests end when ten are under way.

    def fetch(number):
        if number < 10:
            together.wait()
        return b"%d" % number

    reader = ahead.Ahead(fetch)
    numbers = reader.over(tf.data.Dataset.range(50))
    get = functools.partial(tf.numpy_function, lambda number: reader.get(int(number)), Tout=tf.string, stateful=False)
    found = numbers.map(lambda number: get([number]))
    assert [int(value) for value in found.as_numpy_iterator()] == list(range(50))
    assert not reader._asked


def test_draws_that_a_stop_left_do_not_pile_up():
    reader = ahead.Ahead(lambda number: number)
    for number in range(6 * ahead.AHEAD):
        reader.ask(number)
    assert len(reader._asked) == 4 * ahead.AHEAD
    assert reader.get(0) == 0
    assert reader.get(6 * ahead.AHEAD - 1) == 6 * ahead.AHEAD - 1


@dataclasses.dataclass
class _Item:
    source: str
    load: object


def test_items_come_in_order_and_their_failures_when_they_are_loaded():
    def load(number):
        if number == 3:
            raise OSError("gone")
        return number

    items = [_Item(f"s3://b/{number}", lambda number=number: load(number)) for number in range(5)]
    found = list(ahead.loaded(iter(items)))
    assert [item.source for item in found] == [item.source for item in items]
    assert [item.load() for item in found if item.source != "s3://b/3"] == [0, 1, 2, 4]
    with pytest.raises(OSError, match="gone"):
        found[3].load()
    local = [_Item("a", None)]
    assert list(ahead.loaded(iter(local)))[0] is local[0]
    assert ahead.each(len, ["a", "bb"]) == ahead.each(len, ["a", "bb"][:]) == [1, 2]
    assert ahead.workers(["a"]) is None
    assert ahead.workers(["a", "s3://b/x"]) == ahead.THREADS
