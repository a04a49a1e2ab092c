"""predictions.csv: its columns, by hand, and that it is written piece by piece and appears when it is whole."""

import csv
import pickle
import tracemalloc

import keras
import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.base.errors import RunError, UsageError
from mpl_tf.run import evaluate, predictions
from mpl_tf.run.predictions import Prediction, Shown

NAMES = ("cat", "dog", "2", "caf\udce9")


class Given:
    """Images of one pixel, of level 0, 1, 2, ...; `wrong` after the last."""

    def __init__(self, count, wrong=None):
        self.count, self.wrong, self.sizes = count, wrong, []

    def __len__(self):
        return self.count

    def pieces(self, size):
        for first in range(0, self.count, size):
            numbers = np.arange(first, min(first + size, self.count))
            self.sizes.append(len(numbers))
            yield [f"{number}.png" for number in numbers], np.tile(numbers[:, None, None, None] % 256, (1, 1, 1, 3))
        if self.wrong:
            raise self.wrong


@pytest.fixture(scope="module")
def model():
    """Logits of level 0: 0, 1, 2, 0; each level lowers the third by 1."""
    layers = [keras.Input((1, 1, 3)), keras.layers.Flatten(), keras.layers.Dense(4)]
    made = keras.Sequential(layers)
    kernel = np.zeros((3, 4))
    kernel[0, 2] = -1
    made.set_weights([kernel, np.array([0, 1, 2, 0])])
    return made


def rows(path):
    with open(path, newline="", encoding="utf-8", errors="surrogateescape") as file:
        return list(csv.reader(file))


def softmax(level):
    exponentials = np.exp([0, 1, 2 - level, 0])
    return exponentials / exponentials.sum()


def test_the_first_columns_are_the_same_whatever_is_shown(model, tmp_path):
    path, told = tmp_path / "predictions.csv", []
    shown = (Shown(1, False), Shown(3, False), Shown(1, True), Shown(2, True))
    tables = []
    for one in shown:
        assert predictions.write(model, Given(3), NAMES, path, 2, one, told.append) == 3
        tables.append(rows(path))
    first, three, each, both = tables
    assert first[0] == ["file", "class", "probability"]
    assert first[1:] == [
        [f"{level}.png", ("2", "dog", "dog")[level], f"{softmax(level).max():.6f}"] for level in range(3)
    ]
    assert all([row[:3] for row in table] == first for table in tables)
    assert three[0][3:] == ["class_2", "probability_2", "class_3", "probability_3"]
    assert three[1][3:] == ["dog", f"{softmax(0)[1]:.6f}", "cat", f"{softmax(0)[0]:.6f}"]  # The first of equals.
    assert each[0][3:] == [f"probability_of_{name}" for name in NAMES]
    assert each[3][3:] == [f"{value:.6f}" for value in softmax(2)]
    assert both[0] == first[0] + three[0][3:5] + each[0][3:]
    assert told[0] == ("0.png", "2", pytest.approx(softmax(0)[2])) and told[0].probabilities is None
    assert [label for label, _ in told[3].top] == ["2", "dog", "cat"]
    assert told[8].probabilities == pytest.approx(tuple(softmax(2))) and told[8].label == "dog"
    assert pickle.loads(pickle.dumps(told[8])).probabilities == told[8].probabilities
    assert (
        repr(told[0]).startswith("Prediction(file='0.png', label='2', probability=0.") and type(told[0]) is Prediction
    )


def test_more_classes_than_there_are_is_refused(model, tmp_path):
    with pytest.raises(UsageError) as caught:
        predictions.write(model, Given(3), NAMES, tmp_path / "predictions.csv", 2, Shown(5, False))
    assert str(caught.value) == "--top_k: expected at most the 4 classes of the run, got 5"
    assert not list(tmp_path.iterdir())


def test_nothing_appears_before_it_is_whole(model, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate, "piece", lambda shape, batch: 2)
    path = tmp_path / "predictions.csv"
    path.write_text("of before")
    with pytest.raises(RunError, match="3 images"):
        predictions.write(model, Given(5, RunError("3 images")), NAMES, path, 2, Shown(1, False))
    assert [one.name for one in tmp_path.iterdir()] == ["predictions.csv"] and path.read_text() == "of before"


def test_memory_is_that_of_a_piece(tmp_path, monkeypatch, capsys):
    """A hundred times as many images take no more."""

    class Model:
        input_shape, distribute_strategy = (None, 1, 1, 3), tf.distribute.get_strategy()

        def predict(self, images, batch_size, verbose):
            return np.zeros([len(images), 4])

    monkeypatch.setattr(evaluate, "piece", lambda shape, batch: 100)
    monkeypatch.setattr(predictions, "TOLD_SECONDS", 0.0)
    peaks = []
    for count in (300, 30_000):
        given = Given(count)
        tracemalloc.start()
        predictions.write(Model(), given, NAMES, tmp_path / "predictions.csv", 2, Shown(1, False))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert set(given.sizes) == {100}
    assert peaks[1] < 4 * peaks[0]  # Rows that are kept would make it 50.
    assert "predictions.csv: 100 of 300 images so far" in capsys.readouterr().err
