"""One writer a folder."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from mpl_tf.base import lock
from mpl_tf.base.errors import RunError, UsageError

ROOT = Path(__file__).resolve().parents[2]
HOLD = """import sys, time
from mpl_tf.base import lock
with lock.held(sys.argv[1], "workdir"):
    print(1, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def other(tmp_path):
    """Another process that holds the lock of tmp_path."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], env=environment, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"1\n"
    yield process
    process.kill()
    process.wait()


def test_the_second_is_refused_by_the_name_of_the_first(tmp_path, other):
    who = f"process {other.pid} on {socket.gethostname()} since 20"
    with pytest.raises(UsageError, match=f"--workdir: {tmp_path} is in use by {who}"), lock.held(tmp_path, "workdir"):
        pass
    assert json.loads((tmp_path / lock.NAME).read_text())["pid"] == other.pid


def test_who_only_reads_is_refused_too_and_leaves_no_lock(tmp_path, other):
    with pytest.raises(UsageError, match=f"--scores: {tmp_path} is in use by process {other.pid} on "):
        lock.refuse_held(tmp_path, "scores")
    other.send_signal(signal.SIGKILL)
    other.wait()
    lock.refuse_held(tmp_path, "scores")
    (tmp_path / lock.NAME).unlink()
    lock.refuse_held(tmp_path, "scores")
    assert list(tmp_path.iterdir()) == []


def test_a_kill_9_leaves_a_lock_that_binds_nobody(tmp_path, other):
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert (tmp_path / lock.NAME).exists()
    with lock.held(tmp_path, "workdir"):
        assert json.loads((tmp_path / lock.NAME).read_text())["pid"] == os.getpid()


def test_a_lock_is_gone_afterwards_and_can_be_taken_again(tmp_path):
    for _ in range(2):
        with lock.held(tmp_path / "new", "workdir"):
            assert (tmp_path / "new" / lock.NAME).exists()
        assert list((tmp_path / "new").iterdir()) == []


def test_a_lock_is_held_within_a_process_too_and_let_go_on_errors(tmp_path):
    with pytest.raises(ValueError, match="inside"), lock.held(tmp_path, "output"):
        with pytest.raises(UsageError, match="--output: .* in use by"), lock.held(tmp_path, "output"):
            pass
        raise ValueError("inside")
    with lock.held(tmp_path, "output"):
        pass


def test_two_things_in_one_folder_have_locks_of_their_own(tmp_path):
    with lock.held(tmp_path, "store", ".a.lock"), lock.held(tmp_path, "store", ".b.lock"):
        assert sorted(path.name for path in tmp_path.iterdir()) == [".a.lock", ".b.lock"]


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    told = pytest.raises(RunError, match="--workdir: expected to write .*file/.lock, got")
    with told, lock.held(tmp_path / "file", "workdir"):
        pass
