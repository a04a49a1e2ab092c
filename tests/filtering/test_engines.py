"""The tool on Beam's runners: their flags, a lost worker, and the bytes of the local run from each of them.

Covers: engines.py, dask_engine.py, logs.py, runner.py, worker.py, workers.py
"""

import importlib.util
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from mpl_tf.base.errors import RunError, UsageError
from mpl_tf.filtering import engines, runner
from tests.filtering.test_run import colour_model, picture
from tools import filter_unlabeled

IMAGES = 96
needs_dask = pytest.mark.skipif(importlib.util.find_spec("distributed") is None, reason="no Dask is installed")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Images, a model, and what the local run makes of them."""
    root, random = tmp_path_factory.mktemp("engines"), np.random.default_rng(0)
    colour_model().save(root / "model.keras")
    for number in range(IMAGES):
        path = root / "photos" / f"{number:03d}.png"
        path.parent.mkdir(exist_ok=True)
        picture(random, 16).save(path)
    (root / "val").mkdir()
    (root / "val" / "v.png").write_bytes((root / "photos" / "004.png").read_bytes())
    run(root, root / "local")
    run(root, root / "alone", "--exclude=-")
    return root


def flags_of(place, output, *flags):
    """The tool's flags, then those that are given."""
    given = [f"--images={place / 'photos'}", f"--exclude={place / 'val'}", f"--model={place / 'model.keras'}"]
    return [*given, f"--output={output}", "--per_class=20", "--chunk=2", "--batch=8", "--shard_images=25", *flags]


def run(place, output, *flags, status=0):
    """The tool in this process."""
    given = flags_of(place, output, *flags)
    if "--exclude=-" in flags:
        given = [flag for flag in given if not flag.startswith("--exclude")]
    assert filter_unlabeled.main(given) == status
    return output


def assert_same(local, output):
    """All that a run leaves but its report and its counts of seconds has the local run's bytes."""
    names = sorted(path.relative_to(local) for path in (*local.rglob("*.parquet"), *local.glob("kept-*")))
    assert len(names) > IMAGES // 2 + 3
    for name in names:
        assert (output / name).read_bytes() == (local / name).read_bytes(), name
    assert not list(output.rglob(".partial-*")) and not (output / "work").exists()


# ---- Flags and errors -----------------------------------------------------------------------------------------------


def test_the_runner_is_found_by_any_of_its_names():
    assert engines.asked(["--dask_npartitions=3", "--runner", "dask"]) == "dask"
    assert engines.asked(["--runner=FlinkRunner"]) == "FlinkRunner" and engines.asked([]) == ""
    with engines.pipeline([]) as pipeline:
        assert type(pipeline.runner) is engines.fn_runner.FnApiRunner
        assert pipeline.runner._default_environment.to_runner_api(None).urn == "beam:env:embedded_python:v1"
    with engines.pipeline(["--runner=DirectRunner", "--direct_running_mode=multi_processing"]) as pipeline:
        command = pipeline.runner._default_environment.command_string
        assert command == f"exec {sys.executable} -m mpl_tf.filtering.worker"


BAD = {
    "--runner=DaskRuner": "--runner: expected one of DirectRunner, DaskRunner, .*did you mean DaskRunner",
    "--runner=no.such.Runner": "--runner: no.such.Runner cannot be used: No module named",
    "--dask_npartition=3": "--dask_npartition=3: expected a flag of this tool or of Apache Beam",
    "--direct_num_workers=two": "--direct_num_workers: invalid int value: 'two'",
}


@pytest.mark.parametrize("flag", BAD)
def test_bad_flags_of_runners_are_refused(flag):
    with pytest.raises(UsageError, match=BAD[flag]):
        runner.check_arguments([flag])


@needs_dask
@pytest.mark.parametrize("name", ["dask", "DaskRunner", "apache_beam.runners.dask.dask_runner.DaskRunner"])
def test_flags_of_dask_are_known_with_its_runner(name):
    runner.check_arguments([f"--runner={name}", "--dask_client_address=tcp://a:1", "--dask_npartitions=3"])


def test_without_dask_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="--runner: dask needs dask, not installed: pip install -e '.\\[dask\\]'"):
        runner.check_arguments(["--runner=dask"])


TOLD = {
    "mpl_tf.base.errors.RunError: /a/b: is damaged; remove it [while running 'ParDo(Score)-ptransform-7']": (
        RunError,
        "/a/b: is damaged; remove it",
    ),
    "Pipeline job-1 failed in state FAILED:\n  raise\nmpl_tf.base.errors.UsageError: --outputs: gives logits": (
        UsageError,
        "--outputs: gives logits",
    ),
    "Attempted to run task 'a' on 4 different workers, but all those workers died while running it.": (
        RunError,
        "a worker was lost (Attempted to run task 'a' on 4 different workers, but all those workers died while running "
        "it.); start the same command again, it goes on from the chunks that are done; if it is lost again, give the "
        "workers more memory",
    ),
    "first\nno disk": (
        RunError,
        "the Beam pipeline failed: no disk; mend what it names, then start the same command again, it goes on from the "
        "chunks that are done",
    ),
}


@pytest.mark.parametrize("text", TOLD)
def test_what_other_processes_say_comes_to_one_line(text, monkeypatch):
    monkeypatch.setattr(runner, "_failed", [])
    error = runner.told(RuntimeError(text))
    assert (type(error), str(error)) == TOLD[text]


