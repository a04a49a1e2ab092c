"""Kinds of faults: the harm they do to files, and that each trial stands on the state that its name says."""

import pytest

from tools._faults import judge, processes, trials
from tools._faults.record import Operation

OPERATIONS = [
    Operation("mkdir", "."),
    Operation("make", ".partial-vm-1-abcd-config.json"),
    Operation("write", ".partial-vm-1-abcd-config.json", b"{}"),
    Operation("rename", ".partial-vm-1-abcd-config.json", "config.json"),
    Operation("mkdir", "checkpoints"),
    Operation("mkdir", "checkpoints/train"),
    Operation("make", "checkpoints/train/t"),
    Operation("rename", "checkpoints/train/t", "checkpoints/train/ckpt-4.index"),
    Operation("make", "events.out.tfevents.1.vm.2.v2"),
    Operation("make", "r"),
    Operation("rename", "r", "results.json"),
]


class Recorded(trials.Method):
    """A method whose operations are these, and whose trials tell the files they stand on."""

    def __init__(self, work):
        self.operations, self.work, self.place, self.trial = OPERATIONS, work, work / "run", work / "trial"
        for _ in self.states(self.place):
            pass

    def goes_on(self, ignored=()):
        files = sorted(str(path.relative_to(self.trial)) for path in self.trial.rglob("*") if path.is_file())
        return judge.Verdict(judge.REFUSED, " ".join(files))


def test_a_kill_before_each_operation(tmp_path):
    found = [(name, attempt().why) for name, attempt in trials.kills(Recorded(tmp_path))]
    assert found[:5] == [
        ("0: before mkdir .", ""),
        ("1: before make .partial-*", ""),
        ("2: before write .partial-*", ".partial-vm-1-abcd-config.json"),
        ("3: before rename .partial-* to config.json", ".partial-vm-1-abcd-config.json"),
        ("4: before mkdir checkpoints", "config.json"),
    ]
    assert found[-1] == (
        "11: at the end",
        "checkpoints/train/ckpt-4.index config.json events.out.tfevents.1.vm.2.v2 results.json",
    )
    assert len(found) == 12


def test_damage_in_every_file_of_every_state(tmp_path):
    found = {name: attempt().why for name, attempt in trials.damage(Recorded(tmp_path))}
    harms = len(trials.HARMS)
    # Files in the three states: config and what has no name yet; the same with the checkpoint's, events; all.
    assert len(found) == harms * (2 + 4 + 4)
    assert found["in the main phase: config.json gone"] == "checkpoints/train/t"
    assert found["before results.json: checkpoints/train/ckpt-4.index gone"] == (
        "config.json events.out.tfevents.1.vm.2.v2 r"
    )
    assert "finished: events.out.tfevents.* bit flipped" in found


def test_harm(tmp_path):
    path = tmp_path / "file"
    results = {}
    for name, harm in trials.HARMS.items():
        path.write_bytes(bytes(range(10)))
        harm(path)
        results[name] = path.read_bytes() if path.exists() else None
    flipped = results["bit flipped"]
    assert [a ^ b for a, b in zip(flipped, range(10), strict=True)] == [0, 0, 0, 0, 0, 16, 0, 0, 0, 0]
    assert results["cut in half"] == bytes(range(5))
    assert results["gone"] is None


def test_an_empty_file_survives_a_flip(tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    trials.flip(tmp_path / "empty")
    assert (tmp_path / "empty").read_bytes() == b""


@pytest.mark.skipif(not processes.can_mount(), reason="needs the right to mount")
def test_a_disk_has_the_room_it_is_given(tmp_path):
    with processes._mounted(tmp_path / "disk", 64 * 1024) as disk:
        (disk / "small").write_bytes(b"1" * 4096)
        with pytest.raises(OSError, match="No space left"):
            (disk / "large").write_bytes(b"1" * 128 * 1024)
    assert not list((tmp_path / "disk").iterdir())
