"""The store of a fixed teacher's distributions: its numbers, going on after a cut, refusal of what is not its own.

Covers: block_store.py
"""

import json

import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.base import lock
from mpl_tf.base.errors import RunError, UsageError
from mpl_tf.data import Dataset, Source
from mpl_tf.run import block_store, teacher_labels

N, CLASSES = 25, 3
EXAMPLES = np.random.default_rng(0).normal(size=(N, 4)).astype(np.float32)
KERNEL = np.random.default_rng(1).normal(size=(4, CLASSES))


class Linear:
    """A teacher of known logits that fails at a given call."""

    distribute_strategy = tf.distribute.get_strategy()

    def __init__(self, fail_at=None):
        self.calls, self.fail_at = 0, fail_at

    def predict(self, x, batch_size, verbose):
        if self.calls == self.fail_at:
            raise KeyboardInterrupt
        self.calls += 1
        return x @ KERNEL


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(teacher_labels, "CHUNK", 10)


@pytest.fixture
def belongs(tmp_path):
    return identity(tmp_path)


def identity(folder, name="points", examples=EXAMPLES, teacher=b"weights"):
    (folder / "teacher.keras").write_bytes(teacher)
    source = Source(examples)
    return teacher_labels.identity(Dataset(name, source, source, source, ("a", "b", "c")), folder / "teacher.keras")


def read(folder, belongs, teacher):
    return teacher_labels.open_or_compute(folder / "s.npy", belongs, lambda: teacher, Source(EXAMPLES), CLASSES, 8)


def test_the_store_holds_the_teachers_distributions_mapped_from_the_file(tmp_path, belongs):
    array = read(tmp_path, belongs, Linear())
    expected = np.exp(EXAMPLES @ KERNEL)
    np.testing.assert_allclose(array, expected / expected.sum(axis=1, keepdims=True), rtol=1e-5)
    assert isinstance(array, np.memmap)
    assert not (tmp_path / "s.partial").exists()
    again = Linear()
    np.testing.assert_array_equal(read(tmp_path, belongs, again), array)
    assert again.calls == 0


def test_a_cut_off_store_goes_on_after_its_last_chunk(tmp_path, belongs):
    whole = np.array(read(tmp_path, belongs, Linear()))
    folder = tmp_path / "cut"
    folder.mkdir()
    with pytest.raises(KeyboardInterrupt):
        read(folder, belongs, Linear(fail_at=2))
    digests = json.loads((folder / "s.json").read_text())["digests"]
    assert [bool(digest) for digest in digests] == [True, True, False]
    assert not (folder / "s.npy").exists()
    rest = Linear()
    np.testing.assert_array_equal(read(folder, belongs, rest), whole)
    assert rest.calls == 1


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"name": "digits"}, "another data set;"),
        ({"examples": EXAMPLES[::-1]}, "another unlabeled examples or order;"),
        ({"teacher": b"other"}, "another teacher;"),
        ({"teacher": b"other", "name": "digits"}, "another data set and another teacher;"),
    ],
)
def test_a_store_of_something_else_is_refused(tmp_path, belongs, change, named):
    read(tmp_path, belongs, Linear())
    with pytest.raises(UsageError, match="--store: ") as told:
        read(tmp_path, identity(tmp_path, **change), Linear())
    assert named in str(told.value)
    assert teacher_labels.default_path(tmp_path, belongs) != teacher_labels.default_path(
        tmp_path, identity(tmp_path, **change)
    )


def test_a_partial_store_of_something_else_is_refused(tmp_path, belongs):
    with pytest.raises(KeyboardInterrupt):
        read(tmp_path, belongs, Linear(fail_at=1))
    with pytest.raises(UsageError, match="another teacher"):
        read(tmp_path, identity(tmp_path, teacher=b"other"), Linear())


