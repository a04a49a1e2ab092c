"""A run that is stopped, killed, out of disk or damaged goes on and ends with the bits of the undisturbed run.

Covers: callbacks.py, checkpoints.py
"""

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from mpl_tf import main
from mpl_tf.run import callbacks

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
STEPS = 120
FLAGS = [
    "--dataset=digits_50",
    f"--train_steps={STEPS}",
    "--steps_per_epoch=4",
    "--steps_per_execution=1",
    "--labeled_batch=10",
    "--mu=2",
    "--finetune_steps=8",
    "--finetune_batch=10",
]


def start(workdir, *flags, **options):
    """The program as a process of its own."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "mpl_tf.main", *FLAGS, *flags, f"--workdir={workdir}"]
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def rows(workdir, name="metrics.csv"):
    """Lines of a phase's table so far."""
    path = workdir / name
    return len(path.read_text().splitlines()) if path.exists() else 0


def wait_for_rows(process, workdir, count, name="metrics.csv"):
    """Wait until the run has logged `count` rows more than before it started."""
    goal = rows(workdir, name) + count
    for _ in range(3600):
        if rows(workdir, name) >= goal or process.poll() is not None:
            return
        time.sleep(0.05)
    raise AssertionError("the run makes no progress")


def weights(workdir):
    """All numbers of the exported student."""
    model = keras.models.load_model(workdir / "student.keras", compile=False)
    return np.concatenate([weight.ravel() for weight in model.get_weights()])


def table(workdir):
    """metrics.csv without its timings."""
    lines = [line.split(",") for line in (workdir / "metrics.csv").read_text().splitlines()]
    timed = lines[0].index("images_per_second")
    return [line[:timed] + line[timed + 1 :] for line in lines]


def died_and_undisturbed(tmp_path, monkeypatch, *flags):
    """Workdirs of two runs of four epochs: one that died in the middle of its third and went on, one that did not."""
    arguments = [*FLAGS, "--train_steps=16", "--finetune_steps=0", *flags]
    died, undisturbed = tmp_path / "died", tmp_path / "undisturbed"
    after_a_step = callbacks.Saver.on_train_batch_end

    def die(self, batch, logs=None):
        after_a_step(self, batch, logs)
        if self.progress.step == 10:
            raise MemoryError("as good as killed")

    with monkeypatch.context() as patched:
        patched.setattr(callbacks.Saver, "on_train_batch_end", die)
        assert main.main([*arguments, f"--workdir={died}"]) == 1
    assert rows(died) == 1 + 2
    for workdir in (died, undisturbed):
        assert main.main([*arguments, f"--workdir={workdir}"]) == 0
    return died, undisturbed


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The workdir of the run that nothing disturbed."""
    workdir = tmp_path_factory.mktemp("undisturbed") / "run"
    assert main.main([*FLAGS, f"--workdir={workdir}"]) == 0
    return workdir


def test_kill_9_three_times_and_sigterm_once(undisturbed, tmp_path):
    workdir = tmp_path / "run"
    pause = random.Random(0)
    for _ in range(3):
        process = start(workdir)
        wait_for_rows(process, workdir, 2)
        time.sleep(pause.uniform(0, 0.2))
        process.kill()
        assert process.wait() == -signal.SIGKILL
        process.communicate()
        assert not (workdir / "results.json").exists()
    process = start(workdir)
    wait_for_rows(process, workdir, 2)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 75
    assert "SIGTERM: stopped at step" in errors.strip().splitlines()[-1]
    assert "the same command goes on" in errors
    assert main.main([*FLAGS, f"--workdir={workdir}"]) == 0
    np.testing.assert_array_equal(weights(workdir), weights(undisturbed))
    assert table(workdir) == table(undisturbed)


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """The workdir of a run that was killed after a few checkpoints."""
    workdir = tmp_path_factory.mktemp("killed") / "run"
    process = start(workdir)
    wait_for_rows(process, workdir, 4)
    process.kill()
    process.communicate()
    return workdir


@pytest.fixture
def begun(killed, tmp_path):
    """The same, in a place of its own."""
    return shutil.copytree(killed, tmp_path / "run")


def checkpoints(workdir):
    """Data files of the training checkpoints a run goes on from, oldest first.

    A run killed between writing a file and listing it leaves one that is not among them.
    """
    state = tf.train.get_checkpoint_state(workdir / "checkpoints" / "train")
    return [Path(f"{prefix}.data-00000-of-00001") for prefix in state.all_model_checkpoint_paths]


def damage(path):
    """Turn some bytes in the middle of a file around."""
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 64] = bytes(255 - byte for byte in content[middle : middle + 64])
    path.write_bytes(content)


def test_a_damaged_checkpoint_falls_back_to_the_one_before(begun, undisturbed, capsys):
    newest = checkpoints(begun)[-1]
    damage(newest)
    assert main.main([*FLAGS, f"--workdir={begun}"]) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("mpl_tf:")]
    assert len(lines) == 1
    assert newest.name.split(".")[0] in lines[0]
    assert "is damaged and left out" in lines[0]
    np.testing.assert_array_equal(weights(begun), weights(undisturbed))


def test_when_all_checkpoints_are_damaged_nothing_is_overwritten(begun, capsys):
    for path in checkpoints(begun):
        damage(path)
    before = [path.read_bytes() for path in checkpoints(begun)]
    assert main.main([*FLAGS, f"--workdir={begun}"]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert f"expected a readable checkpoint, all {len(before)} are damaged" in last
    assert [path.read_bytes() for path in checkpoints(begun)] == before


def test_a_full_disk_while_saving_keeps_the_last_good_checkpoint(begun, undisturbed):
    """A limit on the size of files stands in for the disk: writing past it fails as a full disk does."""
    before = checkpoints(begun)
    limit = before[-1].stat().st_size // 2
    process = start(begun, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    lines = [line for line in errors.splitlines() if line.startswith("mpl_tf")]
    assert len(lines) == 1
    assert "expected to write the checkpoint of step" in lines[0]
    assert "the one before it is kept" in lines[0]
    assert checkpoints(begun) == before
    assert main.main([*FLAGS, f"--workdir={begun}"]) == 0
    np.testing.assert_array_equal(weights(begun), weights(undisturbed))
