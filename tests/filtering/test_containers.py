"""Images in tar, zip, Parquet and gzip'd files: the same bytes, scores and choice as of the same images as files.

Covers: chunks.py, cutting.py, reading.py
"""

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from mpl_tf.base import storage
from mpl_tf.base.errors import RunError, UsageError
from mpl_tf.filtering import inputs
from tests.filtering.test_inputs import png
from tests.filtering.test_run import colour_model, picture, run, table

COUNT = 5


def encoded(seed=0, count=COUNT):
    random = np.random.default_rng(seed)
    return {f"part/{number:02d}.png": png(picture(random, 16)) for number in range(count)}


def tar(path, images, mode="w", others=()):
    with tarfile.open(path, mode) as file:
        for name, data in [*images.items(), *others]:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            file.addfile(member, io.BytesIO(data))


def zipped(path, images, others=()):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in [*images.items(), *others]:
            file.writestr(name, data)


def parquet(path, images, name="image", nested=True, rows=2, **more):
    values = [{"bytes": data, "path": key} for key, data in images.items()] if nested else [*images.values()]
    pq.write_table(pa.table({name: values, "label": list(range(len(images))), **more}), path, row_group_size=rows)


def records(path, images, feature="image/encoded", packed="GZIP"):
    with tf.io.TFRecordWriter(str(path), packed) as writer:
        for data in images.values():
            value = tf.train.Feature(bytes_list=tf.train.BytesList(value=[data]))
            writer.write(tf.train.Example(features=tf.train.Features(feature={feature: value})).SerializeToString())


def plain(path, images):
    tar(path, images, others=[("part/00.cls", b"7"), ("__MACOSX/._00.png", b"fork")])


# What writes each kind of file; the name of image n in ids, after that of the file.
WRITERS = {
    "a.tar": (plain, "/part/{:02d}.png"),
    "a.tar.gz": (lambda path, images: tar(path, images, "w:gz"), "/part/{:02d}.png"),
    "a.tgz": (lambda path, images: tar(path, images, "w:gz"), "/part/{:02d}.png"),
    "a.tar.xz": (lambda path, images: tar(path, images, "w:xz"), "/part/{:02d}.png"),
    "packed.tar": (lambda path, images: tar(path, images, "w:bz2"), "/part/{:02d}.png"),
    "a.ZIP": (zipped, "/part/{:02d}.png"),
    "struct.parquet": (parquet, "#{}"),
    "bytes.parquet": (lambda path, images: parquet(path, images, nested=False, rows=1), "#{}"),
    "a.tfrecord.gz": (records, "#{}"),
    "packed.tfrecord": (records, "#{}"),
    "plain.tfrecord": (lambda path, images: records(path, images, packed=""), "#{}"),
}


def plan(tmp_path, *specs, size=2, **options):
    """(Chunks, lines told)."""
    told = []
    specs = [str(spec) for spec in specs]
    return inputs.plan(specs, "--images", "", size, tmp_path / "plan", echo=told.append, **options), told


@pytest.mark.parametrize("name", WRITERS)
def test_each_kind_gives_the_bytes_of_its_images_with_ids_that_stay(tmp_path, name):
    write, member = WRITERS[name]
    path, images = tmp_path / name, encoded()
    write(path, images)
    chunks, told = plan(tmp_path, path)
    assert sum(map(len, chunks)) == COUNT
    for again in (chunks, plan(tmp_path, path)[0]):  # The plan as it was made, and as it is read.
        found = [item.load() for chunk in again for item in inputs.items(chunk)]
        assert found == [(f"{path}{member.format(n)}", data) for n, data in enumerate(images.values())]
    assert told == (["--images: passed over what is no image: 1 .cls, 1 hidden"] if name == "a.tar" else [])
    # One row of a chunk, by itself.
    (item,) = inputs.pick(chunks[-1], {len(chunks[-1]) - 1})
    assert item.load()[1] == [*images.values()][-1]
    assert item.source == item.name == f"{path}{member.format(COUNT - 1)}"


