"""metrics.csv: rows that a killed run logged past its checkpoint are dropped; means weigh a row by its steps."""

import csv

import pytest

from mpl_tf.run.metrics_csv import MetricsCsv

ROWS = [(4, 1.0), (8, 3.0), (10, 6.0)]  # Step, loss.


def log(table, epoch, step, loss):
    """End an epoch."""
    table.on_epoch_end(epoch, {"step": step, "loss": loss, "images_per_second": 5.0})


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


def test_means_weigh_a_row_by_the_steps_it_stands_for(table):
    assert table.means() == {"loss": pytest.approx((4 * 1 + 4 * 3 + 2 * 6) / 10)}


def test_rows_after_the_step_gone_on_from_are_dropped_and_logged_again(table):
    again = MetricsCsv(table.path, start=8)
    assert [row["step"] for row in again.rows()] == ["4", "8"]
    log(again, 2, 10, 6.0)
    assert again.means() == table.means()
    assert MetricsCsv(table.path, start=3).rows() == [] and not table.path.exists()


def test_a_row_that_a_kill_cut_off_is_left_out(table):
    content = table.path.read_text()
    table.path.write_text(content[: content.rindex(",")])
    assert [row["step"] for row in MetricsCsv(table.path, start=10).rows()] == ["4", "8"]
