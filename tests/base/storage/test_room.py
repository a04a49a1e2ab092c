"""What is kept between runs stays within its limit: the least recently used goes, what a living process uses stays."""

import os
import shutil
import subprocess
import sys
import threading
import traceback
from pathlib import Path

import numpy as np
import pytest

from mpl_tf.base import files, storage
from mpl_tf.base.errors import UsageError
from mpl_tf.base.storage import room, scratch

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def place(bucket, monkeypatch):
    """A bucket with files a to e of 1,000 bytes, and room for three and a half of them."""
    monkeypatch.setenv(room.VARIABLE, str(3500 / 2**30))
    monkeypatch.setattr(room, "_come", [float("inf")])
    monkeypatch.setattr(room, "_forever", {})
    for name in "abcde":
        files.write_text(f"{bucket}/{name}", name * 1000)
    return bucket


def fetch(place, names):
    for name in names:
        with storage.fetched(f"{place}/{name}") as copy:
            assert copy.read_text() == name * 1000


def there():
    """Names of the fetched files that are kept."""
    return "".join(sorted(path.name for path in (scratch.kept() / "files").glob("*/*/*")))


def test_the_least_recently_used_goes(place):
    fetch(place, "abc")
    assert there() == "abc"
    fetch(place, "ad")
    assert there() == "acd"
    fetch(place, "cbe")
    assert there() == "bce"


def test_all_kinds_count_and_what_is_in_use_stays_whatever_the_limit(place):
    storage.remembered(f"{place}/a", "n", lambda: np.zeros(100))
    with storage.fetched(f"{place}/a") as first:
        with storage.shared(storage.path(f"{place}/s.npy"), storage.path(f"{place}/s.json")) as copy:
            copy.write_bytes(b"0" * 2000)
        fetch(place, "bcd")
        assert first.exists() and copy.exists()
        assert not list((scratch.kept() / "index").glob("*"))
        room.trim()
        assert there() == "a"
    fetch(place, "b")
    room.trim()
    assert there() == "b" and copy.exists()
    # Of a process that has ended.
    room._forever.popitem()[1].close()
    fetch(place, "cd")
    assert there() == "bcd" and not copy.exists()


def test_another_process_uses_it(place):
    fetch(place, "a")
    (entry,) = (scratch.kept() / "files").glob("*")
    code = "import sys; from pathlib import Path; from mpl_tf.base.storage import room\n"
    code += "with room.held(Path(sys.argv[1])):\n    print('held', flush=True); sys.stdin.read()"
    how = {"cwd": ROOT, "text": True, "stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "-c", code, str(entry)], **how)
    assert process.stdout.readline() == "held\n"
    fetch(place, "bcde")
    assert there() == "ade"
    process.kill()
    process.communicate()
    fetch(place, "b")
    assert there() == "bde"


def test_threads_that_fetch_while_others_make_room_have_their_files(place, monkeypatch):
    from fsspec.implementations.memory import MemoryFileSystem

    # The one in memory gives all threads one open file, with one position.
    monkeypatch.setattr(MemoryFileSystem, "get_file", lambda own, name, to: Path(to).write_bytes(own.cat_file(name)))
    monkeypatch.setenv(room.VARIABLE, "0")
    wrong = []

    def work():
        for _ in range(15):
            try:
                fetch(place, "abcde")
                room.trim()
            except Exception as error:
                wrong.append(traceback.format_exception(error))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, "".join(wrong[0])
    room.trim()
    assert there() == ""


def test_entries_of_earlier_versions_and_the_end_of_a_fetch_that_failed(place, monkeypatch):
    old = scratch.kept() / "files" / "old" / "x"
    old.mkdir(parents=True)
    (old / "m").write_bytes(b"0" * 4000)
    os.utime(old.parent, (1, 1))
    fetch(place, "a")
    assert there() == "a"
    monkeypatch.setattr(storage.objects.os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(OSError, match="No space left"):
        fetch(place, "b")
    assert not [path for path in scratch.kept().rglob("*") if path.name.endswith(".partial")]


@pytest.mark.parametrize("given", ["many", "-1", "nan"])
def test_a_limit_that_is_none_is_refused(place, monkeypatch, given):
    monkeypatch.setenv(room.VARIABLE, given)
    with pytest.raises(UsageError, match=f"{room.VARIABLE}: expected a number of GiB.*got {given}"):
        fetch(place, "a")
    shutil.rmtree(scratch.kept())
