"""The filter with images, model, evaluation images, scores and output in a bucket: what it leaves on a disk.

Covers: inputs.py
"""

import io

import pyarrow.parquet as pq
import pytest

from mpl_tf.base import storage
from tests.filtering.test_run import place, run  # noqa: F401 - a fixture.
from tools import filter_unlabeled

COMMAND = ["--per_class=20", "--chunk=16", "--batch=8", "--shard_images=25", "--dedup"]


def rows(path):
    """A table without what names its place."""
    found = pq.read_table(io.BytesIO(storage.read_bytes(path)))
    kept = found.select([name for name in found.column_names if name not in ("id", "source", "overlaps")])
    return kept.to_pylist(), [name.rpartition("/")[2] for name in found["id"].to_pylist()]


@pytest.fixture
def uploaded(place, bucket):  # noqa: F811
    for path in [*(place / "photos").rglob("*.png"), *(place / "val").rglob("*.png"), place / "model.keras"]:
        storage.put(path, f"{bucket}/{path.relative_to(place)}")
    return bucket


def test_all_in_a_bucket_is_what_it_is_on_a_disk(place, uploaded, tmp_path, capsys):  # noqa: F811
    here = run(place, tmp_path / "out", *COMMAND, f"--exclude={place / 'val'}")
    given = [f"--images={uploaded}/photos", f"--model={uploaded}/model.keras", f"--exclude={uploaded}/val"]
    there = f"{uploaded}/out"
    assert filter_unlabeled.main([*given, *COMMAND, f"--output={there}"]) == 0
    left = {str(path.relative_to(here)) for path in here.rglob("*") if path.is_file()}
    assert set(storage.tree(storage.path(there))) == left
    for name in ("kept.parquet", "rejected.parquet", "problems.parquet"):
        assert rows(here / name) == rows(f"{there}/{name}")

    # The same command again, and another selection from the same scores.
    capsys.readouterr()
    assert filter_unlabeled.main([*given, *COMMAND, f"--output={there}"]) == 0
    assert "memory://bucket/out holds the finished run" in capsys.readouterr().out
    again = ["--per_class=5", f"--scores={there}/scores", f"--output={uploaded}/few"]
    assert filter_unlabeled.main(again) == 0
    assert len(rows(f"{uploaded}/few/kept.parquet")[1]) == 15
    assert filter_unlabeled.main([*given, "--per_class=4", f"--output={there}"]) == 2
    assert "memory://bucket/out holds the results of another run" in capsys.readouterr().err
