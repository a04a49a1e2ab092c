"""Studies: every row's flags are valid, runs are run once, one a core, and bad flags end in one line."""

import csv
import os

import pytest

from mpl_tf import flags as program_flags
from tools import ablation, studies


@pytest.mark.parametrize("study", list(studies.STUDIES))
def test_rows_are_valid_command_lines(study):
    rows = studies.STUDIES[study]
    for name, arguments in rows.items():
        if not isinstance(arguments, studies.Network):
            program_flags.parse(["--dataset=digits_50", *arguments])
        assert studies.reference(study, name) in rows


def test_feedback_is_compared_with_none_of_the_same_labels_and_objective():
    rows = studies.STUDIES["feedback"]
    assert len(rows) == 18
    for name, arguments in rows.items():
        other = rows[studies.reference("feedback", name)]
        assert "--feedback=off" in other
        for flag in ("--pseudo_labels=soft", "--pseudo_labels=sampled", "--uda_weight=0", "--uda_weight=1"):
            assert (flag in arguments) == (flag in other)


def test_flags_that_all_rows_have(monkeypatch):
    monkeypatch.setitem(studies.STUDIES, "x", {"a": ["--u", "--v", "--w"], "b": ["--w", "--v"]})
    assert studies.common("x") == ["--v", "--w"]
    assert "--train_steps=500" in studies.common("feedback")


def test_a_finished_run_is_not_run_again(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(studies.STUDIES, "methods", {name: ["--method=supervised"] for name in ("a", "b")})
    extra = ["--train_steps=2", "--steps_per_epoch=2", "--steps_per_execution=1", "--labeled_batch=10"]
    command = ["--study=methods", "--seeds=1,2", f"--output={tmp_path}", *(f"--extra={flag}" for flag in extra)]
    jobs = f"--jobs={min(2, len(os.sched_getaffinity(0)))}"
    assert ablation.main([*command, jobs]) == 0
    first = capsys.readouterr().out
    assert "| b | 2 |" in first
    assert "| a | +0.00 (+0.00 to +0.00) | 1 | 1 |" in first
    results = tmp_path / "runs" / "a" / "seed1" / "results.json"
    written = results.stat().st_mtime_ns
    with open(tmp_path / "runs.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["name"], row["seed"]) for row in rows] == [("a", "1"), ("a", "2"), ("b", "1"), ("b", "2")]
    monkeypatch.setattr(ablation, "_sweep", None)
    assert ablation.main([*command, jobs]) == 0
    assert capsys.readouterr().out in first
    assert results.stat().st_mtime_ns == written


def test_a_failed_row_ends_the_study(tmp_path, monkeypatch, capfd):
    monkeypatch.setitem(studies.STUDIES, "methods", {"a": ["--method=supervised", "--nonsense"]})
    assert ablation.main(["--study=methods", "--seeds=1", f"--output={tmp_path}"]) == 1
    lines = capfd.readouterr().err.strip().splitlines()
    assert len(lines) == 2
    assert "nonsense" in lines[0]
    assert lines[1].startswith("ablation: error: ")


def test_bad_flags_are_one_line(tmp_path, capsys):
    assert ablation.main(["--study=nonsense"]) == 2
    assert ablation.main(["--seeds=a-b"]) == 2
    assert ablation.main(["--jobs=999", f"--output={tmp_path}"]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 3
    assert all(line.startswith("ablation: error: ") for line in lines)
