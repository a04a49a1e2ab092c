"""Paths of a disk stay what they were; URLs are read, written, listed, kept and removed by the same calls.

Covers: __init__.py, paths.py, faults.py, objects.py, listing.py, cached.py, scratch.py
"""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from mpl_tf.base import files, lock, storage
from mpl_tf.base.errors import RunError, UsageError
from mpl_tf.base.storage import faults, scratch


def test_a_path_on_a_disk_is_the_path_that_it_always_was(tmp_path):
    assert storage.path("a/b") == Path("a/b")
    assert type(storage.path("a/b")) is type(Path("a"))
    assert storage.path(b"a/\xff") == Path(os.fsdecode(b"a/\xff"))
    assert storage.path(f"file://{tmp_path}/x%20y") == tmp_path / "x y"
    assert storage.path(tmp_path) is tmp_path
    assert not storage.is_url("tfds:cifar10/test")
    assert not storage.is_url("gs:/b")
    (tmp_path / "f").write_bytes(b"0123456789")
    assert storage.readable(tmp_path / "f") == tmp_path / "f"
    assert storage.read_bytes(str(tmp_path / "f"), 2, 5) == b"234"
    with storage.fetched(tmp_path / "f") as found:
        assert found == tmp_path / "f"
    assert storage.absolute("x") == os.path.abspath("x")


def test_files_of_a_bucket(bucket):
    place = storage.path(f"{bucket}/run/")
    assert str(place / "a.tar.gz") == "memory://bucket/run/a.tar.gz"
    assert pickle.loads(pickle.dumps(place)) == place
    files.write_text(place / "a.txt", "héllo\n")
    files.write_json(f"{bucket}/run/deep/b.json", {"x": [1, 2]})
    assert files.read_json(place / "deep" / "b.json") == {"x": [1, 2]}
    assert storage.read_bytes(place / "a.txt", 1, 3) == "é".encode()
    assert storage.size(place / "a.txt") == 7
    with storage.open_file(place / "a.txt", "r", encoding="utf-8") as file:
        assert file.read() == "héllo\n"
    with storage.open_file(place / "a.txt") as file:
        file.seek(3)
        assert file.read() == b"llo\n"
    assert storage.names(place) == {"a.txt", "deep"}
    assert storage.sizes(place) == {"a.txt": 7}
    with storage.scandir(place) as found:
        assert {entry.name: (entry.is_dir(), entry.is_file()) for entry in found} == {
            "a.txt": (False, True),
            "deep": (True, False),
        }
    assert list(storage.tree(place)) == ["a.txt", "deep/b.json"]
    assert (storage.exists(place), storage.is_dir(place), storage.is_file(place)) == (True, True, False)
    assert storage.is_file(place / "a.txt")
    storage.remove(place / "a.txt")
    storage.remove(place / "a.txt")
    storage.remove_tree(place)
    assert not storage.exists(place)
    assert storage.names(place) == set()


def test_what_is_not_there_is_one_line(bucket):
    with pytest.raises(FileNotFoundError, match="no such object, or no such bucket.*memory://bucket/none"):
        storage.read_bytes(f"{bucket}/none")
    with pytest.raises(FileNotFoundError), storage.fetched(f"{bucket}/none"):
        raise AssertionError


class _Vexed(Exception):
    """As the libraries of servers raise: no OSError."""


@pytest.mark.parametrize(
    ("error", "kind", "told"),
    [
        (PermissionError("Forbidden"), PermissionError, "no right to it"),
        (_Vexed("Unable to locate credentials"), PermissionError, "no credentials for it"),
        (_Vexed("503"), OSError, "_Vexed: 503"),
        (FileNotFoundError("x"), FileNotFoundError, "no such bucket"),
    ],
)
def test_whatever_a_library_raises_is_an_os_error_of_one_line(error, kind, told):
    with pytest.raises(kind, match=told) as raised, faults.told("s3://b/x"):
        raise error
    assert raised.value.filename == "s3://b/x"
    assert raised.value.strerror


def test_bad_urls_are_refused_and_passwords_never_repeated(bucket):
    with pytest.raises(UsageError, match="without a password") as raised:
        storage.path("ftp://me:hidden@host/x")
    assert "hidden" not in str(raised.value)
    with pytest.raises(UsageError, match="another URL of fsspec, got nope://"):
        storage.path("nope://b/x")


