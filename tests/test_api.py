"""The program from Python: the same run as from the command line, the same refusals in words of arguments.

Covers: __init__.py, api.py
"""

import csv
import inspect
import json
import pickle
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

import mpl_tf
from mpl_tf import data
from mpl_tf.settings.catalogue import DATASETS, METHODS, NETWORKS

ROOT = Path(__file__).resolve().parent.parent
TINY = {"method": "supervised", "labeled_batch": 10, "train_steps": 20, "steps_per_epoch": 20, "finetune_steps": 0}
TINY |= {"teacher_learning_rate": 0.01}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A tiny run, in mixed precision so that what it leaves behind can be seen."""
    folder = tmp_path_factory.mktemp("api") / "run"
    seen = {"precision": "mixed_bfloat16", "train_steps": np.int64(20), "teacher": None}
    return mpl_tf.train(dataset="digits_50", workdir=folder, **TINY | seen)


def test_a_run_is_its_results_and_its_student(run, make_config):
    assert dict(run) == {
        k: v for k, v in json.loads((run.workdir / "results.json").read_text()).items() if k != "crc32"
    }
    assert run.test.top1 == run["test"]["top1"] and run.steps == 20 and run.method == "supervised"
    assert f"test top-1 {100 * run.test.top1:.2f} %" in repr(run)
    assert "top1" in dir(run.test) and mpl_tf.Run(str(run.workdir)) == run
    test = data.load(make_config()).test
    loss, accuracy = run.student.evaluate(test.images, test.labels, verbose=0)
    assert accuracy == pytest.approx(run.test.top1)
    assert loss == pytest.approx(run.test.loss, rel=1e-4)
    with pytest.raises(AttributeError, match="no 'top9' among the results: top1"):
        run.test.top9  # noqa: B018
    assert pickle.loads(pickle.dumps(run.test)) == run.test


def test_what_was_set_before_a_run_is_so_after_it(run):
    assert keras.config.dtype_policy().name == "float32"


def test_evaluate_and_predict(run, tmp_path, make_config):
    scores = mpl_tf.evaluate(run)
    assert scores.test.top1 == run.test.top1 and scores.test.n == 449
    test = data.load(make_config()).test
    for number in range(3):
        Image.fromarray(test.images[number]).save(tmp_path / f"{number}.png")
    rows = mpl_tf.predict(run.workdir, images=tmp_path)
    logits = run.student.predict(test.images[:3], verbose=0)
    assert [row.label for row in rows] == [str(best) for best in logits.argmax(axis=-1)]
    with open(run.workdir / "predictions.csv", newline="") as file:
        assert [row["file"] for row in csv.DictReader(file)] == [row.file for row in rows]
    assert 0.1 <= rows[0].probability <= 1
    # A list of paths, and all that may be told of each.
    (tmp_path / "list.csv").write_text("path\n2.png\n0.png\n")
    listed = mpl_tf.predict(run, tmp_path / "list.csv", top_k=2, all_probabilities=True)
    assert listed == [rows[2], rows[0]]
    assert sum(listed[0].probabilities) == pytest.approx(1) and len(listed[0].top) == 2
    assert listed[0].top[1][1] == sorted(listed[0].probabilities)[-2] and listed[0].top[0] == listed[0][1:]
    with open(run.workdir / "predictions.csv", newline="") as file:
        assert len(next(csv.reader(file))) == 3 + 2 + 10
    with pytest.raises(mpl_tf.UsageError, match="^top_k: expected at most the 10 classes of the run, got 11$"):
        mpl_tf.predict(run, tmp_path, top_k=11)


@pytest.mark.slow
def test_export(run, capsys):
    done = mpl_tf.export(run, ["saved_model"])
    assert done.saved_model.n == 100 and done.saved_model.max_difference < 1e-5
    assert mpl_tf.Run(run.workdir).exports == done and (run.workdir / done.saved_model.file).is_dir()
    # The command that trained it, with an export that it has not; the finished run is not trained again.
    arguments = {"dataset": "digits_50", "workdir": run.workdir, "precision": "mixed_bfloat16", **TINY}
    again = mpl_tf.train(**arguments, export=("saved_model", "tflite"))
    assert set(again.exports) == {"saved_model", "tflite"} and again.test == run.test
    out = capsys.readouterr().out
    assert "holds the finished run" in out and out.count("student_saved_model: ") == 1
    assert out.count("student.tflite: probabilities within ") == 1
    assert mpl_tf.train(**arguments, export="tflite").exports == again.exports
    assert "probabilities" not in capsys.readouterr().out
    with pytest.raises(mpl_tf.UsageError, match="^export: expected some of saved_model, tflite, onnx"):
        mpl_tf.export(run, "coreml")


REFUSED = {
    "seeds: there is no such argument; see docs/flags.md; did you mean seed?": {"seeds": 3},
    "mode: there is no such argument": {"mode": "evaluate"},
    "seed: expected a whole number, got 'three'": {"seed": "three"},
    "method: expected one of ": {"method": "mlp"},
    "workdir: nope://bucket: expected a path, gs://": {"workdir": "nope://bucket"},
    "labeled_batch: expected at most the 50 labeled examples, got 51": {"labeled_batch": 51},
    "num_labels: mpl needs unlabeled examples, digits_50 has none left; give fewer labels, unlabeled_source='labeled' "
    "or method='supervised'": {"num_labels": 0, "method": "mpl"},
    "2 problems: (1) mus: there is no such argument": {"mus": 3, "seed": -1},
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_is_wrong_is_told_of_arguments(message, tmp_path):
    with pytest.raises(mpl_tf.UsageError) as caught:
        mpl_tf.train(**{"dataset": "digits_50", "workdir": str(tmp_path / "run")} | TINY | REFUSED[message])
    assert str(caught.value).startswith(message)
    assert not (tmp_path / "run").exists()


def test_a_folder_without_a_run_is_refused(tmp_path):
    for call in (mpl_tf.evaluate, mpl_tf.Run, lambda folder: mpl_tf.predict(folder, tmp_path)):
        with pytest.raises(mpl_tf.UsageError, match="^workdir: expected "):
            call(tmp_path)
    with pytest.raises(mpl_tf.UsageError, match="^dataset: expected one of .* got nothing"):
        mpl_tf.train(method="mpl")


def test_the_lists_are_those_of_the_flags():
    assert mpl_tf.list_methods() == list(METHODS)
    assert mpl_tf.list_datasets() == list(DATASETS)
    assert set(NETWORKS) | {"keras:MobileNetV3Small"} < set(mpl_tf.list_models())


def test_a_notebook_completes_the_arguments():
    names = inspect.signature(mpl_tf.train).parameters
    assert {"labeled_dir", "method", "workdir", "seed", "config"} <= set(names)
    assert not {"mode", "debug", "images", "top_k"} & set(names)
    assert list(inspect.signature(mpl_tf.predict).parameters)[:2] == ["workdir", "images"]
    assert list(inspect.signature(mpl_tf.export).parameters)[:2] == ["workdir", "export"]
    assert "train" in dir(mpl_tf)


def test_importing_is_light_until_a_run_starts():
    script = (
        "import sys, mpl_tf; print('absl' in sys.modules); mpl_tf.list_models();"
        "print([name for name in ('tensorflow', 'keras', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["False", "[]"]