@pytest.mark.parametrize("damage", ["record gone", "record cut", "record of another form", "record changed"])
def test_an_array_without_a_record_is_told_and_the_advice_holds(tmp_path, belongs, damage):
    whole = np.array(read(tmp_path, belongs, Linear()))
    if damage == "record gone":
        (tmp_path / "s.json").unlink()
    elif damage == "record changed":  # It is not said to be another teacher's.
        digest = belongs["checkpoint"]
        (tmp_path / "s.json").write_text((tmp_path / "s.json").read_text().replace(digest, digest[::-1]))
    else:
        (tmp_path / "s.json").write_text("{" if damage == "record cut" else "[1]")
    with pytest.raises(UsageError, match=r"--store: .*delete .*s\.npy") as told:
        read(tmp_path, belongs, Linear())
    assert "\n" not in str(told.value) and "another teacher" not in str(told.value)
    (tmp_path / "s.npy").unlink()
    (tmp_path / "s.json").unlink(missing_ok=True)
    np.testing.assert_array_equal(read(tmp_path, belongs, Linear()), whole)


def flip(path, at, bits=1):
    """Flip bits of the byte at a place, from the end where it is negative."""
    data = bytearray(path.read_bytes())
    data[at] ^= bits
    path.write_bytes(data)


DAMAGE = {  # What is done to the file, and the blocks that are then computed again.
    "a flipped bit in the last block": (lambda path: flip(path, -1), 1),
    "a flipped bit in the first block": (lambda path: flip(path, 128), 1),
    "a zeroed tail over two blocks": (lambda path: path.write_bytes(path.read_bytes()[:-100] + bytes(100)), 2),
    "cut off": (lambda path: path.write_bytes(path.read_bytes()[:-1]), 1),
    "cut off in its header": (lambda path: path.write_bytes(path.read_bytes()[:100]), 3),
    "empty": (lambda path: path.write_bytes(b""), 3),
    "an array of another shape": (lambda path: np.save(path, np.zeros((2, 2), np.float32)), 3),
    "gone": (lambda path: path.unlink(), 3),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_blocks_and_only_those_are_computed_again(tmp_path, belongs, damage, capsys):
    whole = np.array(read(tmp_path, belongs, Linear()))
    apply, blocks = DAMAGE[damage]
    apply(tmp_path / "s.npy")
    teacher = Linear()
    np.testing.assert_array_equal(read(tmp_path, belongs, teacher), whole)
    assert teacher.calls == blocks
    assert f"{blocks} damaged blocks are computed again" in capsys.readouterr().err
    again = Linear()
    np.testing.assert_array_equal(read(tmp_path, belongs, again), whole)
    assert again.calls == 0


@pytest.mark.parametrize("at", [-1, 128, None])
def test_a_store_that_grows_is_checked_too(tmp_path, belongs, at):
    whole = np.array(read(tmp_path, belongs, Linear()))
    folder = tmp_path / "cut"
    folder.mkdir()
    with pytest.raises(KeyboardInterrupt):
        read(folder, belongs, Linear(fail_at=2))
    if at is None:
        (folder / "s.partial").unlink()
    else:
        flip(folder / "s.partial", at)
    rest = Linear()
    np.testing.assert_array_equal(read(folder, belongs, rest), whole)
    assert rest.calls == {None: 3, 128: 2, -1: 1}[at]  # The last block was missing all the same.


def test_a_store_of_an_earlier_version_is_computed_again(tmp_path, belongs):
    whole = np.array(read(tmp_path, belongs, Linear()))
    (tmp_path / "s.json").write_text(json.dumps(belongs | {"done": N}))
    flip(tmp_path / "s.npy", 128)
    np.testing.assert_array_equal(read(tmp_path, belongs, Linear()), whole)


def test_two_processes_do_not_compute_one_store_and_many_read_it(tmp_path, belongs):
    with lock.held(tmp_path, "store", ".s.lock"), pytest.raises(UsageError, match="--store: .* is in use by process"):
        read(tmp_path, belongs, Linear())
    whole = np.array(read(tmp_path, belongs, Linear()))
    with lock.held(tmp_path, "store", ".s.lock"):
        np.testing.assert_array_equal(read(tmp_path, belongs, Linear()), whole)


def test_no_room_is_told_before_anything_is_mapped(tmp_path, belongs, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(block_store.os, "posix_fallocate", full)
    with pytest.raises(RunError, match="--store: expected to write .* No space left"):
        read(tmp_path, belongs, Linear())