def test_a_missing_package_is_told_with_what_brings_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"gs://b/x: needs the package gcsfs.*pip install 'mpl-tf\[gcs\]'"):
        storage.path("gs://b/x")


def test_a_file_is_fetched_once_until_it_changes(bucket):
    files.write_text(f"{bucket}/model.keras", "one")
    with storage.fetched(f"{bucket}/model.keras") as first:
        assert (first.name, first.read_text()) == ("model.keras", "one")
        written = first.stat().st_mtime_ns
    with storage.fetched(f"{bucket}/model.keras") as again:
        assert again == first and again.stat().st_mtime_ns == written
    files.write_text(f"{bucket}/model.keras", "two")
    with storage.fetched(f"{bucket}/model.keras") as second:
        assert second.read_text() == "two" and not first.exists()
        assert storage.named(str(second)) == "memory://bucket/model.keras"


def test_what_was_found_out_of_a_file_is_remembered_until_it_changes(bucket, tmp_path):
    made = []

    def make():
        made.append(1)
        return np.arange(3)

    files.write_text(f"{bucket}/x", "one")
    for _ in range(2):
        assert storage.remembered(f"{bucket}/x", "n", make).tolist() == [0, 1, 2]
    assert len(made) == 1
    files.write_text(f"{bucket}/x", "twos")
    storage.remembered(f"{bucket}/x", "n", make)
    assert len(made) == 2
    storage.remembered(tmp_path / "x", "n", make)
    storage.remembered(tmp_path / "x", "n", make)
    assert len(made) == 4


def test_a_shared_file_goes_back_to_the_bucket_after_its_record(bucket):
    given, record = (storage.path(f"{bucket}/s{end}") for end in (".npy", ".json"))
    with storage.shared(given, record) as copy:
        assert not copy.exists()
        copy.write_text("array")
        copy.with_suffix(".json").write_text("record")
    assert storage.read_bytes(given) == b"array"
    assert storage.read_bytes(record) == b"record"
    copy.unlink()
    with storage.shared(given, record) as copy:
        assert copy.read_text() == "array"


def test_a_write_that_fails_leaves_what_was_there(bucket):
    files.write_text(f"{bucket}/x", "before")

    def fail(path):
        path.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(RunError, match="memory://bucket/x: expected to write it, got: No space left"):
        files.write(f"{bucket}/x", fail)
    assert storage.read_bytes(f"{bucket}/x") == b"before"


def test_a_folder_in_a_bucket_has_one_writer(bucket):
    with lock.held(f"{bucket}/out", "output"):
        with pytest.raises(UsageError, match=f"memory://bucket/out is in use by process {os.getpid()} on"):
            lock.held(f"{bucket}/out", "output").__enter__()
        with pytest.raises(UsageError, match="is in use by"):
            lock.refuse_held(f"{bucket}/out", "scores")
    lock.refuse_held(f"{bucket}/out", "scores")
    assert storage.names(f"{bucket}/out") == set()


def test_a_scratch_folder_goes_with_its_owner(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    left = tmp_path / f"{scratch.PREFIX}dead"
    left.mkdir()
    (left / scratch.HELD).touch()
    with scratch.folder() as first, scratch.folder() as second:
        assert not left.exists()
        assert first.exists()
        assert second.exists()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_made_of_a_file_once_until_it_changes_and_what_a_kill_left_goes(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "f").write_text("one")
    calls = []

    def make(folder):
        calls.append(folder)
        (folder / "double").write_text(2 * (tmp_path / "f").read_text())
        if len(calls) == 1:
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        storage.made(tmp_path / "f", "double", make)
    (entry,) = (scratch.kept() / "made").iterdir()
    left = entry / f"{scratch.PREFIX}killed"
    left.mkdir()
    (left / scratch.HELD).touch()
    for _ in range(2):
        folder = storage.made(tmp_path / "f", "double", make)
        assert folder == entry and (folder / "double").read_text() == "oneone"
    assert len(calls) == 2 and not left.exists()
    (tmp_path / "f").write_text("four")
    assert (storage.made(tmp_path / "f", "double", make) / "double").read_text() == "fourfour"
