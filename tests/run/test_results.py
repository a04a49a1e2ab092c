"""What a finished run leaves behind: its scores by hand, and its one line."""

import json
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from mpl_tf.data import Dataset, Source
from mpl_tf.run import results
from mpl_tf.run.phase import PhaseResult


def linear(kernel):
    """A network of logits x @ kernel."""
    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, use_bias=False)])
    network.set_weights([np.array(kernel, "float32")])
    return network


def test_a_run_is_scored_and_told(tmp_path):
    """Four points; the student has three right, its teacher, which takes one class for the other, one."""
    points = np.array([[1, 0], [0, 1], [1, 0], [0, 1]], "float32")
    source = Source(points, np.array([0, 1, 0, 0], "int32"))
    dataset = Dataset("points", source, None, source, ("a", "b"), skipped=("bad.png",))
    about = {"dataset": "points", "method": "uda", "model": "mlp", "seed": 3, "train_steps": 7}
    config = SimpleNamespace(workdir=str(tmp_path), eval_batch=2, scored_on="test", **about)
    student, teacher = linear([[2, 0], [0, 2]]), linear([[0, 2], [2, 0]])
    trained = PhaseResult(seconds=2.5, images_per_second=8.0, means={"loss": 0.5}, skipped_steps=2)
    found = results.write(config, dataset, student, {"teacher": teacher}, trained, student)
    assert list(found) == [
        *("dataset", "method", "model", "seed", "steps", "test", "other_networks", "seconds", "images_per_second"),
        *("means", "skipped_steps", "num_labeled", "num_unlabeled", "skipped_images", "class_names"),
    ]
    right, wrong = np.log1p(np.exp(-2.0)), np.log1p(np.exp(2.0))
    assert found["test"] == pytest.approx({"top1": 0.75, "top5": 1.0, "loss": (3 * right + wrong) / 4, "n": 4})
    assert found["other_networks"]["teacher"]["top1"] == 0.25
    assert (found["seconds"], found["means"], found["num_unlabeled"]) == (2.5, {"loss": 0.5}, 0)
    stored = json.loads((tmp_path / "results.json").read_text())
    assert {name: stored[name] for name in found} == found
    assert (tmp_path / "confusion_matrix.png").stat().st_size > 1000
    again = keras.models.load_model(tmp_path / "student.keras", compile=False)
    np.testing.assert_array_equal(again(points), 2 * points)
    line = "test top-1 75.00 %, loss 0.6269 on 4 examples"
    assert results.headline(found) == f"{line}, 2 steps skipped for gradients that are not finite"
    assert results.headline(found | {"skipped_steps": 0}) == line


def test_only_a_data_set_with_real_labels_has_such_a_score():
    accepted = np.array([[True, True], [True, False], [False, False]])
    pieces = SimpleNamespace(pieces=lambda size: iter([(np.array([[1, 0], [0, 1], [1, 1]], "float32"), accepted)]))
    model = linear([[1, 0], [0, 1]])
    assert results.real_score(model, SimpleNamespace(real=None), 4) == {}
    assert results.real_score(model, SimpleNamespace(real=pieces), 4) == {"real": {"top1": 0.5, "n": 2}}
