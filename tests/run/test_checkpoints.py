"""Checkpoints: found on the disk whatever lists them, passed over where damaged, refused where of another network."""

import os

import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.base.errors import Interrupted, RunError
from mpl_tf.run.checkpoints import Checkpoints, listed
from tests import tiny


def method(**options):
    """A compiled method on tiny networks."""
    return tiny.make("uda", **options)


@pytest.fixture
def saved(tmp_path):
    """A folder of three checkpoints at the steps 4, 8 and 12, whose first weight is the step."""
    trained = method()
    checkpoints = Checkpoints(trained, tmp_path, keep=3)
    for step in (4, 8, 12):
        trained.kept_seed.assign(step)
        checkpoints.add({name: float(step) for name in trained.log_names}, step)
        checkpoints.save(step, step / 2)
    return tmp_path


def restored(folder):
    """(step, the method's seed) after restoring into a new method."""
    fresh = method()
    return Checkpoints(fresh, folder, keep=3).restore(), int(fresh.kept_seed.numpy())


def test_the_newest_comes_back_with_seconds_and_means(saved):
    fresh = method()
    checkpoints = Checkpoints(fresh, saved, keep=3)
    assert (checkpoints.restore(), int(fresh.kept_seed.numpy()), float(checkpoints.seconds.numpy())) == (12, 12, 6.0)
    assert checkpoints.means() == {name: (4 * 4 + 4 * 8 + 4 * 12) / 12 for name in fresh.log_names}


def test_the_oldest_go(saved):
    checkpoints = Checkpoints(method(), saved, keep=3)
    checkpoints.save(16, 1.0)
    assert listed(saved) == [16, 12, 8]
    assert {path.name.partition(".")[0] for path in saved.iterdir()} == {"checkpoint", "ckpt-8", "ckpt-12", "ckpt-16"}
    assert tf.train.latest_checkpoint(saved) == str(saved / "ckpt-16")


@pytest.mark.parametrize("damage", [None, b"", b"\xff\xfe\x00", b'model_checkpoint_path: "ckpt-4"\n'])
def test_the_list_of_checkpoints_does_not_count(saved, damage):
    path = saved / "checkpoint"
    path.unlink()
    if damage is not None:
        path.write_bytes(damage)
    assert restored(saved) == (12, 12)


