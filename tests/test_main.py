"""The program from its command line: what a run leaves behind, and one clear line for every bad input."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from mpl_tf import data, main
from tests.run.test_resume import weights
from tools.sweep import Traced

ROOT = Path(__file__).resolve().parent.parent
TINY = [
    "--dataset=digits_50",
    "--train_steps=20",
    "--steps_per_epoch=8",
    "--steps_per_execution=4",
    "--labeled_batch=10",
    "--mu=2",
    "--finetune_steps=6",
    "--finetune_batch=10",
]


def same_scores(found, expected):
    """Two "test"s of results.json, the loss up to rounding."""
    assert found | {"loss": 0} == expected | {"loss": 0}
    assert found["loss"] == pytest.approx(expected["loss"])


@pytest.fixture(scope="module")
def traced():
    """Makes the method of TINY, its step traced once for all runs of it."""
    return Traced()


@pytest.fixture(scope="module")
def finished(tmp_path_factory, traced):
    """The workdir of a tiny finished run and what it printed."""
    workdir = tmp_path_factory.mktemp("run") / "mpl"
    assert main.main([*TINY, f"--workdir={workdir}"], traced) == 0
    return workdir


def test_a_run_leaves_everything_in_its_workdir(finished):
    results = json.loads((finished / "results.json").read_text())
    assert results["dataset"] == "digits_50"
    assert (results["method"], results["model"], results["seed"], results["steps"]) == ("mpl", "small_cnn", 0, 20)
    assert results["test"]["n"] == 449
    assert 0 <= results["test"]["top1"] <= results["test"]["top5"] <= 1
    assert {"teacher", "student", "before_finetune"} == set(results["other_networks"])
    assert results["means"]["norm_feedback"] > 0
    assert 0 < results["means"]["feedback_share"] < 1
    assert results["seconds"] > 0
    assert results["skipped_steps"] == 0
    assert results["images_per_second"] == pytest.approx(20 * 30 / results["seconds"])
    with open(finished / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == [8, 16, 20]
    wanted = {"h", "baseline", "norm_feedback", "norm_supervised", "norm_uda", "feedback_share", "skipped_steps"}
    assert wanted <= set(rows[0])
    weighted = sum(float(row["h"]) * steps for row, steps in zip(rows, (8, 8, 4), strict=True)) / 20
    assert results["means"]["h"] == pytest.approx(weighted)
    config = json.loads((finished / "config.json").read_text())
    assert config["flags"]["train_steps"] == 20
    assert config["versions"]["keras"] == keras.__version__
    assert Image.open(finished / "confusion_matrix.png").size[0] > 300
    assert list((finished / "tensorboard" / "train").rglob("events*"))
    assert (finished / "finetune.csv").exists()


def test_the_student_opens_without_this_program_with_its_classes_and_its_scores(finished, tmp_path, make_config):
    test = data.load(make_config()).test
    np.savez(tmp_path / "test.npz", x=test.images, y=test.labels)
    script = (
        "import json, keras, numpy, sys, tensorflow as tf, zipfile; t = numpy.load('test.npz');"
        "m = keras.models.load_model(sys.argv[1]); images = tf.data.Dataset.from_tensor_slices((t['x'], t['y']));"
        "names = json.loads(zipfile.ZipFile(sys.argv[1]).read('metadata.json'))['class_names'];"
        "print(*names, 'mpl_tf' in sys.modules, *m.evaluate(images.batch(64), verbose=0))"
    )
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, "-c", script, str(finished / "student.keras")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, env=environment)
    *names, loaded, loss, accuracy = done.stdout.split()
    assert loaded == "False" and test.images.dtype == np.uint8
    results = json.loads((finished / "results.json").read_text())
    assert names == results["class_names"] == [str(number) for number in range(10)]
    assert float(accuracy) == pytest.approx(results["test"]["top1"], abs=1e-6)
    assert float(loss) == pytest.approx(results["test"]["loss"], rel=1e-4)


def test_evaluate_and_predict_from_the_workdir(finished, tmp_path, capsys, make_config):
    assert main.main(["--mode=evaluate", f"--workdir={finished}"]) == 0
    results = json.loads((finished / "results.json").read_text())
    same_scores(json.loads(capsys.readouterr().out)["test"], results["test"])
    test = data.load(make_config()).test
    for number in range(12):
        Image.fromarray(test.images[number]).save(tmp_path / f"{number:02d}.png")
    (tmp_path / "broken.png").write_bytes(b"not a picture")
    command = ["--mode=predict", f"--workdir={finished}", f"--images={tmp_path}"]
    assert main.main(command) == 1
    assert "broken.png" in capsys.readouterr().err
    assert main.main([*command, "--skip_bad_images"]) == 0
    with open(finished / "predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [Path(row["file"]).name for row in rows] == [f"{number:02d}.png" for number in range(12)]
    model = keras.models.load_model(finished / "student.keras", compile=False)
    logits = model.predict(test.images[:12], verbose=0)
    assert [int(row["class"]) for row in rows] == list(logits.argmax(axis=-1))
    best = np.exp(logits).max(axis=-1) / np.exp(logits).sum(axis=-1)
    assert [float(row["probability"]) for row in rows] == pytest.approx(list(best), abs=1e-4)


def test_the_same_command_again_changes_nothing(finished, capsys):
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.is_file()}
    assert main.main([*TINY, f"--workdir={finished}"]) == 0
    assert "holds the finished run: test top-1" in capsys.readouterr().out
    assert before == {path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.is_file()}


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["gone", "cut"])
def test_a_lost_student_is_made_again_from_the_checkpoints(finished, tmp_path, traced, capsys, damage):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    path = run / "student.keras"
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:1000])
    # What the refusal advises is what helps.
    assert main.main(["--mode=evaluate", f"--workdir={run}"]) == 2
    told = capsys.readouterr().err
    assert damage == "gone" or "the command that trained the run makes it again" in told
    assert main.main([*TINY, f"--workdir={run}"], traced) == 0
    assert f"{path} is not as it was written" in capsys.readouterr().err
    np.testing.assert_array_equal(weights(run), weights(finished))
    assert main.main(["--mode=evaluate", f"--workdir={run}"]) == 0
    results = json.loads((finished / "results.json").read_text())
    same_scores(json.loads(capsys.readouterr().out)["test"], results["test"])


def test_sigterm_outside_training_ends_at_once_and_says_what_comes_next(tmp_path):
    script = (
        "import os, signal, sys, time, types; from mpl_tf import main\n"
        "try:\n"
        "    with main._sigterm_ends(types.SimpleNamespace(mode='train', workdir=sys.argv[1])):\n"
        "        os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)\n"
        "except BaseException: print('was raised')"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 75 and done.stdout == ""
    assert done.stderr == (
        "mpl_tf: SIGTERM: stopped outside training; no checkpoint was written yet; the same command starts anew\n"
    )


@pytest.mark.slow
def test_config_json_reproduces_the_run_bit_for_bit(finished, tmp_path, traced):
    assert main.main([f"--config={finished / 'config.json'}", f"--workdir={tmp_path / 'again'}"], traced) == 0
    np.testing.assert_array_equal(weights(tmp_path / "again"), weights(finished))


@pytest.mark.slow
def test_another_method_runs_too(tmp_path, capsys):
    assert main.main([*TINY, "--method=uda", f"--workdir={tmp_path / 'run'}"]) == 0
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["method"] == "uda"
    assert not (tmp_path / "run" / "finetune.csv").exists()
    assert "No GPU or TPU found: 20 steps take about" in capsys.readouterr().out


@pytest.mark.slow
def test_teacher_and_student_may_differ_and_learn_from_the_labeled_images_alone(tmp_path):
    flags = ["--model=narrow_cnn", "--teacher_model=small_cnn", "--unlabeled_source=labeled", "--num_labels=20"]
    assert main.main([*TINY, *flags, f"--workdir={tmp_path / 'run'}"]) == 0
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert (results["model"], results["num_labeled"], results["num_unlabeled"]) == ("narrow_cnn", 20, 20)
    model = keras.models.load_model(tmp_path / "run" / "student.keras", compile=False)
    assert model.name == "narrow_cnn" and "teacher" in results["other_networks"]


@pytest.mark.slow
def test_two_moons_run(tmp_path):
    moons = ["--dataset=two_moons", "--train_steps=100", "--steps_per_epoch=100", "--steps_per_execution=50"]
    assert main.main([*moons, f"--workdir={tmp_path / 'moons'}"]) == 0
    assert json.loads((tmp_path / "moons" / "results.json").read_text())["test"]["n"] == 2000


@pytest.mark.slow
def test_own_folders_run(tmp_path, capsys):
    random = np.random.default_rng(0)
    for part, count in {"labeled/cat": 4, "labeled/dog": 4, "test/cat": 3, "test/dog": 2, "more": 9}.items():
        (tmp_path / part).mkdir(parents=True)
        for number in range(count):
            picture = random.integers(0, 256, size=(12, 14, 3), dtype=np.uint8)
            Image.fromarray(picture).save(tmp_path / part / f"{number}.png")
    (tmp_path / "more" / "bad.jpg").write_bytes(b"")
    own = [f"--{name}_dir={tmp_path / folder}" for name, folder in
           (("labeled", "labeled"), ("unlabeled", "more"), ("test", "test"))]  # fmt: skip
    own += ["--skip_bad_images", "--model=small_cnn", "--image_size=8", "--train_steps=4", "--steps_per_epoch=4"]
    own += ["--labeled_batch=4", "--mu=2", "--finetune_steps=2", "--finetune_batch=4", "--steps_per_execution=1"]
    assert main.main([*own, f"--workdir={tmp_path / 'own'}"]) == 0
    results = json.loads((tmp_path / "own" / "results.json").read_text())
    assert (results["test"]["n"], results["num_labeled"], results["num_unlabeled"]) == (5, 8, 9)
    assert results["class_names"] == ["cat", "dog"]
    assert [Path(path).name for path in results["skipped_images"]] == ["bad.jpg"]
    capsys.readouterr()
    assert main.main([*own, "--image_size=4", f"--workdir={tmp_path / 'small'}"]) == 2
    line = capsys.readouterr().err.strip()
    assert line.startswith("mpl_tf: error: --model: small_cnn takes images of at least 8 x 8 pixels")
    assert line.endswith("give --image_size=8 or more")
    own.remove("--skip_bad_images")
    assert main.main([*own, f"--workdir={tmp_path / 'strict'}"]) == 1
    assert f"{tmp_path / 'more' / 'bad.jpg'}: expected a readable" in capsys.readouterr().err


BAD = [
    (2, "--dataset: expected one of", ["--dataset=nonsense"]),
    (2, "--method: expected one of", ["--method=nonsense"]),
    (2, "--model: expected one of", ["--model=nonsense"]),
    (2, "--scale: expected one of", ["--scale=nonsense"]),
    (2, "--feedback: expected one of", ["--feedback=nonsense"]),
    (2, "nonsense", ["--nonsense=1"]),
    (2, "--labeled_batch: expected at most the 50 labeled examples, got 51", ["--labeled_batch=51"]),
    (2, "--finetune_batch: expected at most the 50 labeled examples, got 51", ["--finetune_batch=51"]),
    (2, "--num_labels: expected at least 200 labeled examples of each class", ["--num_labels=2000"]),
    (2, "--model: mlp takes vectors", ["--model=mlp"]),
    (2, "--teacher_model: expected one of mlp, small_cnn", ["--teacher_model=nonsense"]),
    (2, "--teacher_model: mlp takes vectors", ["--teacher_model=mlp"]),
    (2, "--stochastic_depth: expected 0 with small_cnn", ["--stochastic_depth=0.2"]),
    (2, "--num_labels: mpl needs unlabeled examples, digits_50 has none left", ["--num_labels=0"]),
    (2, "--unlabeled_dir: expected an existing folder", ["--dataset=folder", "--labeled_dir=.", "--test_dir=."]),
    (2, "--accumulate: expected a divisor of --labeled_batch (10), got 3", ["--accumulate=3"]),
    (2, "--strategy: tpu needs a TPU VM", ["--strategy=tpu"]),
    (2, "--workdir: expected the folder of a finished run", ["--mode=evaluate"]),
    (1, "had gradients that are not finite", ["--teacher_learning_rate=1000", "--weight_decay=1000"]),
]


@pytest.mark.parametrize(("status", "message", "flags"), BAD)
def test_bad_input_is_one_line_and_changes_nothing(status, message, flags, tmp_path, capsys):
    workdir = tmp_path / "run"
    assert main.main([*TINY, f"--workdir={workdir}", *flags]) == status
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("mpl_tf: error: ")
    assert message in lines[0]
    assert status == 1 or not workdir.exists()


def test_a_workdir_of_another_run_is_refused_and_kept(finished, capsys):
    before = (finished / "config.json").read_bytes()
    assert main.main([*TINY, "--mu=3", "--seed=1", f"--workdir={finished}"]) == 2
    line = capsys.readouterr().err
    assert "another --seed, --mu" in line
    assert (finished / "config.json").read_bytes() == before


def test_a_workdir_with_other_files_is_refused(tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("mine")
    assert main.main([*TINY, f"--workdir={tmp_path}"]) == 2
    assert "--workdir: expected an empty or new folder" in capsys.readouterr().err


def test_a_data_set_that_is_absent_without_network(tmp_path, capsys, monkeypatch):
    import tensorflow_datasets as tfds

    def refuse(*_, **__):
        raise OSError("Network is unreachable")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", refuse)
    command = ["--dataset=cifar10_4k", "--scale=smoke", f"--data_dir={tmp_path}", f"--workdir={tmp_path / 'run'}"]
    assert main.main(command) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"mpl_tf: error: --data_dir: cifar10 is not in {tmp_path} and its download failed")


def test_slow_imports_wait_until_they_are_used():
    """What a run of digits_50 imports before its first step; scikit-learn and matplotlib come with Keras."""
    modules = "main, data, data.pipeline, methods, run.phase, run.evaluate, run.export, devices.distribute"
    script = "import sys; " + "; ".join(f"import mpl_tf.{name.strip()}" for name in modules.split(","))
    deferred = ("tensorflow_datasets", "keras_cv", "apache_beam")
    script += f"; print([name for name in {deferred} if name in sys.modules])"
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"
