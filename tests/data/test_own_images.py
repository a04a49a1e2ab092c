"""Own images that are read while a run goes on: the bits of those in memory, files that cannot be read, fingerprints.

Covers: from_files.py, contents.py
"""

import io
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mpl_tf.base.errors import RunError
from mpl_tf.data import Dataset, Source, contents, decode, fingerprint, folder, shards, tfrecord
from mpl_tf.data.own_images import OwnImages
from mpl_tf.data.paths import Paths
from mpl_tf.data.pool import Pool
from mpl_tf.settings.catalogue import DATASETS
from tests.data.test_pipeline import NO_CHANGE, batches, replica_batches

KEYS = ("x_l", "y_l", "i_l", "x_u_weak", "i_u")
FOLDERS = ("labeled_dir", "unlabeled_dir", "test_dir")


def picture(number, size=(21, 14)):
    return Image.fromarray(np.random.default_rng(number).integers(0, 256, (*size[::-1], 3), np.uint8))


def encoded(image, kind):
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


@pytest.fixture
def photos(tmp_path):
    """Seven labeled images of two classes, two test images, five unlabeled ones in files of several kinds and three in
    a shard, one of which counts twice; a photograph is turned, one is large."""
    for number in range(7):
        path = tmp_path / "labeled_dir" / ("cat" if number < 5 else "dog") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(number).save(path)
    for number, name in enumerate(("cat", "dog")):
        (tmp_path / "test_dir" / name).mkdir(parents=True)
        picture(10 + number).save(tmp_path / "test_dir" / name / "a.png")
    more = tmp_path / "unlabeled_dir"
    (more / "deep").mkdir(parents=True)
    turned = Image.Exif()
    turned[0x0112] = 6
    picture(20).save(more / "a.jpg", exif=turned)
    picture(21, (200, 100)).resize((800, 400), Image.Resampling.BICUBIC).save(more / "b.jpg")
    picture(22).convert("RGBA").save(more / "deep" / "c.webp", lossless=True)
    picture(23).convert("L").save(more / "deep" / "caf\udce9.png".encode("utf-8", "surrogateescape").decode("latin-1"))
    picture(24).save(more / "e.bmp")
    with tf.io.TFRecordWriter(str(more / "f.tfrecord")) as writer:
        for number in range(3):
            data = encoded(picture(30 + number), "PNG")
            writer.write(shards.serialize(data, str(number), -1, -1.0, copies=1 + number % 2))
    return tmp_path


@pytest.fixture
def loaded(photos, make_config):
    """A function that loads the photographs: loaded(most bytes in memory, flags)."""

    def load(most, **values):
        about = {"image_size": 8, "labeled_batch": 2, "finetune_batch": 2, "mu": 2, "resize": "pad"}
        config = make_config("folder", **about | {name: photos / name for name in FOLDERS} | values)
        return folder.load(DATASETS["folder"], config, most), config

    return load


def parts(dataset):
    return [dataset.labeled, dataset.unlabeled, dataset.test]


# ---- The same bits ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("most", "values"),
    [
        (0, {}),
        (9 * 192, {}),  # The largest part alone is read from files.
        (0, {"num_labels": 4}),
        (0, {"resize": "crop", "balanced_batches": True}),
    ],
)
def test_batches_are_those_of_images_in_memory_bit_for_bit(loaded, two_replicas, most, values):
    memory, config = loaded(10**9, **values | NO_CHANGE)
    files, _ = loaded(most, **values)
    assert all(isinstance(part, Source) for part in parts(memory))
    assert [isinstance(part, OwnImages) for part in parts(files)] == ([True] * 3 if not most else [False, True, False])
    assert (files.unlabeled.epoch, len(files.unlabeled)) == (memory.unlabeled.epoch, len(memory.unlabeled))
    expected = batches(memory, config, KEYS, batch=2, steps=7)
    for found in (
        batches(files, config, KEYS, batch=2, steps=7),
        batches(files, config, KEYS, batch=2, start=4, steps=7),
    ):
        for one, other in zip(found, expected[-len(found) :], strict=True):
            for key in KEYS:
                np.testing.assert_array_equal(one[key], other[key], err_msg=key)
    both = zip(replica_batches(files, config, KEYS, batch=2, steps=3), expected, strict=False)
    for halves, one in both:
        for key in ("y_l", "i_l", "i_u"):
            np.testing.assert_array_equal(np.concatenate([half[key] for half in halves]), one[key])
    for one, other in zip(parts(files), parts(memory), strict=True):
        ((images, labels),) = one.pieces(100)
        np.testing.assert_array_equal(images, other.images)
        np.testing.assert_array_equal(labels, other.labels) if other.labels is not None else None
        ((last, _),) = one.pieces(100, start=1)
        np.testing.assert_array_equal(last, other.images[1:])


