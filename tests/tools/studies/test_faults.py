"""The campaign of faults: its flags, its table that grows, and a few trials of every kind on a real run."""

import csv
import shutil

import pytest

from tools._faults import page, processes, trials
from tools.studies import faults


def test_unknown_names_are_refused(capsys):
    assert faults.main(["--methods=mpl,mlp", "--output=none"]) == 2
    assert (
        "--methods: expected some of mpl, uda, meta_semi, noisy_student, reduced_mpl, got mlp"
        in capsys.readouterr().err
    )
    assert faults.main(["--kinds=fire", "--output=none"]) == 2


def test_the_table_grows_and_is_found_again(tmp_path):
    table = faults.Trials(tmp_path / "out" / "trials.csv")
    table.add("mpl", "kills", "0: before mkdir .", "recovered", "", 1.25)
    again = faults.Trials(tmp_path / "out" / "trials.csv")
    assert again.done("mpl", "kills", "0: before mkdir .")
    assert not again.done("uda", "kills", "0: before mkdir .")
    again.add("uda", "damage", "a, b", "refused", 'said "no"', 2)
    with open(tmp_path / "out" / "trials.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows == again.rows
    assert rows[1] == dict(zip(page.COLUMNS, ("uda", "damage", "a, b", "refused", "2.0", 'said "no"'), strict=True))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_some_trials_of_a_real_run(tmp_path, monkeypatch):
    # Of each kind a few: all of them take an hour.
    def some(kind, *parts):
        return lambda method: (trial for trial in kind(method) if any(part in trial[0] for part in parts))

    monkeypatch.setattr(trials, "kills", some(trials.kills, "to config.json", "ckpt-4.index", "at the end"))
    damaged = (
        "main phase: metrics.csv cut",
        "results.json: checkpoints/train/ckpt-4.index cut",
        "finished: results.json bit",
    )
    monkeypatch.setattr(trials, "damage", some(trials.damage, *damaged))
    monkeypatch.setattr(processes, "signals", some(processes.signals, "SIGTERM after 30"))
    monkeypatch.setattr(processes, "disks", some(processes.disks, "35 %"))
    arguments = [f"--output={tmp_path}/out", f"--work={tmp_path}/work", "--methods=mpl"]
    assert faults.main(arguments) == 0
    table = faults.Trials(tmp_path / "out" / "trials.csv")
    assert {row["outcome"] for row in table.rows} <= {"recovered", "refused"}
    assert {row["kind"] for row in table.rows} >= {"kills", "damage", "signals", "writers"}
    assert "## Unexpected or wrong\n\nNone." in (tmp_path / "out" / "table.md").read_text()
