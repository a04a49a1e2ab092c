"""A run's folder in a bucket: after every single operation on the bucket it holds a state to go on from."""

import re
import threading

import pytest

from mpl_tf.base import files, storage
from mpl_tf.base.errors import RunError, UsageError
from mpl_tf.base.storage import claim, faults, mirror


def checkpoint(folder, step, content):
    """Write a checkpoint as run/checkpoints.py leaves it."""
    folder.mkdir(parents=True, exist_ok=True)
    for end in ("data-00000-of-00001", "index"):
        files.write_text(folder / f"ckpt-{step}.{end}", f"{content} {step}")
    files.write_text(folder / "checkpoint", f"ckpt-{step}")


def remove(folder, step):
    for path in sorted(folder.glob(f"ckpt-{step}.*"), reverse=True):
        path.unlink()


def states(monkeypatch):
    """List that gets what the bucket holds after each operation on it: dict of name to content."""
    found = []

    def noted(work):
        def then(*arguments):
            work(*arguments)
            held = storage.tree(storage.paths.remote("memory://bucket/run"))
            where = storage.paths.remote("memory://bucket/run")
            found.append({name: storage.read_bytes(where / name).decode() for name in held if name != ".lock"})

        return then

    monkeypatch.setattr(mirror, "put", noted(mirror.put))
    monkeypatch.setattr(mirror, "remove", noted(mirror.remove))
    monkeypatch.setattr(mirror, "THREADS", 2)  # One upload at a time, so that each has its state.
    return found


def test_at_every_moment_a_whole_checkpoint_is_there_and_no_half_one(bucket, monkeypatch):
    found = states(monkeypatch)
    with mirror.worked_in(f"{bucket}/run", "workdir"):
        folder = storage.path(f"{bucket}/run") / "checkpoints" / "train"
        for step in (20, 40, 60):
            checkpoint(folder, step, "first")
            if step == 60:
                remove(folder, 20)
            files.write_text(folder.parents[1] / "metrics.csv", f"{step}")
            mirror.publish(f"{bucket}/run", wait=True)
        # One of the same step again, over the other.
        remove(folder, 60)
        checkpoint(folder, 60, "second")
        files.write_text(folder.parents[1] / "student.keras", "model")
        files.write_text(folder.parents[1] / "results.json", "done")
    began = False
    for state in found:
        whole = {re.search(r"\d+", name)[0]: text for name, text in state.items() if name.endswith(".index")}
        for step, text in whole.items():
            assert state[f"checkpoints/train/ckpt-{step}.data-00000-of-00001"] == text
            assert int(state["metrics.csv"]) >= int(step)
        began = began or bool(whole)
        assert bool(whole) == began
        assert ("results.json" not in state) or state["student.keras"] == "model"
    last = found[-1]
    assert sorted(last) == [
        "checkpoints/train/checkpoint",
        *(f"checkpoints/train/ckpt-{step}.{end}" for step in (40, 60) for end in ("data-00000-of-00001", "index")),
        "metrics.csv",
        "results.json",
        "student.keras",
    ]
    assert last["checkpoints/train/ckpt-60.index"] == "second 60"


def test_another_machine_finds_the_same_files_and_uploads_what_changed_alone(bucket, monkeypatch):
    with mirror.worked_in(f"{bucket}/run", "workdir"):
        folder = storage.path(f"{bucket}/run")
        checkpoint(folder / "checkpoints" / "train", 20, "first")
        files.write_text(folder / "metrics.csv", "20")
        (folder / ".partial-half").write_text("half")
        (folder / "store.partial").write_text("half")
    sent = []
    put = mirror.put
    monkeypatch.setattr(mirror, "put", lambda local, given: (sent.append(given.name), put(local, given)))
    with mirror.worked_in(f"{bucket}/run", "workdir"):
        again = storage.path(f"{bucket}/run")
        assert again != folder
        found = {str(path.relative_to(again)) for path in again.rglob("*") if path.is_file()}
        assert found == {
            "metrics.csv",
            "checkpoints/train/checkpoint",
            "checkpoints/train/ckpt-20.index",
            "checkpoints/train/ckpt-20.data-00000-of-00001",
        }
        assert not folder.exists()
        with open(again / "metrics.csv", "a") as file:
            file.write("40")
    assert sent == ["metrics.csv"]
    assert storage.read_bytes(f"{bucket}/run/metrics.csv") == b"2040"


