"""The table of runs: numbers by hand, a run of the program, and no run twice."""

import csv

import pytest
from PIL import Image

from mpl_tf.errors import UsageError
from tools import ablation


def test_seeds():
    assert ablation.parse_seeds("0-4") == [0, 1, 2, 3, 4]
    assert ablation.parse_seeds("3") == [3]
    assert ablation.parse_seeds("0,3,7") == [0, 3, 7]
    with pytest.raises(UsageError, match="--seeds: expected first-last .* got x"):
        ablation.parse_seeds("x")


def test_table_by_hand(tmp_path):
    base = {"loss": 1.0, "feedback_share": 0.0, "wall_seconds": 10.0}
    rows = [
        {"name": "uda", "seed": 0, "top1": 0.90} | base,
        {"name": "uda", "seed": 1, "top1": 0.92} | base,
        {"name": "mpl", "seed": 0, "top1": 0.93} | base | {"feedback_share": 0.1},
        {"name": "mpl", "seed": 1, "top1": 0.94} | base | {"feedback_share": 0.3},
    ]
    ablation.write_table(rows, "the command", tmp_path)
    text = (tmp_path / "table.md").read_text()
    assert "| uda | 2 | 91.00 ± 1.41 | +0.00 | 0.000 | 10 |" in text
    assert "| mpl | 2 | 93.50 ± 0.71 | +2.50 | 0.200 | 10 |" in text
    assert "`the command`" in text
    assert "TensorFlow" in text
    with open(tmp_path / "runs.csv", newline="") as file:
        assert [float(row["top1"]) for row in csv.DictReader(file)] == [0.90, 0.92, 0.93, 0.94]
    assert Image.open(tmp_path / "table.png").size[0] > 500
    assert "<svg" in (tmp_path / "table.svg").read_text()


def test_a_finished_run_is_not_run_again(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(ablation.STUDIES, "methods", {"supervised": ["--method=supervised"]})
    extra = ["--train_steps=2", "--steps_per_epoch=2", "--steps_per_execution=1", "--labeled_batch=10"]
    command = ["--study=methods", "--seeds=1", f"--output={tmp_path}", *(f"--extra={flag}" for flag in extra)]
    assert ablation.main(command) == 0
    first = capsys.readouterr().out
    results = tmp_path / "runs" / "supervised-seed1" / "results.json"
    written = results.stat().st_mtime_ns
    assert ablation.main(command) == 0
    assert capsys.readouterr().out == first
    assert results.stat().st_mtime_ns == written


def test_bad_flags_are_one_line(capsys):
    assert ablation.main(["--study=nonsense"]) == 2
    assert ablation.main(["--seeds=a-b"]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 2
    assert all(line.startswith("ablation: error: ") for line in lines)