def test_a_part_of_them_and_their_labels_withheld(loaded):
    files, _ = loaded(0)
    few = files.labeled.take(np.array([6, 0]))
    ((images, labels),) = few.pieces(10)
    assert labels.tolist() == [1, 0] and len(few) == 2 and few.shape == (8, 8, 3)
    bare = files.labeled.take(slice(None), with_labels=False)
    ((all_images, none),) = bare.pieces(10)
    assert none is None and not bare.labeled
    np.testing.assert_array_equal(images, all_images[[6, 0]])


# ---- Fingerprints -------------------------------------------------------------------------------------------------


def test_a_run_may_go_on_where_its_images_fit_no_more_or_fit_again(loaded):
    """Records of both ways compare by the names of the files; where both are in memory by the pixels."""
    memory, files = fingerprint.of(loaded(10**9)[0]), fingerprint.of(loaded(0)[0])
    some = fingerprint.of(loaded(9 * 192)[0])
    for before in (memory, files, some):
        for now in (memory, files, some):
            assert fingerprint.changes(before, now) == []
    assert memory["labeled"]["sha256"] != files["labeled"]["sha256"] == files["labeled"]["files"]


def test_other_files_labels_and_sizes_are_told(loaded, photos):
    before = fingerprint.of(loaded(0)[0])
    for values in ({"image_size": 9}, {"resize": "crop"}, {"background": "black"}):
        now = fingerprint.of(loaded(0, **values)[0])
        assert all(now[name]["files"] != before[name]["files"] for name in ("labeled", "unlabeled", "test"))
    os.rename(photos / "unlabeled_dir" / "a.jpg", photos / "unlabeled_dir" / "a2.jpg")
    (told,) = fingerprint.changes(before, fingerprint.of(loaded(0)[0]))
    assert told.startswith("unlabeled examples: 8 as before, but others")
    # In memory names do not count, as they never have.
    now = fingerprint.of(loaded(10**9)[0])
    os.rename(photos / "unlabeled_dir" / "a2.jpg", photos / "unlabeled_dir" / "a.jpg")
    assert fingerprint.changes(fingerprint.of(loaded(10**9)[0]), now) == []


@pytest.mark.parametrize("change", ["bytes", "size", "file"])
@pytest.mark.parametrize("most", [0, 10**9])
def test_files_that_changed_under_their_names_are_told(loaded, photos, most, change):
    """From a stop, with images in memory or not, to the resume, which reads them from their files."""
    path, before = photos / "unlabeled_dir" / "deep" / "c.webp", fingerprint.of(loaded(most)[0])
    content = bytearray(path.read_bytes())
    if change == "bytes":
        content[-3] ^= 1
    elif change == "size":
        content += b"\0"
    if change == "file":
        path.unlink()
        picture(77).save(path, lossless=True)
    else:
        path.write_bytes(content)
    (told,) = fingerprint.changes(before, fingerprint.of(loaded(0)[0]))
    assert told == "unlabeled examples: 8 files of the same names as before, but with other contents"
    # A record of an earlier version has names alone.
    for name in ("labeled", "unlabeled", "test"):
        del before[name]["contents"]
    assert fingerprint.changes(before, fingerprint.of(loaded(0)[0])) == []