def damaged(path, how):
    """Damage a file."""
    content = bytearray(path.read_bytes())
    if how == "flip":
        for at in range(0, len(content), 7):
            content[at] ^= 0x55
    path.write_bytes({"cut": content[:-1], "half": content[: len(content) // 2], "empty": b""}.get(how, content))


@pytest.mark.parametrize("how", ["flip", "cut", "half", "empty"])
@pytest.mark.parametrize("part", ["index", "data-00000-of-00001"])
def test_a_damaged_checkpoint_is_told_and_the_one_before_taken(saved, part, how, capsys):
    damaged(saved / f"ckpt-12.{part}", how)
    assert restored(saved) == (8, 8)
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and f"{saved / 'ckpt-12'} is damaged and left out" in told


def test_a_checkpoint_without_its_data_is_told(saved, capsys):
    (saved / "ckpt-12.data-00000-of-00001").unlink()
    assert restored(saved) == (8, 8)
    assert "ckpt-12 is damaged" in capsys.readouterr().err


def test_a_stop_while_one_is_read_is_no_damage(saved, monkeypatch, capsys):
    def stopped(*_):
        raise Interrupted("SIGTERM")

    with monkeypatch.context() as patched, pytest.raises(Interrupted):
        patched.setattr(tf.train.Checkpoint, "read", stopped)
        restored(saved)
    assert capsys.readouterr().err == ""
    assert restored(saved) == (12, 12)


def test_where_all_are_damaged_nothing_is_overwritten(saved):
    for step in (4, 8, 12):
        damaged(saved / f"ckpt-{step}.data-00000-of-00001", "half")
    before = {path.name: path.read_bytes() for path in saved.iterdir()}
    with pytest.raises(RunError, match="expected a readable checkpoint, all 3 are damaged; delete this folder"):
        restored(saved)
    assert {path.name: path.read_bytes() for path in saved.iterdir()} == before


def test_a_good_checkpoint_of_another_network_is_not_called_damaged(saved, monkeypatch, capsys):
    monkeypatch.setattr(tiny, "CLASSES", 4)
    with pytest.raises(RunError, match=r"ckpt-12 is a checkpoint of another network: expected the shape \(6, 4\)"):
        Checkpoints(method(), saved, keep=3).restore()
    assert capsys.readouterr().err == ""


def test_a_good_checkpoint_of_an_earlier_program_is_not_called_damaged(tmp_path, capsys):
    earlier = method()
    earlier.counters[0] = tf.Variable(3)  # The seed was int32.
    Checkpoints(earlier, tmp_path, keep=3).save(4, 1.0)
    with pytest.raises(RunError, match=r"another version of this program: expected int64 .* counters's .*, got int32"):
        Checkpoints(method(), tmp_path, keep=3).restore()
    assert capsys.readouterr().err == ""


def test_what_a_killed_process_left_is_swept(saved):
    (saved / "ckpt-16_temp").mkdir()
    (saved / "ckpt-16_temp" / "part-00000-of-00001.data-00000-of-00001").write_bytes(b"1")
    (saved / "ckpt-16.data-00000-of-00001").write_bytes(b"half")
    (saved / "notes.txt").write_text("mine")
    assert restored(saved) == (12, 12)
    assert not list(saved.glob("ckpt-16*"))
    assert (saved / "notes.txt").exists()


def test_after_going_on_from_an_older_one_its_successors_are_written_anew(saved):
    damaged(saved / "ckpt-12.data-00000-of-00001", "half")
    fresh = method()
    checkpoints = Checkpoints(fresh, saved, keep=2)
    assert checkpoints.restore() == 8
    fresh.kept_seed.assign(11)
    checkpoints.save(11, 1.0)
    assert restored(saved) == (11, 11)
    fresh.kept_seed.assign(12)
    checkpoints.save(12, 1.0)
    assert restored(saved) == (12, 12)
    np.testing.assert_array_equal(listed(saved), [12, 11])


@pytest.mark.parametrize("step", [12, 16])
@pytest.mark.parametrize("files_named", [0, 1])
def test_a_kill_while_one_is_written_leaves_those_before_it(saved, monkeypatch, capsys, step, files_named):
    fresh = method()
    checkpoints = Checkpoints(fresh, saved, keep=3)
    checkpoints.restore()
    fresh.kept_seed.assign(99)
    named, replace = [], os.replace

    def killed(source, target):
        if len(named) == files_named:
            raise SystemExit
        named.append(target.name)
        replace(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", killed)
        with pytest.raises(SystemExit):
            checkpoints.save(step, 1.0)
    # The step that was written again is the one before it no more: its old index is not to stand over new data.
    newest = 8 if step == 12 else 12
    assert listed(saved)[0] == newest
    assert restored(saved) == (newest, newest)
    assert capsys.readouterr().err == ""
    assert not list(saved.glob(f"*ckpt-{step}*"))


def test_what_a_kill_left_of_tensorflows_list_is_swept(saved):
    (saved / "checkpoint.tmp0123").write_text("half")
    restored(saved)
    assert not (saved / "checkpoint.tmp0123").exists()


# ---- The best one ---------------------------------------------------------------------------------------------------


def scored(folder, accuracies, keep=2, keep_best=True, first=4):
    """Checkpoints at the steps 4, 8, ..., whose validation accuracies are these tenths, and whose seed is the step."""
    trained = method()
    checkpoints = Checkpoints(trained, folder, keep, keep_best)
    checkpoints.restore()
    for step, accuracy in zip(range(first, 10**6, 4), accuracies, strict=False):
        trained.kept_seed.assign(step)
        checkpoints.note(accuracy / 10, step)
        checkpoints.save(step, 1.0)
    return trained, checkpoints


def test_the_best_one_outlives_the_newest_and_comes_back(tmp_path):
    trained, checkpoints = scored(tmp_path, [3, 7, 7, 5, 6])
    assert listed(tmp_path) == [20, 16, 8]  # Of equals the first.
    assert [float(known.numpy()) for known in (checkpoints.best_step, checkpoints.best_accuracy)] == [8, 0.7]
    checkpoints.restore_best()
    assert int(trained.kept_seed.numpy()) == 8
    # A new process knows it, and goes on from the newest.
    again, others = scored(tmp_path, [6, 9, 8], first=24)
    assert listed(tmp_path) == [32, 28] and int(others.best_step.numpy()) == 28
    others.restore_best()
    assert int(again.kept_seed.numpy()) == 28
    assert tf.train.latest_checkpoint(tmp_path) == str(tmp_path / "ckpt-32")


def test_without_being_asked_the_best_one_goes_as_the_others_do(tmp_path):
    _, checkpoints = scored(tmp_path, [3, 7, 7, 5, 6], keep_best=False)
    assert listed(tmp_path) == [20, 16] and int(checkpoints.best_step.numpy()) == 8


def test_where_the_newest_is_damaged_the_best_that_the_one_before_knows_is_there(tmp_path, capsys):
    """The damaged one was the best, and the one before it knows another."""
    scored(tmp_path, [3, 7, 5, 6, 9])
    assert listed(tmp_path) == [20, 16, 8]
    damaged(tmp_path / "ckpt-20.data-00000-of-00001", "half")
    fresh = method()
    checkpoints = Checkpoints(fresh, tmp_path, 2, keep_best=True)
    assert (checkpoints.restore(), int(checkpoints.best_step.numpy())) == (16, 8)
    checkpoints.restore_best()
    assert int(fresh.kept_seed.numpy()) == 8
    assert capsys.readouterr().err.count("\n") == 1


def test_a_best_one_that_is_damaged_or_gone_is_an_error_that_names_it(tmp_path):
    _, checkpoints = scored(tmp_path, [3, 7, 5, 6])
    for how in ("flip", "gone"):
        path = tmp_path / "ckpt-8.data-00000-of-00001"
        path.unlink() if how == "gone" else damaged(path, how)
        with pytest.raises(RunError, match=f"ckpt-8, the best by its validation score, .*; delete {tmp_path} to train"):
            checkpoints.restore_best()


@pytest.mark.parametrize("removed", range(4))
def test_a_kill_while_old_ones_are_removed_leaves_the_best(tmp_path, monkeypatch, removed):
    """Four are too many once another is written; the process dies before the removal of a file."""
    scored(tmp_path, [3, 7, 5, 6, 6, 6], keep=5)
    assert listed(tmp_path) == [24, 20, 16, 12, 8]
    fresh = method()
    checkpoints = Checkpoints(fresh, tmp_path, 2, keep_best=True)
    checkpoints.restore()
    gone, remove = [], checkpoints._remove

    def killed(step):
        if len(gone) == removed:
            raise SystemExit
        gone.append(step)
        remove(step)

    monkeypatch.setattr(checkpoints, "_remove", killed)
    if removed < 3:
        with pytest.raises(SystemExit):
            checkpoints.save(28, 1.0)
    else:
        checkpoints.save(28, 1.0)
    assert {28, 24, 8} <= set(listed(tmp_path))
    last = method()
    checkpoints = Checkpoints(last, tmp_path, 2, keep_best=True)
    assert checkpoints.restore() == 28
    checkpoints.restore_best()
    assert int(last.kept_seed.numpy()) == 8
