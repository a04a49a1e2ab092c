"""Real servers over HTTP on the loopback device: S3 by moto, Google's by an emulator; busy ones, and processes killed.

Skipped where the packages of mpl-tf[test] for them are not installed.
"""

import csv
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mpl_tf.base import files, lock, storage
from mpl_tf.base.errors import UsageError
from mpl_tf.base.storage import mirror
from tests.base.storage import servers

ROOT = Path(__file__).resolve().parents[3]
FLAGS = ["--dataset=digits_50", "--method=supervised", "--train_steps=120", "--steps_per_epoch=4"]
FLAGS += ["--steps_per_execution=1", "--labeled_batch=10", "--noreport"]


@pytest.fixture(params=["s3", "gs"])
def place(request, tmp_path, monkeypatch):
    """URL of a folder in a bucket of either server."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with servers.s3() if request.param == "s3" else servers.gcs():
        yield f"{request.param}://bucket1/folder"


def test_files_on_a_server(place):
    for name in ("a.txt", "deep/b.txt", "deep/c.txt"):
        files.write_text(f"{place}/{name}", name * 100)
    assert storage.names(place) == {"a.txt", "deep"}
    assert storage.sizes(f"{place}/deep") == {"b.txt": 1000, "c.txt": 1000}
    assert list(storage.tree(place)) == ["a.txt", "deep/b.txt", "deep/c.txt"]
    assert storage.read_bytes(f"{place}/deep/b.txt", 10, 15) == b"deep/"
    assert storage.is_dir(f"{place}/deep")
    assert not storage.is_dir(f"{place}/dee")
    with storage.fetched(f"{place}/a.txt") as copy:
        assert copy.read_text() == "a.txt" * 100
    with lock.held(place, "output"), pytest.raises(UsageError, match="is in use by process"):
        lock.held(place, "output").__enter__()
    with mirror.worked_in(f"{place}/run", "workdir"):
        files.write_text(storage.path(f"{place}/run") / "x", "x")
    assert storage.names(f"{place}/run") == {"x"}
    storage.remove_tree(place)
    assert not storage.exists(place)


def test_what_is_not_there_is_one_line_each(place):
    kind = place.partition(":")[0]
    storage.check(f"{kind}://bucket1/new", "workdir")
    with pytest.raises(UsageError, match=rf"--workdir: .*{kind}://none1/x.*make the bucket first"):
        storage.check(f"{kind}://none1/x", "workdir")
    with pytest.raises(FileNotFoundError, match="no such object, or no such bucket"):
        storage.read_bytes(f"{place}/none")


@pytest.mark.slow
def test_a_server_that_refuses_every_tenth_request_is_asked_again():
    with servers.s3(every=10) as (_, between):
        for number in range(40):
            files.write_text(f"s3://bucket1/x/{number}", str(number))
        assert [storage.read_bytes(f"s3://bucket1/x/{number}") for number in range(40)] == [
            str(number).encode() for number in range(40)
        ]
        assert len(storage.names("s3://bucket1/x")) == 40
        assert between.refused > 8


def run(workdir, environment, scratch):
    """The program as a process of its own, which is another machine to the one before: its scratch folder is new."""
    scratch.mkdir(exist_ok=True)
    known = os.environ | environment | {"PYTHONPATH": str(ROOT), "TMPDIR": str(scratch)}
    command = [sys.executable, "-m", "mpl_tf.main", *FLAGS, f"--workdir={workdir}"]
    return subprocess.Popen(command, cwd=ROOT, env=known, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def table(given):
    rows = csv.DictReader(io.StringIO(storage.read_bytes(given).decode()))
    return [{name: value for name, value in row.items() if name != "images_per_second"} for row in rows]


@pytest.mark.slow
def test_killed_during_uploads_a_run_goes_on_elsewhere_and_ends_with_the_same_bits(tmp_path):
    from mpl_tf.models import saved

    with servers.s3(every=10, seconds=0.02) as (environment, between):
        whole = run(tmp_path / "whole", environment, tmp_path / "none")
        assert whole.wait(300) == 0
        said, steps = "", []
        for number in range(2):
            process = run("s3://bucket1/run", environment, tmp_path / f"machine{number}")
            began, goal = time.monotonic(), between.count + 60 + 40 * number
            while between.count < goal and process.poll() is None and time.monotonic() < began + 120:
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
            said += process.communicate()[0]
            steps.append(len(storage.names("s3://bucket1/run/checkpoints/train")))
        process = run("s3://bucket1/run", environment, tmp_path / "last")
        said += process.communicate(timeout=300)[0]
        assert process.returncode == 0, said
        assert between.refused
        assert any(steps), said
        assert "damaged" not in said
        here, there = tmp_path / "whole", "s3://bucket1/run"
        ours, theirs = (saved.load(f"{root}/student.keras").get_weights() for root in (here, there))
        assert [one.tobytes() for one in ours] == [one.tobytes() for one in theirs]
        assert table(here / "metrics.csv") == table(f"{there}/metrics.csv")
        # Neither what was said nor what was written has a credential in it.
        held = [storage.read_bytes(f"{there}/{name}") for name in storage.tree(there) if not name.endswith(".keras")]
        for secret in (servers.SECRET, environment["AWS_ACCESS_KEY_ID"]):
            assert secret not in said
            assert not any(secret.encode() in content for content in held)
