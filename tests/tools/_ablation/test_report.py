"""The table and its text by hand."""

import csv

import pytest
from PIL import Image

from tools._ablation import report

BASE = {"loss": 1.0, "examples": 100, "labels": 50, "feedback_share": 0.0, "feedback_share_sd": 0.0, "seconds": 10.0}
BASE |= {"scored_on": "validation"}


def runs(name, *top1, **others):
    """Runs of one row."""
    return [BASE | {"name": name, "seed": seed, "top1": value} | others for seed, value in enumerate(top1)]


def test_table_by_hand(tmp_path):
    rows = runs("off", 0.90, 0.92, 0.91) + runs("taylor", 0.93, 0.94, 0.91, feedback_share=0.1, feedback_share_sd=0.02)
    rows[-1]["feedback_share"] = 0.3
    report.write(rows, {"off": "off", "taylor": "off"}, "the command", "--mu=7", tmp_path)
    text = (tmp_path / "table.md").read_text()
    assert text.startswith("| row | runs | validation top-1, % (mean ± sd) |")
    assert "| off | 3 | 91.00 ± 1.00 |  |  |  |  | 0.0000 ± 0.0000 | 0.0000 |" in text
    # Differences 3, 2, 0: mean 5/3, sd 1.5275, t(2) 4.3027, so 5/3 ± 3.79; 2 of the 4 choices of signs are as far.
    line = "| taylor | 3 | 92.67 ± 1.53 | off | +1.67 (-2.13 to +5.46) | 0.5 | 0.5 | 0.1667 ± 0.1155 | 0.0200 |"
    assert line in text
    assert "Significantly better: none." in text
    assert "With 3 seeds this test gives no p below 0.25 (2 / 2^3), after the correction none below 0.25: no" in text
    assert "Best mean among off and the rows compared with it: taylor." in text
    assert "Command: `the command`" in text
    assert "Flags of every row: `--mu=7`" in text
    assert "TensorFlow" in text
    with open(tmp_path / "runs.csv", newline="") as file:
        assert [float(row["top1"]) for row in csv.DictReader(file)] == [0.90, 0.92, 0.91, 0.93, 0.94, 0.91]
    assert Image.open(tmp_path / "table.png").size[0] > 500
    assert "<svg" in (tmp_path / "table.svg").read_text()


@pytest.mark.parametrize(("gain", "line"), [(0.05, "better: b (+5.00)"), (-0.05, "worse: b (-5.00)")])
def test_the_text_follows_the_numbers(gain, line):
    rows = {"a": runs("a", *[0.5] * 8), "b": runs("b", *[0.5 + gain] * 8), "c": runs("c", *[0.5] * 7, 0.51)}
    references = dict.fromkeys(rows, "a")
    text = "\n".join(report.conclusions(rows, references, report.compare(rows, references)))
    assert "Holm's correction for the 2 comparisons" in text
    assert "gives no p below" not in text
    assert f"Significantly {line}." in text
    assert text.count("none.") == 1
    assert f"compared with it: {'b' if gain > 0 else 'c'}." in text


def test_few_seeds_cannot_be_significant_and_the_text_says_which_test_decides():
    # Five seeds that agree to the last image: the t interval excludes 0, yet 2 of the 2^5 choices of signs are as far.
    rows = {"a": runs("a", *[0.5] * 5), "b": runs("b", 0.80, 0.81, 0.82, 0.83, 0.84), "c": runs("c", *[0.9] * 5)}
    references = dict.fromkeys(rows, "a")
    comparisons = report.compare(rows, references)
    assert [c.p for c in comparisons.values()] == [2 / 2**5] * 2
    assert [c.corrected for c in comparisons.values()] == [2 * 2 / 2**5] * 2
    assert comparisons["b"].low > 0.29
    text = "\n".join(report.conclusions(rows, references, comparisons))
    assert "gives no p below 0.062 (2 / 2^5), after the correction none below 0.12: no difference" in text
    assert "one that excludes 0 shows that the row's seeds agree, and decides nothing" in text
    assert text.count("none.") == 2


def test_enough_seeds_for_one_comparison_are_too_few_for_many():
    # Six seeds: 2 / 2^6 = 0.031 alone, but 0.062 for the smaller of two.
    rows = {name: runs(name, *[top1] * 6) for name, top1 in (("a", 0.5), ("b", 0.6), ("c", 0.7))}
    references = dict.fromkeys(rows, "a")
    text = report.conclusions(rows, references, report.compare(rows, references))[0]
    assert "With 6 seeds this test gives no p below 0.031 (2 / 2^6), after the correction none below 0.062" in text
    del rows["c"]
    alone = "\n".join(report.conclusions(rows, references, report.compare(rows, references)))
    assert "gives no p below" not in alone
    assert "Significantly better: b (+10.00)." in alone
