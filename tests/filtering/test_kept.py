"""Kept images, each once, against a plain loop; what shards are made from goes by files; shards with their records.

Covers: outputs.py
"""

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from PIL import Image

from mpl_tf.filtering import inputs, kept, outputs, parts, tables


def selected(random, count):
    """`count` places of 6 chunks of 5 images, kept each in up to 3 of 4 classes, with few different probabilities."""
    images = random.choice(30, count, replace=count > 30)
    rows = sorted({(int(label), int(image)) for image in images for label in random.integers(0, 4, 3)})
    labels, images = (
        (np.array(column, np.int32) for column in zip(*rows, strict=True)) if rows else [np.zeros(0, int)] * 2
    )
    columns = [labels, random.choice([0.25, 0.5, 1.0], len(rows)), images // 5, images % 5]
    schema = pa.schema([tables.CANDIDATES.field(name) for name in parts.NUMBERS])
    table = pa.table([pa.array(column) for column in columns], names=schema.names).cast(schema)
    copies = random.integers(1, 5, len(rows)).astype(np.int32)
    return outputs.Selected(table, copies, np.zeros(4, np.int64), tables.DUPLICATES.empty_table(), None, None)


@pytest.mark.parametrize("count", [0, 1, 20, 60])
def test_each_kept_image_once(count):
    chosen = selected(np.random.default_rng(count), count)
    expected = {}
    for row, copies in zip(chosen.kept.to_pylist(), chosen.copies.tolist(), strict=True):
        before = expected.get((row["chunk"], row["row"]))
        best = row if before is None or row["probability"] > before["probability"] else before
        expected[row["chunk"], row["row"]] = best | {"copies": copies + (before["copies"] if before else 0)}
    expected = [{name: one[name] for name in tables.SHARD.names} for _, one in sorted(expected.items())]
    assert chosen.images.to_pylist() == expected and chosen.images.schema == tables.SHARD


def test_what_shards_are_made_from_goes_by_files(tmp_path):
    chunks = [inputs.Chunk(number, "list.txt", 5 * number, 5 * number + 5, 0) for number in range(6)]
    images = selected(np.random.default_rng(0), 40).images
    elements = kept.divide(chunks, images, 7, tmp_path)
    # The pipeline's own elements are numbers and chunks; images stay in the files, 7 or less a shard.
    found = [tables.read(kept.part_path(tmp_path, number), tables.SHARD) for number, _ in elements]
    assert pa.concat_tables(found).equals(images) and max(map(len, found)) <= 7
    assert [number for number, _ in elements] == list(range(-(-len(images) // 7)))
    for (_, own), part in zip(elements, found, strict=True):
        assert [chunk.number for chunk in own] == sorted(set(part["chunk"].to_pylist()))


def test_without_shards_nothing_is_written(tmp_path):
    kept.write([], selected(np.random.default_rng(0), 40).images, 0, tmp_path / "work", tmp_path, [])
    assert not list(tmp_path.iterdir())


def test_a_shard_has_its_images_by_chunk_and_row(tmp_path):
    for number in range(4):
        Image.new("RGB", (4, 4), (number, 0, 0)).save(tmp_path / f"{number}.png")
    said = []
    chunks = inputs.plan([str(tmp_path)], "--images", "", 2, tmp_path / "scores", "white", said.append)
    columns = [[0, 1, 1], [1, 0, 1], [0, 1, 0], [0.5, 0.25, 1.0], [1, 2, 3]]
    tables.write(kept.part_path(tmp_path, 0), pa.table(columns, schema=tables.SHARD))
    assert list(kept.Write(str(tmp_path), str(tmp_path), 1).work((0, chunks))) == [0]
    found = [
        tf.train.Example.FromString(one)
        for one in tf.data.TFRecordDataset(str(kept.shard_path(tmp_path, 0, 1))).as_numpy_iterator()
    ]
    features = [one.features.feature for one in found]
    ids = [one["image/id"].bytes_list.value[0].decode() for one in features]
    assert ids == [str(tmp_path / f"{number}.png") for number in (1, 2, 3)]
    assert [one["image/copies"].int64_list.value[0] for one in features] == [1, 2, 3]
    assert [one["image/encoded"].bytes_list.value[0] for one in features] == [
        (tmp_path / f"{number}.png").read_bytes() for number in (1, 2, 3)
    ]
