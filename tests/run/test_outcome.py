"""What a run keeps of its networks: mpl's teacher too, where that is asked for."""

import csv
import json
import shutil

import keras
import numpy as np
import pytest

from mpl_tf import data, main, methods
from mpl_tf.base.errors import UsageError
from mpl_tf.data import Dataset, Source
from mpl_tf.models import saved
from mpl_tf.run import evaluate, outcome, results
from mpl_tf.settings import flags
from tools.sweep import Traced

RUN = ["--dataset=digits_50", "--model=narrow_cnn", "--train_steps=4", "--steps_per_epoch=4", "--steps_per_execution=4"]
RUN += ["--labeled_batch=10", "--mu=2", "--finetune_steps=2", "--finetune_batch=10", "--validate_on=held_out"]
pytestmark = pytest.mark.usefixtures("plain_graphs")


@pytest.fixture(scope="module")
def traced():
    return Traced()


@pytest.fixture(scope="module")
def kept(tmp_path_factory, traced):
    """The workdir of an mpl run that keeps its teacher."""
    folder = tmp_path_factory.mktemp("kept") / "run"
    assert main.main([*RUN, "--keep_teacher", f"--workdir={folder}"], traced) == 0
    return folder


@pytest.mark.slow
def test_the_teacher_takes_images_and_has_the_scores_that_are_told(kept, make_config):
    found = json.loads((kept / "results.json").read_text())
    teacher = keras.models.load_model(kept / "teacher.keras", compile=False)
    with open(kept / "metrics.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    dataset = data.load(make_config(validate_on="held_out"))
    told = (
        (dataset.test, found["other_networks"]["teacher"]["top1"]),
        (dataset.validation, row["val_teacher_accuracy"]),
    )
    for source, right in told:
        accuracy = np.mean(teacher.predict(source.images, verbose=0).argmax(-1) == source.labels)
        assert accuracy == pytest.approx(float(right), abs=1e-9)
    student = keras.models.load_model(kept / "student.keras", compile=False)
    (scores, _) = evaluate.evaluate(student, dataset.test, 256)
    assert scores["loss"] == pytest.approx(found["test"]["loss"], rel=1e-5)
    assert any((a != b).any() for a, b in zip(teacher.get_weights(), student.get_weights(), strict=True))


@pytest.mark.slow
def test_a_finished_run_makes_the_teacher_that_it_did_not_keep(kept, traced, tmp_path, capsys, make_config):
    again = shutil.copytree(kept, tmp_path / "run")
    (again / "teacher.keras").unlink()
    assert main.main([*RUN, f"--workdir={again}"], traced) == 0
    assert "holds the finished run" in capsys.readouterr().out and not (again / "teacher.keras").exists()
    assert main.main([*RUN, "--keep_teacher", f"--workdir={again}"], traced) == 0
    assert "teacher.keras is not as it was written (it is gone); it is made again from the" in capsys.readouterr().err
    test = data.load(make_config()).test
    for name, told in (("teacher.keras", "other_networks"), ("student.keras", "test")):
        loss, accuracy = keras.models.load_model(again / name).evaluate(test.images, test.labels, verbose=0)
        scores = json.loads((again / "results.json").read_text())[told]
        scores = scores.get("teacher", scores)
        assert (loss, accuracy) == pytest.approx((scores["loss"], scores["top1"]), rel=1e-4)
        assert saved.class_names(again / name) == tuple("0123456789")
        one, two = (keras.models.load_model(folder / name, compile=False).get_weights() for folder in (kept, again))
        assert all((a == b).all() for a, b in zip(one, two, strict=True)), name


def test_finetuning_weighs_the_classes_as_the_run_does(make_config, monkeypatch):
    """Three labeled examples of one class and one of the other: 4 / (2 x 3) and 4 / 2."""
    labeled = Source(np.zeros([4, 8, 8, 3], np.uint8), np.array([0, 0, 1, 0], np.int32))
    dataset = Dataset("own", labeled, labeled, labeled, ("a", "b"), (0.5,) * 3, (0.5,) * 3)
    config, trained = make_config(model="narrow_cnn", class_weights="balanced"), []
    monkeypatch.setattr(outcome, "run_phase", lambda phase, method, *_: trained.append(method))
    method = methods.make(config, (8, 8, 3), 2, **dataset.facts)
    outcome.networks(method, dataset, config, method.devices)
    np.testing.assert_allclose(trained[0].class_weights, [2 / 3, 2])
    np.testing.assert_allclose(method.class_weights, [2 / 3, 2])


def test_which_networks_have_files(make_config, monkeypatch):
    names = {
        (method, keep): results.kept(make_config(method=method, keep_teacher=keep, finetune_batch=10))
        for method, keep in (("mpl", False), ("mpl", True), ("uda", False), ("pseudo_labels", True))
    }
    assert names.pop(("mpl", True)) == ("student.keras", "teacher.keras")
    assert set(names.values()) == {("student.keras",)}  # A fixed teacher's file is there before.
    config = make_config(keep_teacher=True)
    monkeypatch.setattr(outcome.features, "whole", lambda backbone, model, dataset: (backbone, model, dataset))
    assert outcome.kept(config, "S", {"teacher": "T", "student": "raw", "before_finetune": "B"}, "b", "d") == {
        "student.keras": ("b", "S", "d"),
        "teacher.keras": ("b", "T", "d"),
    }


def test_a_method_without_a_teacher_keeps_none():
    with pytest.raises(UsageError) as caught:
        flags.parse(["--dataset=digits_50", "--method=uda", "--keep_teacher"])
    assert str(caught.value) == (
        "--keep_teacher: goes with pseudo_labels, noisy_student, mpl, reduced_mpl, got --method=uda"
    )
