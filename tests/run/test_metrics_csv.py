"""metrics.csv: rows that a killed run logged past its checkpoint are dropped, and damage is told."""

import csv
import errno

import pytest

from mpl_tf.base.errors import RunError
from mpl_tf.run.metrics_csv import MetricsCsv

ROWS = [(4, 1.0), (8, 3.0), (10, 6.0)]  # Step, loss.


def log(table, epoch, step, loss):
    """End an epoch."""
    table.on_epoch_end(epoch, {"step": step, "loss": loss, "images_per_second": 5.0})


def steps(path):
    """The steps of the rows in a file."""
    if not path.exists():
        return []
    with open(path, newline="") as file:
        return [row["step"] for row in csv.DictReader(file)]


@pytest.fixture
def table(tmp_path):
    """Three rows of 4, 4 and 2 steps."""
    made = MetricsCsv(tmp_path / "metrics.csv", start=0)
    for epoch, row in enumerate(ROWS):
        log(made, epoch, *row)
    return made


def test_a_row_an_epoch_and_a_column_a_quantity(table):
    with open(table.path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(int(row["epoch"]), int(row["step"]), float(row["loss"])) for row in rows] == [
        (epoch, *row) for epoch, row in enumerate(ROWS)
    ]
    assert list(rows[0]) == ["epoch", "step", "images_per_second", "loss"]


def test_rows_after_the_step_gone_on_from_are_dropped_and_logged_again(table, capsys):
    whole, crc = table.path.read_bytes(), table.checksum()
    short = MetricsCsv(table.path.with_name("other.csv"), start=0)
    for epoch, row in enumerate(ROWS[:2]):
        log(short, epoch, *row)
    again = MetricsCsv(table.path, start=8, crc=short.checksum())
    assert steps(table.path) == ["4", "8"]
    log(again, 2, 10, 6.0)
    assert (table.path.read_bytes(), again.checksum()) == (whole, crc)
    MetricsCsv(table.path, start=3)
    assert not table.path.exists()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("cut", [2, 3, 5])
def test_a_row_that_a_kill_cut_off_is_left_out(table, cut):
    """Also where what is left of its last number is a number."""
    table.path.write_bytes(table.path.read_bytes()[:-cut])
    MetricsCsv(table.path, start=10)
    assert steps(table.path) == ["4", "8"]


@pytest.mark.parametrize(
    ("damage", "kept"),
    [
        (lambda content: b"", []),
        (lambda content: None, []),
        (lambda content: content.replace(b"3.0", b"3x0"), ["4", "10"]),
        (lambda content: content.replace(b"8,", b"\xff,"), ["4", "10"]),
        (lambda content: content.replace(b"step", b"stop"), []),
        (lambda content: content.replace(b"3.0", b"9.0"), ["4", "8", "10"]),
        (lambda content: bytes(range(256)) * 4, []),
    ],
)
def test_a_file_that_is_not_as_it_was_left_is_told_and_the_run_goes_on(table, damage, kept, capsys):
    crc, content = table.checksum(), damage(table.path.read_bytes())
    if content is None:
        table.path.unlink()
    else:
        table.path.write_bytes(content)
    again = MetricsCsv(table.path, start=10, crc=crc)
    assert steps(table.path) == kept
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert f"{table.path} is not as the run had left it: {len(kept)} rows of it are kept" in told
    log(again, 3, 12, 1.0)
    assert steps(table.path) == [*kept, "12"]


def test_a_row_that_stands_twice_is_left_out_once(table):
    crc, whole = table.checksum(), table.path.read_bytes()
    table.path.write_bytes(whole + whole.splitlines(keepends=True)[1])
    MetricsCsv(table.path, start=10, crc=crc)
    assert table.path.read_bytes() == whole


def test_a_full_disk_is_told(table, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("builtins.open", full)
    with pytest.raises(RunError, match="metrics.csv: expected to write it, got .*; free space"):
        log(table, 3, 12, 1.0)