def test_chunks_are_as_fine_as_a_format_lets_them_be(tmp_path):
    images = encoded()
    for name, (write, _) in WRITERS.items():
        write(tmp_path / name, images)
    sizes = {name: [*map(len, plan(tmp_path / name[::-1], tmp_path / name)[0])] for name in WRITERS}
    assert sizes["a.tar"] == sizes["a.ZIP"] == sizes["plain.tfrecord"] == sizes["bytes.parquet"] == [2, 2, 1]
    assert sizes["a.tar.gz"] == sizes["packed.tar"] == sizes["packed.tfrecord"] == [COUNT]
    # Row groups of two rows: three do not fit a chunk of five, and are a chunk each where one image is asked for.
    assert [len(chunk) for chunk in plan(tmp_path / "five", tmp_path / "struct.parquet", size=5)[0]] == [5]
    assert [len(chunk) for chunk in plan(tmp_path / "four", tmp_path / "struct.parquet", size=4)[0]] == [4, 1]
    assert [len(chunk) for chunk in plan(tmp_path / "one", tmp_path / "struct.parquet", size=1)[0]] == [2, 2, 1]


def test_folders_patterns_and_lists_hold_such_files_among_others(tmp_path):
    place, images = tmp_path / "photos", encoded()
    place.mkdir()
    (place / "0.png").write_bytes(images["part/00.png"])
    plain(place / "b.tar", images)
    zipped(place / "c.zip", images)
    pq.write_table(pa.table({"id": ["x"]}), place / "d.parquet")  # A table of something else.
    chunks, told = plan(tmp_path / "1", place, size=4)
    found = [item.load() for chunk in chunks for item in inputs.items(chunk)]
    assert [data for _, data in found] == [images["part/00.png"], *images.values(), *images.values()]
    assert told == ["--images: passed over what is no image: 1 .cls, 1 .parquet, 1 hidden"]
    for spec in (place / "[bc].*", tmp_path / "list.txt"):
        (tmp_path / "list.txt").write_text("photos/b.tar\nphotos/c.zip\n")
        chunks, _ = plan(tmp_path / spec.stem, spec, size=4)
        assert [item.load() for chunk in chunks for item in inputs.items(chunk)] == found[1:]


def test_they_are_read_in_a_bucket_too(tmp_path, bucket):
    images = encoded()
    for name in ("a.tar", "a.tar.gz", "a.ZIP", "struct.parquet", "packed.tfrecord"):
        WRITERS[name][0](tmp_path / name, images)
        storage.put(tmp_path / name, f"{bucket}/many/{name}")
    chunks, _ = plan(tmp_path, f"{bucket}/many")
    found = [item.load() for chunk in chunks for item in inputs.items(chunk)]
    assert {name for name, _ in found} >= {f"{bucket}/many/a.tar/part/00.png", f"{bucket}/many/struct.parquet#4"}
    assert [data for _, data in found] == 5 * [*images.values()]


def test_the_feature_and_the_column_may_have_another_name(tmp_path):
    images = encoded()
    parquet(tmp_path / "a.parquet", images, "photo", mask=[b"?"] * COUNT)
    records(tmp_path / "b.tfrecord", images, "photo", "")
    records(tmp_path / "c.tfrecord", images, "photo")
    names = "abc"
    paths = [next(tmp_path.glob(f"{name}.*")) for name in names]
    chunks, _ = plan(tmp_path, *paths, feature="photo")
    assert [item.load()[1] for chunk in chunks for item in inputs.items(chunk)] == 3 * [*images.values()]
    assert sum(map(len, plan(tmp_path / "own", paths[0])[0])) == COUNT  # The one column that can hold images.
    for number, path in enumerate(paths):
        with pytest.raises(UsageError, match=r"^--image_feature: expected .*x.* in .*" + path.name) as caught:
            plan(tmp_path / str(number), path, feature="x")
        assert "\n" not in str(caught.value)
        assert number == 0 or "whose first record has photo; say in which" in str(caught.value)


def test_of_several_columns_of_images_one_is_to_be_named(tmp_path):
    images = encoded()
    two = [{"bytes": data, "path": ""} for data in images.values()]
    parquet(tmp_path / "a.parquet", images, "left", right=two)
    with pytest.raises(UsageError, match="--image_feature: .* has images in the columns left, right; say in which"):
        plan(tmp_path / "1", tmp_path / "a.parquet")
    parquet(tmp_path / "a.parquet", images, mask=two)
    assert sum(map(len, plan(tmp_path / "2", tmp_path / "a.parquet")[0])) == COUNT  # The one called image.


