"""Verdicts on what a run left: the same bits, other numbers, one line, or anything else; advice that is followed."""

import keras
import numpy as np
import pytest

from mpl_tf.base import files
from tools._faults import judge
from tools._faults.judge import RECOVERED, REFUSED, UNEXPECTED, WRONG, Told

TABLE = "epoch,step,loss,images_per_second\n0,2,1.5,{}\n1,4,1.25,7\n"


def finished(folder, loss=0.5, seconds=1.0, weight=0.25):
    """The files of a run, as small as they can be."""
    folder.mkdir()
    files.write_json(folder / "results.json", {"test": {"loss": loss}, "seconds": seconds})
    (folder / "metrics.csv").write_text(TABLE.format(seconds))
    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    network.set_weights([np.full((2, 1), weight), np.zeros(1)])
    network.save(folder / "student.keras")
    return folder


@pytest.fixture
def expected(tmp_path):
    return judge.contents(finished(tmp_path / "undisturbed"))


def test_the_same_numbers_at_another_speed(tmp_path, expected):
    verdict = judge.judge(Told(0, []), finished(tmp_path / "run", seconds=9.0), expected)
    assert verdict.outcome == RECOVERED


def test_one_bit_is_wrong(tmp_path, expected):
    weight = np.nextafter(np.float32(0.25), np.float32(1))
    verdict = judge.judge(Told(0, []), finished(tmp_path / "run", weight=weight), expected)
    assert verdict == (WRONG, "other student.keras; ")
    assert judge.judge(Told(0, []), finished(tmp_path / "loss", loss=0.51), expected).why == "other results.json; "


def test_a_damaged_file_is_wrong_unless_nothing_reads_it(tmp_path, expected):
    run = finished(tmp_path / "run")
    (run / "student.keras").write_bytes(b"none")
    assert judge.judge(Told(0, []), run, expected).outcome == WRONG
    assert judge.judge(Told(0, []), run, expected, ("student.keras",)).outcome == RECOVERED
    (run / "student.keras").unlink()
    assert judge.judge(Told(0, []), run, expected).outcome == WRONG


def test_a_table_may_be_damaged_only_where_it_is_told(tmp_path, expected):
    run = finished(tmp_path / "run")
    (run / "metrics.csv").write_text("".join(TABLE.format(1.0).splitlines(keepends=True)[:2]))
    assert judge.judge(Told(0, []), run, expected).outcome == WRONG
    told = f"mpl_tf: {run}/metrics.csv is not as the run had left it: 1 rows of it are kept"
    assert judge.judge(Told(0, [told]), run, expected).outcome == RECOVERED
    (run / "metrics.csv").unlink()
    assert judge.judge(Told(0, [told]), run, expected).outcome == RECOVERED
    assert judge.judge(Told(0, [told.replace("metrics", "finetune")]), run, expected).why.startswith(
        "other metrics.csv"
    )


@pytest.mark.parametrize(
    ("status", "errors", "outcome"),
    [
        (2, ["mpl_tf: error: --workdir: expected that, got this; do so"], REFUSED),
        (1, ["a note", "mpl_tf: error: no room; free space on that disk"], REFUSED),
        (1, ["mpl_tf: error: unexpected KeyError: 'x'; run with --debug"], UNEXPECTED),
        (2, ["mpl_tf: error: one", "mpl_tf: error: two"], UNEXPECTED),
        (1, ["Traceback (most recent call last):", "mpl_tf: error: one"], UNEXPECTED),
        (75, ["mpl_tf: error: one"], UNEXPECTED),
        (1, [], UNEXPECTED),
    ],
)
def test_how_a_command_may_end(tmp_path, status, errors, outcome):
    assert judge.judge(Told(status, errors), tmp_path, {}).outcome == outcome


def test_advice_is_followed(tmp_path):
    folder, gone = tmp_path / "checkpoints" / "train", []
    folder.mkdir(parents=True)
    (tmp_path / "kept").write_text("")
    verdict = judge.Verdict(REFUSED, f"error: {folder}: expected some, all are damaged; delete this folder to train")

    def again():
        gone.append(not folder.exists())
        return judge.Verdict(RECOVERED, "")

    assert judge.followed(verdict, tmp_path, again).outcome == REFUSED
    assert gone == [True]
    assert (tmp_path / "kept").exists()


def test_advice_that_names_a_neighbour_and_advice_that_is_false(tmp_path):
    for name in ("store.json", "store.npy"):
        (tmp_path / name).write_text("")
    said = (
        f"mpl_tf: error: --store: cannot read {tmp_path}/store.json (KeyError); delete it and store.npy so that both "
        "are made again"
    )
    after = judge.followed(
        judge.Verdict(REFUSED, said), tmp_path, lambda: judge.Verdict(REFUSED, "the same line for ever")
    )
    assert after.outcome == WRONG
    assert "the same line for ever" in after.why
    assert not list(tmp_path.iterdir())


def test_without_advice_nothing_is_deleted(tmp_path):
    verdict = judge.Verdict(REFUSED, "give another --workdir")
    assert judge.followed(verdict, tmp_path, None) is verdict
