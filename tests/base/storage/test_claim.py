"""The lock of a folder in a bucket: one holder, and none that is dead."""

import json
import os
import subprocess
import sys
import time

import pytest

from mpl_tf.base import storage
from mpl_tf.base.errors import UsageError
from mpl_tf.base.storage import claim

NAME = ".lock"


def leave(bucket, **about):
    """A lock as another process has left it."""
    known = {"host": "far", "pid": 7, "since": "noon", "place": "elsewhere", "token": "x", "beat": 0}
    storage.put(json.dumps(known | about).encode(), f"{bucket}/{NAME}")


def test_a_dead_process_of_this_machine_binds_nobody(bucket):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    leave(bucket, place=claim._place(), pid=ended.pid)
    claim.refuse_held(bucket, "scores", NAME)
    with claim.held(bucket, "workdir", NAME) as held:
        assert json.loads(storage.read_bytes(f"{bucket}/{NAME}"))["token"] == held.about["token"]
    assert storage.names(bucket) == set()


def test_a_lock_of_another_machine_that_does_not_change_is_taken_over(bucket, monkeypatch, capsys):
    monkeypatch.setattr(claim, "STALE", 0.3)
    leave(bucket)
    with claim.held(bucket, "workdir", NAME):
        pass
    assert "is of process 7 on far since noon; looking for 0 s whether it lives" in capsys.readouterr().err


def test_one_that_changes_is_not(bucket, monkeypatch):
    monkeypatch.setattr(claim, "STALE", 5.0)
    leave(bucket)
    sleep = time.sleep
    monkeypatch.setattr(claim.time, "sleep", lambda seconds: (sleep(0.01), leave(bucket, beat=1)))
    with pytest.raises(
        UsageError, match="memory://bucket is in use by process 7 on far since noon; wait until it ends"
    ):
        claim.held(bucket, "workdir", NAME).__enter__()
    assert json.loads(storage.read_bytes(f"{bucket}/{NAME}"))["pid"] == 7


def test_a_holder_beats_and_notices_that_it_has_lost(bucket, monkeypatch):
    monkeypatch.setattr(claim, "BEAT", 0.02)
    with claim.held(bucket, "workdir", NAME) as held:
        while json.loads(storage.read_bytes(f"{bucket}/{NAME}"))["beat"] < 2:
            time.sleep(0.01)
        leave(bucket)
        while not held.lost:
            time.sleep(0.01)
    assert json.loads(storage.read_bytes(f"{bucket}/{NAME}"))["pid"] == 7  # It is the other one's now.
    assert claim._alive(os.getpid())