def test_members_that_cannot_be_read_are_told_as_such(tmp_path):
    images = encoded()
    zipped(tmp_path / "a.zip", images)
    content = (tmp_path / "a.zip").read_bytes()
    at = content.index(b"part/02.png") + 60
    (tmp_path / "a.zip").write_bytes(content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :])
    rows = [*({"bytes": data, "path": ""} for data in images.values()), {"bytes": None, "path": "x.png"}, None]
    pq.write_table(pa.table({"image": rows}), tmp_path / "b.parquet")
    bad = []
    for item in (
        item for c in plan(tmp_path, tmp_path / "a.zip", tmp_path / "b.parquet")[0] for item in inputs.items(c)
    ):
        try:
            item.load()
        except ValueError as error:
            bad.append((Path(item.name).name, str(error)))
    assert [name for name, _ in bad] == ["02.png", "b.parquet#5", "b.parquet#6"]
    assert bad[1][1] == "a row without bytes of an image"


@pytest.mark.parametrize("name", [name for name in WRITERS if name != "plain.tfrecord"])
@pytest.mark.parametrize("damage", ["cut", "noise", "empty"])
def test_a_damaged_file_is_one_line_that_names_it(tmp_path, name, damage):
    if (name, damage) == ("packed.tfrecord", "empty"):
        pytest.skip("it may be a TFRecord file without a record")
    path = tmp_path / name
    WRITERS[name][0](path, encoded())
    content = path.read_bytes()
    noise = np.random.default_rng(0).bytes(len(content))
    path.write_bytes({"cut": content[: len(content) // 3], "noise": noise, "empty": b""}[damage])
    with pytest.raises((RunError, UsageError)) as caught:
        plan(tmp_path, path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_damaged_header_within_a_tar_file_is_not_its_end(tmp_path):
    path = tmp_path / "a.tar"
    tar(path, encoded())
    content = path.read_bytes()
    at = content.index(b"part/02.png")
    path.write_bytes(content[:at] + b"?" * 512 + content[at + 512 :])
    with pytest.raises(
        RunError, match=f"^{path}: expected a tar file that is whole, .*damaged header.*; copy it again"
    ):
        plan(tmp_path, path)


def test_scores_and_choice_are_those_of_the_images_as_files(tmp_path):
    """The whole tool: one folder of files, and the same images in files of each kind; so the evaluation images."""
    for name in ("photos", "many", "val"):
        (tmp_path / name).mkdir()
    colour_model().save(tmp_path / "model.keras")
    kinds = ["a.tar", "a.tar.gz", "a.ZIP", "flat.parquet", "a.tfrecord.gz", "plain.tfrecord"]
    images, names = encoded(3, 6 * len(kinds)), {}
    for part, kind in enumerate(kinds):
        held = dict([*images.items()][6 * part : 6 * part + 6])
        write, member = WRITERS.get(
            kind, (lambda path, held: parquet(path, held, "image/encoded", nested=False), "#{}")
        )
        write(tmp_path / "many" / kind, held)
        for number, (name, data) in enumerate(held.items()):
            path = tmp_path / "photos" / Path(name).name
            path.write_bytes(data)
            at = 6 * part + number if "part" in member else number
            names[f"{tmp_path / 'many' / kind}{member.format(at)}"] = str(path)
    (tmp_path / "val" / "v.png").write_bytes(images["part/07.png"])
    zipped(tmp_path / "val.zip", {"v.png": images["part/07.png"]})
    names[f"{tmp_path / 'val.zip'}/v.png"] = str(tmp_path / "val" / "v.png")
    flags = ["--per_class=5", "--chunk=4", "--min_probability=0.35", "--image_feature=image/encoded"]
    files = run(tmp_path, tmp_path / "out-files", *flags, f"--exclude={tmp_path / 'val'}")
    many = run(tmp_path, tmp_path / "out-many", *flags, f"--exclude={tmp_path / 'val.zip'}", images="many")
    for result in ("kept.parquet", "rejected.parquet"):
        expected, found = table(files / result), table(many / result)
        for row in found:
            row |= {key: names.get(row[key]) for key in ("id", "source", "overlaps") if key in row}
        in_order = [sorted(rows, key=lambda row: (row["rank"] or 0, row["id"])) for rows in (found, expected)]
        assert len(found) > 2 and in_order[0] == in_order[1]
    assert [row["id"] for row in expected if row["reason"] == "overlaps"] == [str(tmp_path / "photos" / "07.png")]
