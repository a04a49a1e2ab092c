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
    found, confusion = results.write(
        config, dataset, student, {"teacher": teacher}, trained, {"student.keras": student}
    )
    assert confusion.tolist() == [[2, 1], [0, 1]]
    assert list(found) == [
        *("dataset", "method", "model", "seed", "steps", "test", "other_networks", "seconds", "images_per_second"),
        *("means", "skipped_steps", "num_labeled", "num_unlabeled", "skipped_images", "class_names"),
    ]
    right, wrong = np.log1p(np.exp(-2.0)), np.log1p(np.exp(2.0))
    four = {name: found["test"][name] for name in results.FOUR}
    assert four == pytest.approx({"top1": 0.75, "top5": 1.0, "loss": (3 * right + wrong) / 4, "n": 4})
    assert list(found["other_networks"]["teacher"]) == list(results.FOUR)
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


def finished(tmp_path, **parts):
    """results.json of a student that has three of the four points (1, 0), (0, 1), (1, 0), (0, 1) right, and is that of
    class 1 alone where a part says so."""
    points = np.array([[1, 0], [0, 1], [1, 0], [0, 1]], "float32")
    parts = {name: Source(points[: len(labels)], np.array(labels, "int32")) for name, labels in parts.items()}
    labeled = Source(points, np.array([0, 1, 0, 0], "int32"))
    dataset = Dataset("points", labeled, None, parts.get("test"), ("a", "b", "c"), validation=parts.get("validation"))
    about = {"dataset": "points", "method": "uda", "model": "mlp", "seed": 3, "train_steps": 7, "scored_on": "test"}
    config = SimpleNamespace(workdir=str(tmp_path), eval_batch=2, **about)
    student = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, use_bias=False)])
    student.set_weights([np.array([[2, 0, -9], [0, 2, -9]], "float32")])
    trained = PhaseResult(seconds=2.5, images_per_second=8.0, means={"loss": 0.5}, skipped_steps=0)
    networks = {"before_finetune": student}
    return results.write(config, dataset, student, networks, trained, {"student.keras": student})[0]


def test_each_class_is_scored(tmp_path):
    """Predicted a, b, a, b of the classes a, b, a, a; of class c there is none."""
    found = finished(tmp_path, test=[0, 1, 0, 0])["test"]
    assert found["per_class"] == {
        "precision": [1.0, 0.5, 0.0],
        "recall": [pytest.approx(2 / 3), 1.0, 0.0],
        "f1": [pytest.approx(0.8), pytest.approx(2 / 3), 0.0],
        "support": [3, 1, 0],
    }
    assert found["balanced_accuracy"] == pytest.approx((2 / 3 + 1) / 2)
    assert found["macro_f1"] == pytest.approx((0.8 + 2 / 3) / 2)


def test_validation_images_are_scored_beside_the_test_or_in_its_place(tmp_path):
    found = finished(tmp_path, test=[0, 1, 0, 0], validation=[0, 1])
    assert (found["test"]["top1"], found["validation"]["top1"], found["validation"]["n"]) == (0.75, 1.0, 2)
    assert found["other_networks"]["before_finetune"]["n"] == 4
    told = results.headline(found)
    assert told.startswith("test top-1 75.00 %, loss ") and "; validation top-1 100.00 %, loss " in told
    found = finished(tmp_path, validation=[0, 0])
    assert "test" not in found and found["validation"]["top1"] == 0.5
    assert found["other_networks"]["before_finetune"]["n"] == 2
    assert results.headline(found).startswith("validation top-1 50.00 %, loss ")
    assert results.headline(found).endswith(" on 2 examples; no test images")


def test_what_is_about_to_be_trained_names_the_parts_that_are_there(tmp_path):
    part, more = (Source(np.zeros([n, 2], "float32"), np.zeros([n], "int32")) for n in (4, 2))
    config = SimpleNamespace(method="uda", dataset="points", model="mlp", workdir="runs/x")
    line = "uda on points: 4 labeled, 0 unlabeled, {} examples; mlp, 1,234 weights; files in runs/x"
    for validation, test, told in (
        (None, part, "4 test"),
        (more, part, "2 validation, 4 test"),
        (more, more, "2 test"),
    ):
        dataset = Dataset("points", part, None, test, ("a", "b"), validation=validation)
        assert results.about(config, dataset, 1234, [(0, 7)]) == [line.format(told)]
    dataset = Dataset("points", part, None, None, ("a", "b"), validation=more)
    assert results.about(config, dataset, 1234, [(0, 7), (7, 9)])[1] == "made longer at step 7, to 9 steps"


def test_only_a_data_set_with_real_labels_has_such_a_score():
    accepted = np.array([[True, True], [True, False], [False, False]])
    examples = np.array([[1, 0], [0, 1], [1, 1]], "float32")
    pieces = SimpleNamespace(shape=(2,), pieces=lambda size: iter([(examples, accepted)]))
    model = linear([[1, 0], [0, 1]])
    assert results.real_score(model, SimpleNamespace(real=None), 4) == {}
    assert results.real_score(model, SimpleNamespace(real=pieces), 4) == {"real": {"top1": 0.5, "n": 2}}
