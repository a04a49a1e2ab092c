"""Pseudo labels in the report: counts by hand, the rule of a collapse, what is kept of many epochs."""

import numpy as np
import pytest

from mpl_tf.data import Dataset, Source
from mpl_tf.run.report import pseudo

NAMES = tuple("abcd")


def labels(*counts, sure=0.7):
    """Distributions of so many labels a class."""
    best = np.repeat(np.arange(len(counts)), counts)
    rest = (1 - sure) / (len(counts) - 1)
    return np.where(np.arange(len(counts)) == best[:, None], sure, rest)


def test_a_record_by_hand():
    validated = np.array([0, 0, 1, 2]), labels(3, 1, 0)
    found = pseudo.record(7, labels(2, 0, 1), validated)
    assert (found["step"], found["counts"], found["confidence"]) == (7, [2, 0, 1], [0.7, 0, 0.7])
    assert found["precision"] == [pytest.approx(2 / 3, abs=1e-4), 0, None]  # Said a, a, a, b of a, a, b, c.
    mean = np.array([1.55, 0.45, 1.0]) / 3
    assert found["spread"] == pytest.approx(np.exp(-(mean * np.log(mean)).sum()), abs=1e-3)
    assert pseudo.spread(np.array([0.5, 0.5, 0.0])) == pytest.approx(2)


@pytest.mark.parametrize(
    ("counts", "collapsed"),
    [
        ((25, 25, 25, 25), False),
        ((49, 24, 24, 3), False),  # A class that gets 3 where its share is 25.
        ((49, 24, 25, 2), True),  # Less than a tenth of it, and a quarter of the labeled images.
        ((4, 4, 4, 0), False),  # Too few to say.
    ],
)
def test_a_collapse_is_told_by_its_rule(counts, collapsed):
    found = pseudo.collapses(pseudo.record(1, labels(*counts)), np.full(4, 0.25), NAMES)
    assert bool(found) == collapsed
    if collapsed:
        assert found == [
            "1 of 4 classes with 25% of the labeled images get less than 10% of their share of the pseudo labels (d); "
            "a gets 49% of all."
        ]


def test_labels_that_spread_over_too_few_classes_collapse_where_no_class_can_be_counted():
    """Of 1,000 classes each would get one label here."""
    found = pseudo.record(1, labels(900, *[0] * 999, sure=0.9))
    (told,) = pseudo.collapses(found, np.full(1000, 1e-3), [str(number) for number in range(1000)])
    assert told.startswith("The labels spread over") and told.endswith("the labeled images over 1000.0.")
    few = pseudo.record(1, labels(*[1] * 40, *[0] * 960, sure=0.999))
    assert pseudo.collapses(few, np.full(1000, 1e-3), range(1000)) == []


def test_since_when_they_collapse_is_told_and_each_class_has_its_row():
    counts = [(0, 50, 25, 25), (25, 25, 25, 25), (50, 0, 25, 25), (50, 0, 25, 25)]
    records = [pseudo.record(10 * number, labels(*each)) for number, each in enumerate(counts)]
    shown, (told,) = pseudo.section(records, np.full(4, 0.25), NAMES)
    assert "since step 20 at the latest" in told and shown["fine"] == []
    assert shown["rows"][0] == ["a", "0.250", 50, "0.500", "0.700"]
    assert shown["rows"][1] == ["b", "0.250", 0, "0.000", ""]
    assert len(shown["minis"]) == 4 and not shown["precision"]
    shown, told = pseudo.section(records[:2], np.full(4, 0.25), NAMES)
    assert told == [] and shown["fine"][0].startswith("No collapse at step 10: the labels spread over 4.0 classes")


def test_a_run_that_goes_on_has_the_records_of_before_and_few_are_kept(tmp_path):
    history = pseudo.History(tmp_path)
    for step in range(1, pseudo.RECORDS + 2):
        history.add({"step": step})
    assert len(history.records) == pseudo.RECORDS // 2 + 1
    again = pseudo.History(tmp_path)
    assert again.records == history.records and again.records[-1]["step"] == pseudo.RECORDS + 1
    again.add({"step": 50})  # As if it had been stopped after step 49.
    assert again.records[-1] == {"step": 50} and all(one["step"] < 50 for one in again.records[:-1])
    (tmp_path / pseudo.NAME).write_text("damaged")
    assert pseudo.History(tmp_path).records == []


def test_whose_labels_they_are(make_config):
    source = Source(np.zeros([4, 2], np.float32))
    dataset = Dataset("points", source, source, source, NAMES)
    fixed = Dataset("points", source, Source(source.images, targets=np.zeros([4, 4])), source, NAMES)
    methods = ("supervised", "mpl", "uda")
    assert [pseudo.labeler(make_config(method=name), dataset)[0] for name in methods] == [None, "teacher", "student"]
    assert pseudo.labeler(make_config(method="noisy_student"), fixed)[0] == "targets"