# ---- The same bytes -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dask_cluster(tmp_path_factory):
    """(address, [worker processes]): a scheduler and two workers of a thread each."""
    folder = tmp_path_factory.mktemp("dask")
    (folder / "log").mkdir()
    address = folder / "scheduler.json"
    common = {"cwd": Path(__file__).parents[2], "stderr": subprocess.STDOUT}
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host=127.0.0.1", "--port=0"]
    command += ["--no-dashboard", f"--scheduler-file={address}"]
    with open(folder / "log" / "scheduler", "w") as log:
        processes = [subprocess.Popen(command, stdout=log, **common)]
    command = [sys.executable, "-m", "distributed.cli.dask_worker", f"--scheduler-file={address}", "--nthreads=1"]
    command += ["--no-nanny", "--no-dashboard", f"--local-directory={folder}"]
    for number in range(2):
        with open(folder / "log" / f"worker{number}", "w") as log:
            processes.append(subprocess.Popen(command, stdout=log, **common))
    try:
        yield address, processes[1:]
    finally:
        for process in processes:
            process.kill()
            process.wait()


@needs_dask
@pytest.mark.slow
def test_dask_gives_the_local_bytes_on_all_workers_and_where_one_is_killed(place, dask_cluster, tmp_path, capfd):
    import distributed

    address, workers = dask_cluster
    with distributed.Client(scheduler_file=str(address)) as client:
        client.wait_for_workers(2, timeout=120)
    flags = ("--runner=dask", f"--dask_scheduler_file={address}")
    assert_same(place / "local", run(place, tmp_path / "whole", *flags))
    with distributed.Client(scheduler_file=str(address)) as client:
        assert list(client.run(_scorers).values()) == [1, 1]
    # One of the two is killed in the middle: its work is done again by the other.
    killed = threading.Thread(target=_kill_after, args=(tmp_path / "killed", lambda: workers[0].pid))
    killed.start()
    output = run(place, tmp_path / "killed", *flags)
    killed.join()
    assert workers[0].wait() == -signal.SIGKILL
    assert_same(place / "local", output)
    told = capfd.readouterr()
    assert set(told.err.splitlines()) == {
        line for line in told.err.splitlines() if line.startswith(("scored ", "selected "))
    }


@needs_dask
@pytest.mark.slow
def test_dask_without_a_scheduler_has_workers_of_its_own_which_are_quiet(place, tmp_path):
    """In a process of its own: its cluster closes with it, and tells nothing then either."""
    command = [sys.executable, "-m", "tools.filter_unlabeled", *flags_of(place, tmp_path / "own", "--runner=dask")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert_same(place / "local", tmp_path / "own")
    assert [line for line in done.stderr.splitlines() if not line.startswith(("scored ", "selected "))] == []


def _scorers():
    """Models that a worker has opened."""
    from mpl_tf.filtering import pipeline

    return pipeline._scorer.cache_info().currsize


def _kill_after(output, find, count=6):
    """Kill the process that `find` gives when some chunks are scored."""
    deadline = time.monotonic() + 300
    while len(list(output.glob("scores/scores-*"))) < count and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(find(), signal.SIGKILL)


# Each pipeline starts workers of its own: without evaluation images there is one less.
PROCESSES = ("--exclude=-", "--direct_running_mode=multi_processing", "--direct_num_workers=2")


@pytest.mark.slow
def test_worker_processes_give_the_local_bytes_and_are_quiet(place, tmp_path, capfd):
    assert_same(place / "alone", run(place, tmp_path / "out", *PROCESSES))
    told = capfd.readouterr().err.splitlines()
    assert [line for line in told if not line.startswith(("scored ", "selected "))] == []
    assert told[-1].startswith(f"scored {IMAGES}/{IMAGES} images, ")


@pytest.mark.slow
def test_a_lost_worker_process_ends_the_run_in_a_line(place, tmp_path, capfd):
    output = tmp_path / "out"
    killed = threading.Thread(target=_kill_after, args=(output, _child))
    killed.start()
    run(place, output, *PROCESSES, status=1)
    killed.join()
    (line,) = [line for line in capfd.readouterr().err.splitlines() if not line.startswith(("scored ", "selected "))]
    assert line.startswith("filter_unlabeled: error: a worker was lost (") and "start the same command again" in line
    assert_same(place / "alone", run(place, output, "--exclude=-"))


def _child():
    """The number of one of the worker processes that this one has started, by way of a shell or not."""
    parents, workers = {}, []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if words[1:3] == [b"-m", b"mpl_tf.filtering.worker"]:
            workers.append(int(entry.name))
    return next(one for one in workers if os.getpid() in (parents[one], parents.get(parents[one])))


@pytest.mark.slow
def test_a_portable_job_service_gives_the_local_bytes(place, tmp_path, capfd):
    """Beam's job service in this process, its workers in it too (LOOPBACK)."""
    flags = ("--runner=PortableRunner", "--job_endpoint=embed", "--environment_type=LOOPBACK")
    assert_same(place / "local", run(place, tmp_path / "out", *flags))
    assert [line for line in capfd.readouterr().err.splitlines() if not line.startswith(("scored ", "selected "))] == []
