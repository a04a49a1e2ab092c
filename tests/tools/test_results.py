"""The table of finished runs by hand, and what is no finished run."""

import json
import time

import pytest

from mpl_tf.base import files, storage
from tests.base.storage import servers
from tools import filter_unlabeled, plan, results, sweep


def write_run(folder, top1, dataset="cifar10_4k", method="mpl", seed=0, **settings):
    """The two files of a finished run that the table reads."""
    folder.mkdir(parents=True)
    found = {"dataset": dataset, "method": method, "seed": seed, "test": {"top1": top1}}
    (folder / "results.json").write_text(json.dumps(found))
    config = {"flags": {"dataset": dataset, "method": method, "seed": seed, "workdir": str(folder), **settings}}
    (folder / "config.json").write_text(json.dumps(config))


def test_table_by_hand(tmp_path, capsys):
    for seed, top1 in enumerate((0.90, 0.92, 0.94)):
        write_run(tmp_path / "deep" / "a" / str(seed), top1, seed=seed, mu=7, shift=0.1)
    write_run(tmp_path / "b", 0.95, mu=7, shift=0)
    write_run(tmp_path / "c", 0.83, mu=7, shift=0.1, unlabeled_source="labeled")
    write_run(tmp_path / "d", 0.97, dataset="digits_50", method="uda", mu=3)
    assert results.main([f"--runs={tmp_path}"]) == 0
    text = (tmp_path / "results.md").read_text()
    assert capsys.readouterr().out == text
    assert text.splitlines()[2:] == [
        "| cifar10_4k | mpl | --shift=0 --unlabeled_source=None | 1 | 95.00 | 96.11 ± 0.07 | MPL, Table 2 |",
        "| cifar10_4k | mpl | --shift=0.1 --unlabeled_source=None | 3 | 92.00 ± 2.00 | 96.11 ± 0.07 | MPL, Table 2 |",
        "| cifar10_4k | mpl | --shift=0.1 --unlabeled_source=labeled | 1 | 83.00 | 83.71 ± 0.21 | MPL, Table 9 |",
        "| digits_50 | uda |  | 1 | 97.00 |  |  |",
    ]


def test_a_figure_that_was_changed_since_is_left_out_and_told(tmp_path, capsys):
    for name, top1 in (("good", 0.5), ("changed", 0.25)):
        write_run(tmp_path / name, top1)
        path = tmp_path / name / "results.json"
        files.write_json(path, json.loads(path.read_text()))
    path.write_text(path.read_text().replace("0.25", "0.95"))
    assert results.main([f"--runs={tmp_path}"]) == 0
    captured = capsys.readouterr()
    assert "| cifar10_4k | mpl |  | 1 | 50.00 |" in captured.out
    assert f"{path} left out" in captured.err and "changed or damaged" in captured.err


def test_runs_in_a_bucket_give_the_table_that_they_give_on_a_disk(tmp_path, bucket, capsys):
    for seed, top1 in enumerate((0.90, 0.92)):
        write_run(tmp_path / "deep" / str(seed), top1, seed=seed)
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "results.json").write_text("{")
    for path in tmp_path.rglob("*.json"):
        storage.put(path, f"{bucket}/runs/{path.relative_to(tmp_path)}")
    assert results.main([f"--runs={tmp_path}"]) == 0
    assert results.main([f"--runs={bucket}/runs"]) == 0
    here, there = (tmp_path / "results.md").read_bytes(), storage.read_bytes(f"{bucket}/runs/results.md")
    assert here == there and b"91.00" in here
    here, there = capsys.readouterr().err.splitlines()
    assert there == here.replace(str(tmp_path), f"{bucket}/runs")
    assert results.main([f"--runs={bucket}/none"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"results: error: --runs: expected a folder of runs, got {bucket}/none"


@pytest.mark.parametrize("kind", ["s3", "gs"])
def test_runs_on_a_server(tmp_path, kind, capsys):
    write_run(tmp_path / "a" / "0", 0.90)
    with servers.s3() if kind == "s3" else servers.gcs():
        for path in tmp_path.rglob("*.json"):
            storage.put(path, f"{kind}://bucket1/runs/{path.relative_to(tmp_path)}")
        assert results.main([f"--runs={kind}://bucket1/runs", f"--output={tmp_path}/table.md"]) == 0
        assert "| cifar10_4k | mpl |  | 1 | 90.00 |" in (tmp_path / "table.md").read_text()
        assert results.main([f"--runs={kind}://none1/runs"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"results: error: --runs: expected a place in a bucket that exists, got {kind}://none1/runs")


@pytest.mark.parametrize(
    ("program", "flags"),
    [
        (results, ["--runs=gs://bucket1/runs"]),
        (sweep, ["--output=gs://bucket1/runs", "--", "--dataset=digits_50"]),
        (plan, ["--json=gs://bucket1/plan.json"]),
        (filter_unlabeled, ["--images=here", "--model=gs://bucket1/m.keras", "--output=there"]),
    ],
)
def test_a_server_that_gives_no_right_ends_each_program_at_once(program, flags, capsys):
    body = b'{"error": {"code": 403, "message": "caller does not have storage.objects.get access"}}'
    with servers.refusing("gs", 403, body):
        began = time.monotonic()
        assert program.main(flags) == 2
        assert time.monotonic() - began < 20
    (line,) = capsys.readouterr().err.splitlines()
    assert ": error: --" in line and "gs://bucket1/" in line and "no right to it; give this machine's account" in line


def test_what_is_no_run_is_named_and_left_out(tmp_path, capsys):
    write_run(tmp_path / "good", 0.5)
    for name, text in (("half", '{"dataset": "x"'), ("foreign", '{"accuracy": 1}'), ("list", "[1]"), ("empty", "")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "results.json").write_text(text)
    write_run(tmp_path / "alone", 0.7)
    (tmp_path / "alone" / "config.json").unlink()
    assert results.main([f"--runs={tmp_path}", f"--output={tmp_path}/table.md"]) == 0
    captured = capsys.readouterr()
    assert "| cifar10_4k | mpl |  | 1 | 50.00 |" in captured.out
    lines = captured.err.strip().splitlines()
    assert len(lines) == 5
    for name in ("half", "foreign", "list", "empty", "alone"):
        (line,) = [line for line in lines if f"/{name}/" in line]
        assert "left out, expected the results of a finished run" in line
    assert (tmp_path / "table.md").exists()


@pytest.mark.parametrize("argv", [["--runs=/nowhere/at/all"], ["--nonsense"], []])
def test_bad_flags_are_one_line(argv, tmp_path, capsys):
    assert results.main(argv or [f"--runs={tmp_path}"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("results: error: ")


def test_the_papers_figures_are_percent_of_known_data_sets():
    for key, (figure, source) in results.PAPERS.items():
        assert 60 < float(figure.split(" ± ")[0]) < 100, key
        assert "Table" in source
