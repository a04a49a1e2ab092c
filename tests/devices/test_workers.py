"""Several workers and devices by the program itself: one device's numbers, and going on after the loss of a worker.

Covers: replicas.py
"""

import json
import os
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from mpl_tf import main
from tests.run.test_resume import ROOT, rows, weights

pytestmark = pytest.mark.slow
# No randomness that differs between replicas: the views do nothing, labels are drawn alike for any number of them.
FLAGS = [
    "--dataset=digits_50",
    "--model=narrow_cnn",
    "--train_steps=20",
    "--steps_per_epoch=2",
    "--steps_per_execution=2",
    "--labeled_batch=10",
    "--mu=2",
    "--finetune_steps=0",
    "--randaugment_ops=0",
    "--cutout=0",
    "--shift=0",
    "--dropout=0",
    "--feedback=taylor",
    "--pseudo_labels=sampled",
    "--teacher_learning_rate=0.002",
    "--student_learning_rate=0.01",
    "--teacher_warmup_steps=0",
    "--student_warmup_steps=0",
    "--uda_weight=1",
    "--uda_threshold=0",
    "--uda_ramp_steps=0",
]
TWO_DEVICES = (
    "import sys, tensorflow as tf; cpu = tf.config.list_physical_devices('CPU')[0];"
    "tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2);"
    "from mpl_tf import main; sys.exit(main.main(sys.argv[1:]))"
)


def start(arguments, environment=None):
    """Python as a process of its own."""
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | (environment or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def start_two_workers(workdir, each=((), ())):
    """The program on two workers of this machine, with flags of each."""
    sockets = [socket.socket() for _ in range(2)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    jobs = {"worker": [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]}
    for one in sockets:
        one.close()
    return [
        start(
            ["-m", "mpl_tf.main", *FLAGS, *each[index], "--strategy=multi_worker", f"--workdir={workdir}"],
            {"TF_CONFIG": json.dumps({"cluster": jobs, "task": {"type": "worker", "index": index}})},
        )
        for index in range(2)
    ]


def wait_for_row(processes, workdir, number):
    """Wait until the run has logged that many rows."""
    for _ in range(15_000):
        if rows(workdir) > number or any(process.poll() is not None for process in processes):
            return
        time.sleep(0.02)
    raise AssertionError("the run makes no progress")


def ends(processes):
    """(exit status, lines of stderr) of each."""
    found = []
    for process in processes:
        _, errors = process.communicate(timeout=300)
        found.append((process.returncode, errors.strip().splitlines()))
    return found


def losses(workdir):
    """metrics.csv as numbers, without its timings."""
    header, *lines = [line.split(",") for line in (workdir / "metrics.csv").read_text().splitlines()]
    timed = header.index("images_per_second")
    return np.array([[float(cell) for cell in line[:timed] + line[timed + 1 :]] for line in lines])


@pytest.fixture(scope="module")
def one_device(tmp_path_factory):
    """The workdir of the run on one device."""
    workdir = tmp_path_factory.mktemp("one") / "run"
    assert main.main([*FLAGS, "--strategy=one", f"--workdir={workdir}"]) == 0
    return workdir


def check_equal(workdir, one_device):
    """The numbers of one device: those that the replicas sum in another order differ by rounding."""
    np.testing.assert_allclose(losses(workdir), losses(one_device), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(weights(workdir), weights(one_device), rtol=0, atol=1e-5)
    found, expected = (json.loads((path / "results.json").read_text())["test"] for path in (workdir, one_device))
    scores = [name for name, value in expected.items() if not isinstance(value, dict)]
    assert {name: found[name] for name in scores} == pytest.approx({name: expected[name] for name in scores}, abs=1e-4)


def test_two_workers_go_on_after_one_is_killed_and_end_with_the_numbers_of_one_device(one_device, tmp_path):
    workdir = tmp_path / "run"
    workers = start_two_workers(workdir)
    wait_for_row(workers, workdir, 3)
    workers[1].kill()
    (status, lines), (killed, _) = ends(workers)
    assert (status, killed) == (75, -9)
    (line,) = lines
    assert line.startswith("mpl_tf: another worker has ended")
    assert "start all workers again" in line
    logged = rows(workdir) - 1
    assert 3 <= logged < 10

    assert ends(start_two_workers(workdir)) == [(0, []), (0, [])]
    assert len(losses(workdir)) == 10
    check_equal(workdir, one_device)
    kept = [path.name for path in (workdir / "checkpoints" / "train").glob("*.index")]
    assert sorted(kept) == ["ckpt-16.index", "ckpt-18.index", "ckpt-20.index"]


def test_two_devices_go_on_after_a_kill_and_end_with_the_numbers_of_one(one_device, tmp_path, capsys):
    workdir = tmp_path / "run"
    command = ["-c", TWO_DEVICES, *FLAGS, "--strategy=mirrored", "--allow_cpu", f"--workdir={workdir}"]
    process = start(command)
    wait_for_row([process], workdir, 3)
    process.kill()
    ((status, _),) = ends([process])
    assert status == -9
    ((status, lines),) = ends([start(command)])
    assert status == 0, lines
    check_equal(workdir, one_device)
    assert main.main(["--mode=evaluate", f"--workdir={workdir}"]) == 0
    capsys.readouterr()  # What evaluation told of the data.
    for odd in (["--labeled_batch=5"], ["--accumulate=10"], ["--batch_norm_groups=3"]):
        assert main.main([*FLAGS, "--strategy=mirrored", "--allow_cpu", *odd, f"--workdir={tmp_path / 'odd'}"]) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert "2 replicas" in line


def test_workers_started_with_different_flags_are_told(tmp_path):
    workers = start_two_workers(tmp_path / "run", each=(["--seed=1"], ["--seed=2"]))
    for status, lines in ends(workers):
        assert status == 2
        (line,) = lines
        assert line.startswith("mpl_tf: error: TF_CONFIG: expected the same flags on all workers")
    assert not (tmp_path / "run").exists()


def test_two_workers_end_early_together_and_keep_the_best_step(tmp_path):
    """The first one scores and decides for both; as one device does, up to rounding."""
    more = ["--method=supervised", "--validate_on=held_out", "--keep=best", "--patience=2"]
    more += ["--teacher_learning_rate=0.3", "--ema_decay=0.5"]
    workers = start_two_workers(tmp_path / "two", (more, more))
    assert [status for status, _ in ends(workers)] == [0, 0]
    assert main.main([*FLAGS, *more, "--strategy=one", f"--workdir={tmp_path / 'one'}"]) == 0
    two, one = (json.loads((tmp_path / name / "results.json").read_text()) for name in ("two", "one"))
    for name in ("stopped_early", "trained_steps", "best_step", "student_step"):
        assert two[name] == one[name], name
    assert two["stopped_early"] and two["best_val_accuracy"] == two["validation"]["top1"]
    np.testing.assert_allclose(weights(tmp_path / "two"), weights(tmp_path / "one"), rtol=0, atol=1e-4)