def test_a_changed_record_of_a_shard_is_told(loaded, photos):
    shard, before = photos / "unlabeled_dir" / "f.tfrecord", fingerprint.of(loaded(0)[0])
    content, record = bytearray(shard.read_bytes()), tfrecord.records(shard)[1]
    content[record.offset + record.length // 2] ^= 1
    shard.write_bytes(content)
    assert len(fingerprint.changes(before, fingerprint.of(loaded(0)[0]))) == 1


def test_a_copy_of_the_folder_and_a_touch_are_the_same_data(loaded, photos, tmp_path_factory):
    before = fingerprint.of(loaded(0)[0])
    for path in photos.rglob("*.png"):
        os.utime(path, (1, 1))
    assert fingerprint.of(loaded(0)[0]) == before
    copy = tmp_path_factory.mktemp("elsewhere")
    elsewhere = {name: shutil.copytree(photos / name, copy / name, copy_function=shutil.copyfile) for name in FOLDERS}
    assert fingerprint.of(loaded(0, **elsewhere)[0]) == before


def test_of_many_large_files_some_bytes_are_looked_at(photos, monkeypatch):
    paths = Paths()
    for number in range(6):
        (photos / f"{number}").write_bytes(bytes(20))
        paths.add(str(photos), str(photos), str(number))
    images = OwnImages((paths,), np.arange(6, dtype=np.int32), 8)
    monkeypatch.setattr(contents, "SAMPLED", 3)  # The first, the third and the last.
    monkeypatch.setattr(contents, "END", 4)
    before, noticed = images.contents(), {}
    for number, place in ((0, 0), (0, 19), (0, 10), (1, 0), (2, 3)):
        (photos / f"{number}").write_bytes(bytes(place) + b"x" + bytes(19 - place))
        noticed[number, place] = images.contents() != before
        (photos / f"{number}").write_bytes(bytes(20))
    assert noticed == {(0, 0): True, (0, 19): True, (0, 10): False, (1, 0): False, (2, 3): True}
    assert images.contents() == before
    (photos / "1").unlink()  # Met later, and told then.
    assert contents.sizes(images).tolist() == [20, contents.GONE, 20, 20, 20, 20] and images.contents() != before


def test_a_pool_of_images_in_files_and_in_memory(loaded):
    """Features of a frozen network are stored by it: each image once, found again by its split."""
    memory, files = loaded(10**9)[0], loaded(0)[0]
    pool = Pool([files.labeled, files.unlabeled, memory.test])
    assert len(pool) == 7 + 8 + 2
    for source, images in ((files.labeled, memory.labeled), (files.unlabeled, memory.unlabeled), (memory.test,) * 2):
        np.testing.assert_array_equal(pool.images(pool.rows(source)), images.images)
    part = files.unlabeled.take(np.array([5, 2]))
    np.testing.assert_array_equal(pool.images(pool.rows(part)), memory.unlabeled.images[[5, 2]])
    assert pool.fingerprint() == Pool([files.unlabeled, files.labeled, memory.test]).fingerprint()
    assert pool.fingerprint() != Pool([loaded(0, resize="crop")[0].labeled, files.unlabeled]).fingerprint()


# ---- Files that cannot be read ------------------------------------------------------------------------------------


def test_a_file_that_cannot_be_read_is_named_with_what_to_do(loaded, photos):
    path = photos / "unlabeled_dir" / "b.jpg"
    files, config = loaded(0)
    os.truncate(path, 700)
    with pytest.raises(tf.errors.OpError) as caught:
        batches(files, config, KEYS, batch=2, steps=7)
    message = str(files.failure(caught.value))
    assert message.startswith(f"{path}: expected a readable JPEG, PNG, WebP, BMP, GIF or TIFF image, got ")
    assert (
        message.endswith("; mend it, or add --skip_bad_images; the same command then goes on") and "\n" not in message
    )
    with pytest.raises(
        RunError, match=f"^{path}: expected a readable .*truncated.*; mend it, or add --skip_bad_images"
    ):
        list(files.unlabeled.pieces(3))
    path.unlink()
    with pytest.raises(RunError, match=rf"^{path}: expected a readable .*No such file.*; mend it"):
        list(loaded(0)[0].unlabeled.pieces(3)) if path.exists() else list(files.unlabeled.pieces(3))


def test_what_is_left_out_is_replaced_in_training_and_has_no_part_in_scores(loaded, photos, capsys):
    bad = [photos / place for place in ("labeled_dir/cat/0.png", "labeled_dir/dog/6.png", "test_dir/cat/a.png")]
    bad += [photos / "unlabeled_dir" / name for name in ("a.jpg", "e.bmp")]
    whole = [next(part.pieces(100))[0] for part in parts(loaded(0)[0])]
    for path in bad:
        path.write_bytes(b"no image")
    files, config = loaded(0, skip_bad_images=True)
    found = batches(files, config, ("y_l", "i_l", "i_u", "x_u_weak"), batch=7, steps=3)
    # Each example that cannot be read has the next one of its class in its place: 0 has 1, and 6 after the end 5.
    for one in found:
        assert sorted(one["i_l"].tolist()) == [1, 1, 2, 3, 4, 5, 5]
        np.testing.assert_array_equal(one["y_l"], files.labeled.labels[one["i_l"]])
    drawn = np.concatenate([one["i_u"] for one in found])
    assert set(drawn) == {1, 2, 3, 5, 6, 7}  # a.jpg is number 0, e.bmp 4; records come last.
    ((images, labels),) = files.test.pieces(5)
    assert labels.tolist() == [1]
    np.testing.assert_array_equal(images[0], whole[2][1])
    # Unlabeled ones are known by their numbers: they stay, black.
    ((images, _),) = files.unlabeled.pieces(100)
    for number in range(8):
        np.testing.assert_array_equal(images[number], 0 if number in (0, 4) else whole[1][number])
    assert sorted(files.left_out()) == sorted(map(str, bad)) and files.skipped == ()
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 5 and all("expected a readable JPEG" in line and "; left out" in line for line in told)


def test_of_many_that_are_left_out_the_first_are_told(tmp_path, capsys):
    paths = Paths()
    for number in range(6):
        (tmp_path / f"{number}.png").write_bytes(b"" if number < 5 else encoded(picture(1), "PNG"))
        paths.add(str(tmp_path), str(tmp_path), f"{number}.png")
    images = OwnImages((paths,), np.arange(6, dtype=np.int32), 8, skip_bad=True)
    assert len(list(images.pieces(2))) == 3 and len(images.left_out()) == 5
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 3 and told[-1].endswith("; left out; of others results.json will have the names")
    alone = images.take(np.arange(5))
    with pytest.raises(tf.errors.OpError) as caught:
        batches(
            Dataset("own", alone, None, None, ("a",), (0.5,) * 3, (0.5,) * 3), _config(), ("x_l",), batch=2, steps=1
        )
    message = str(alone.failure(caught.value))
    assert message.endswith(" image, and none stands for it; mend it; the same command then goes on")


def _config():
    from mpl_tf.settings import flags

    return flags.parse(["--dataset=digits_50"])


def test_a_damaged_record_is_named_or_left_out(loaded, photos):
    shard = photos / "unlabeled_dir" / "f.tfrecord"
    content, record = bytearray(shard.read_bytes()), tfrecord.records(shard)[1]
    content[record.offset + record.length // 2] ^= 1
    shard.write_bytes(content)
    with pytest.raises(RunError, match=f"^{shard}#1: expected a readable .* got {tfrecord.WRONG}; mend it"):
        list(loaded(0)[0].unlabeled.pieces(3))
    files, _ = loaded(0, skip_bad_images=True)
    ((images, _),) = files.unlabeled.pieces(100)
    assert [not image.any() for image in images].count(True) == 1 and files.left_out() == [f"{shard}#1"]


# ---- Records ------------------------------------------------------------------------------------------------------


def test_records_come_back_as_they_were(photos):
    found = tfrecord.records(photos / "unlabeled_dir" / "f.tfrecord")
    records = tfrecord.Records()
    records.add([])
    records.add(found)
    records.add(found[1:])
    assert list(records) == [*found, *found[1:]] and records.relative(3) == b"f.tfrecord#1"
    own = OwnImages((Paths(), records), np.array([2, 0], np.int32), 8)
    assert own.sources() == [found[2], found[0]] and own.nbytes == 2 * 192
    np.testing.assert_array_equal(next(own.pieces(9))[0][1], decode.decode(found[0], 8))


# ---- Any size -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_memory_stays_flat_from_ten_thousand_files_to_a_million(tmp_path):
    """Measured: 667 and 750 MiB, of which the names of a folder take 80 while they are sorted; listed in 8 s."""
    found = []
    for images in (10_000, 1_000_000):
        command = [sys.executable, "-m", "tests.data.folder_of_any_size", str(tmp_path), str(images)]
        process = subprocess.run(command, capture_output=True, text=True, check=True)
        found.append(json.loads(process.stdout))
    assert [one["unlabeled"] for one in found] == [10_000, 1_000_000]
    assert found[1]["peak"] - found[0]["peak"] < 120  # In memory a million images of 32 x 32 take 3,000 MiB.
    assert found[1]["seconds"] < 60 and found[1]["fingerprint"] < 15