def test_uploads_run_beside_the_work_and_those_that_were_not_begun_are_passed_over(bucket, monkeypatch):
    going, goes_on, sent, put = threading.Event(), threading.Event(), [], mirror.put

    def slow(local, given):
        going.set()
        assert goes_on.wait(30)
        sent.append(local.read_text())
        put(local, given)

    monkeypatch.setattr(mirror, "put", slow)
    with mirror.worked_in(f"{bucket}/run", "workdir"):
        path = storage.path(f"{bucket}/run") / "metrics.csv"
        for number in range(5):
            files.write_text(path, str(number))
            mirror.publish(f"{bucket}/run")
            assert going.wait(30)
        goes_on.set()
    assert sent == ["0", "4"]


def test_a_bucket_that_fails_for_good_ends_the_run_in_one_line(bucket, monkeypatch):
    def refused(*_):
        raise PermissionError(13, "no right to it", "x")

    monkeypatch.setattr(mirror, "put", refused)
    told = r"--workdir: cannot write to memory://bucket/run \(no right to it\)"
    with pytest.raises(RunError, match=told), mirror.worked_in(f"{bucket}/run", "workdir"):
        files.write_text(storage.path(f"{bucket}/run") / "x", "x")


def test_what_fails_for_a_while_is_tried_again(bucket, monkeypatch):
    put, failed = mirror.put, []

    def busy(local, given):
        if len(failed) < 2:
            failed.append(1)
            raise OSError(5, "503")
        put(local, given)

    monkeypatch.setattr(mirror, "put", busy)
    monkeypatch.setattr(faults.time, "sleep", lambda _: None)
    with mirror.worked_in(f"{bucket}/run", "workdir"):
        files.write_text(storage.path(f"{bucket}/run") / "x", "x")
    assert storage.read_bytes(f"{bucket}/run/x") == b"x"


def test_who_only_looks_leaves_checkpoints_where_they_are_and_removes_nothing(bucket):
    with mirror.worked_in(f"{bucket}/run", "workdir"):
        checkpoint(storage.path(f"{bucket}/run") / "checkpoints" / "train", 20, "first")
        files.write_text(storage.path(f"{bucket}/run") / "student.keras", "model")
    with mirror.worked_in(f"{bucket}/run", "workdir", whole=False):
        folder = storage.path(f"{bucket}/run")
        assert [path.name for path in folder.iterdir()] == ["student.keras"]
        files.write_text(folder / "predictions.csv", "file")
    assert storage.names(f"{bucket}/run") == {"checkpoints", "student.keras", "predictions.csv"}


def test_messages_have_the_url_for_the_copy(bucket):
    with mirror.worked_in(f"{bucket}/run", "workdir"):
        folder = storage.path(f"{bucket}/run")
    assert storage.named(f"{folder}/config.json is damaged") == "memory://bucket/run/config.json is damaged"


def test_who_has_lost_the_folder_to_another_process_stops(bucket):
    taken = {"token": "t", "pid": 1, "host": "other", "since": "now"}
    told = "is in use by process 1 on other"
    with pytest.raises(UsageError, match=told), mirror.worked_in(f"{bucket}/run", "workdir"):
        storage.put(files.json.dumps(taken).encode(), storage.paths.remote(f"{bucket}/run/.lock"))
        mirror._mirrors[f"{bucket}/run"].claimed.lost = True
        mirror.publish(f"{bucket}/run")
    assert claim._read(storage.paths.remote(f"{bucket}/run/.lock")) == taken
