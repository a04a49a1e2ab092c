"""A whole run whose workdir is in a bucket: what the same run leaves on a disk, to the bit, and a resume elsewhere."""

import csv
import io

import numpy as np
import pytest

from mpl_tf import main
from mpl_tf.base import storage
from mpl_tf.base.storage import mirror
from mpl_tf.models import saved
from mpl_tf.run import publisher

FLAGS = [
    "--dataset=digits_50",
    "--method=supervised",
    "--train_steps=12",
    "--steps_per_epoch=4",
    "--steps_per_execution=1",
    "--labeled_batch=10",
    "--report",
]
UNLIKE = ("images_per_second",)


def weights(place):
    """The bytes of the weights in a model's file, one after the other."""
    return b"".join(weight.tobytes() for weight in saved.load(place).get_weights())


def table(place):
    rows = csv.DictReader(io.StringIO(storage.read_bytes(place).decode()))
    return [{name: value for name, value in row.items() if name not in UNLIKE} for row in rows]


@pytest.mark.slow
def test_a_run_in_a_bucket_stopped_and_resumed_ends_as_one_on_the_disk(bucket, tmp_path, monkeypatch, capsys):
    assert main.main([*FLAGS, f"--workdir={tmp_path / 'run'}"]) == 0
    # Killed, as far as the bucket sees it, after the first epoch: nothing comes there any more.
    publish, count = mirror.Mirror.publish, [0]

    def until(self, wait=False):
        count[0] += 1
        if count[0] > 1:
            raise KeyboardInterrupt
        publish(self, wait=True)

    with monkeypatch.context() as killed:
        killed.setattr(mirror.Mirror, "publish", until)
        assert main.main([*FLAGS, f"--workdir={bucket}/run"]) == 130
    assert storage.names(f"{bucket}/run/checkpoints/train") >= {"ckpt-4.index", "checkpoint"}
    assert "goes on from step 4 of the phase train" in capsys.readouterr().err

    assert main.main([*FLAGS, f"--workdir={bucket}/run"]) == 0
    here, there = tmp_path / "run", storage.path(f"{bucket}/run")
    assert weights(here / "student.keras") == weights(there / "student.keras")
    assert table(here / "metrics.csv") == table(there / "metrics.csv")
    assert storage.names(there) == {path.name for path in here.iterdir()}
    kept = "checkpoints/train"
    assert storage.names(there / kept) == {path.name for path in (here / kept).iterdir()}
    said = capsys.readouterr()
    assert "files in memory://bucket/run" in said.out
    assert "everything is in memory://bucket/run" in said.out
    assert "mpl-tf-scratch" not in said.out + said.err
    held = b"".join(storage.read_bytes(there / name) for name in ("config.json", "identity.json", "report.html"))
    assert b"mpl-tf-scratch" not in held

    # The finished run, looked at.
    assert main.main([*FLAGS, f"--workdir={bucket}/run"]) == 0
    assert "memory://bucket/run holds the finished run" in capsys.readouterr().out
    assert main.main(["--mode=evaluate", f"--workdir={bucket}/run"]) == 0
    assert '"top1"' in capsys.readouterr().out
    assert main.main([*FLAGS, "--seed=5", f"--workdir={bucket}/run"]) == 2
    assert "memory://bucket/run holds a run with another --seed" in capsys.readouterr().err


class _Devices:
    hosts = 2

    def __init__(self, writes, log):
        self.writes, self.log = writes, log

    def meet(self):
        self.log.append("meet")


@pytest.mark.parametrize(("writes", "order"), [(True, ["publish", "meet"]), (False, ["meet", "refresh"])])
def test_the_first_host_publishes_before_the_others_look(writes, order, monkeypatch):
    log = []
    monkeypatch.setattr(mirror, "publish", lambda given, wait=False: log.append("publish"))
    monkeypatch.setattr(mirror, "refresh", lambda given: log.append("refresh"))
    publisher.meet(_Devices(writes, log), "s3://b/run")
    assert log == order


def test_a_store_in_a_bucket_is_computed_once_and_read_by_other_machines(bucket, tmp_path, monkeypatch):
    from mpl_tf.run.block_store import BlockStore

    asked = []

    def compute(blocks):
        for block in blocks:
            asked.append(block)
            yield block, np.full([2, 3], block, np.float32)

    store = BlockStore(storage.path(f"{bucket}/s.npy"), {"of": "x"}, (4, 3), np.float32, 2, compute, "store")
    assert store.open_or_compute()[:, 0].tolist() == [0, 0, 1, 1]
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))
    assert store.open_or_compute()[:, 0].tolist() == [0, 0, 1, 1]
    assert asked == [0, 1]
    assert storage.names(bucket) == {"s.npy", "s.json"}
