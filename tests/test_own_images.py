"""Whole runs on own images: names that are no text, what is told before training, prediction of a folder or a file."""

import csv
import json
import os
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from mpl_tf import main
from mpl_tf.data import folder
from mpl_tf.models import saved

# A class in another script, one whose name is no UTF-8, and one with a dollar sign.
CLASSES = ("猫", "caf\udce9", "US$ and C$")
TINY = ["--method=supervised", "--model=small_cnn", "--image_size=8", "--train_steps=2", "--steps_per_epoch=2"]
TINY += ["--labeled_batch=3", "--finetune_steps=0", "--steps_per_execution=1"]


def picture(path, number):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 256, (9, 11, 3), np.uint8)
    with open(path, "wb") as file:  # Pillow makes an ending of the name, which it would not of these.
        Image.fromarray(pixels).save(file, "PNG")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """(folder of the images, workdir, what the run printed)."""
    root = tmp_path_factory.mktemp("own")
    for label, name in enumerate(CLASSES):
        for number in range(3):
            picture(root / "labeled" / name / f"{number}\udcff.png", 10 * label + number)
        picture(root / "test" / name / "0.png", 50 + label)
    (root / "labeled" / CLASSES[0] / "notes.txt").write_text("no image")
    (root / "labeled" / ".ipynb_checkpoints").mkdir()
    (root / "test" / "list.csv").write_text("no image")
    clear = Image.new("RGBA", (9, 11), (0, 0, 0, 0))
    clear.putpixel((3, 3), (9, 9, 9, 255))
    clear.save(root / "labeled" / CLASSES[0] / "clear.png")
    return root


def command(root, workdir, *more):
    folders = [f"--labeled_dir={root / 'labeled'}", f"--test_dir={root / 'test'}"]
    return [*folders, *TINY, f"--workdir={workdir}", *more]


@pytest.fixture(scope="module")
def finished(run, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run") / "run"
    assert main.main(command(run, workdir)) == 0
    return workdir


def test_classes_and_what_is_passed_over_are_told_before_training(run, tmp_path, capsys):
    assert main.main(command(run, tmp_path / "run")) == 0
    lines = capsys.readouterr().out.splitlines()
    about = next(number for number, line in enumerate(lines) if line.startswith("supervised on folder: 10 labeled"))
    before = lines[:about]
    assert "--labeled_dir: passed over what is no image: 1 .txt, 1 hidden" in before
    (counts,) = (line for line in before if line.startswith("3 classes"))
    assert "猫 4 + 1" in counts and "US$ and C$ 3 + 1" in counts and r"caf\udce9 3 + 1" in counts


def test_results_hold_the_names_as_they_are(finished):
    results = json.loads((finished / "results.json").read_text())
    assert results["class_names"] == sorted(CLASSES)
    with Image.open(finished / "confusion_matrix.png") as drawn:
        assert drawn.width >= 400


def test_evaluation_tells_beside_its_json(finished, capsys):
    assert main.main(["--mode=evaluate", f"--workdir={finished}"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["test"]["n"] == 3 and "--test_dir: passed over what is no image: 1 .csv" in err
    assert "3 classes, test examples of each: US$ and C$ 1, " in err


@pytest.fixture
def alone(run, finished, tmp_path):
    """A copy of the test folder, the training folder being away meanwhile."""
    test = shutil.copytree(run / "test", tmp_path / "moved")
    (run / "labeled").rename(run / "away")
    yield test
    (run / "away").rename(run / "labeled")


def test_evaluation_needs_the_test_images_alone(finished, alone, capsys):
    """The score is that of the end of training, and nothing is told but what the test folder holds."""
    gone = ["--unlabeled_dir=gone", "--init_from=gone.keras"]
    assert main.main(["--mode=evaluate", f"--workdir={finished}", f"--test_dir={alone}", *gone]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["test"] == json.loads((finished / "results.json").read_text())["test"]
    assert "mpl_tf:" not in err
    assert main.main(["--mode=predict", f"--workdir={finished}", f"--images={alone}", "--init_from=gone.keras"]) == 0


@pytest.mark.slow
def test_an_export_at_the_end_and_after_it(run, finished, alone, tmp_path, capsys):
    """At the end it is checked on the test images at hand, later on those that --test_dir has now."""
    copy = shutil.copytree(finished, tmp_path / "copy")
    export = ["--mode=export", f"--workdir={copy}", "--export=saved_model"]
    assert main.main([*export, f"--test_dir={alone}"]) == 0
    assert "student_saved_model: probabilities within " in capsys.readouterr().out
    (run / "away").rename(run / "labeled")
    workdir = tmp_path / "run"
    assert main.main(command(run, workdir, "--export=saved_model")) == 0
    (run / "labeled").rename(run / "away")
    assert capsys.readouterr().out.endswith(" of student.keras on 3 examples\n")
    for place in (copy, workdir):
        about = json.loads((place / "results.json").read_text())["exports"]["saved_model"]
        assert about["n"] == 3 and about["max_difference"] < 1e-5
        names = json.loads((place / "student_saved_model" / "assets.extra" / "class_names.json").read_text())
        assert names == sorted(CLASSES)
    assert main.main([*export, f"--test_dir={tmp_path / 'gone'}", f"--images={tmp_path}"]) == 0


def test_evaluation_takes_the_classes_from_the_record_and_tells_other_images(finished, alone, capsys):
    """A class without test images keeps its number, so that the other two are scored as before."""
    shutil.rmtree(alone / CLASSES[0])
    assert main.main(["--mode=evaluate", f"--workdir={finished}", f"--test_dir={alone}"]) == 0
    out, err = capsys.readouterr()
    rows = {Path(row["file"]).parent.name: row["class"] for row in predicted(finished, alone)}
    right = [rows[name] == name for name in (CLASSES[1], CLASSES[2])]
    assert json.loads(out)["test"]["top1"] == np.mean(right) and len(rows) == 2
    assert "other test data than when the run was trained: test examples: 3 before, 2 now" in err
    picture(alone / "zebra" / "0.png", 1)
    assert main.main(["--mode=evaluate", f"--workdir={finished}", f"--test_dir={alone}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("mpl_tf: error: --test_dir: class zebra has no place among the run's classes US$ and C$, ")


def test_evaluation_without_the_record_of_the_classes(finished, alone, tmp_path, capsys):
    copy = shutil.copytree(finished, tmp_path / "copy")
    command = ["--mode=evaluate", f"--workdir={copy}", f"--test_dir={alone}"]
    (copy / "identity.json").unlink()
    assert main.main(command) == 0
    assert json.loads(capsys.readouterr().out)["test"] == json.loads((copy / "results.json").read_text())["test"]
    (copy / "results.json").unlink()
    assert main.main(command) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"expected the run's classes in identity.json or results.json, found neither in {copy}; " in line


def predicted(workdir, images):
    assert main.main(["--mode=predict", f"--workdir={workdir}", f"--images={images}"]) == 0
    return predictions(workdir)


def predictions(workdir):
    with open(workdir / "predictions.csv", newline="", encoding="utf-8", errors="surrogateescape") as file:
        return list(csv.DictReader(file))


def test_prediction_counts_what_it_passes_over_and_keeps_every_name(finished, tmp_path, capsys):
    picture(tmp_path / "a.png", 1)
    picture(tmp_path / "deep" / "caf\udce9 猫.PNG", 2)
    picture(tmp_path / ".hidden" / "b.png", 3)
    (tmp_path / "c.heic").write_bytes(b"x")
    (tmp_path / "d.heic").write_bytes(b"x")
    assert main.main(["--mode=predict", f"--workdir={finished}", f"--images={tmp_path}"]) == 0
    assert "--images: passed over what is no image: 2 .heic, 1 hidden" in capsys.readouterr().out
    rows = predictions(finished)
    assert [row["file"] for row in rows] == [str(tmp_path / "a.png"), str(tmp_path / "deep" / "caf\udce9 猫.PNG")]
    assert {row["class"] for row in rows} <= set(CLASSES)
    raw = (finished / "predictions.csv").read_bytes()
    assert os.fsencode(tmp_path / "deep") + b"/caf\xe9 \xe7\x8c\xab.PNG" in raw


def test_a_single_file_may_be_predicted(finished, tmp_path, capsys):
    path = tmp_path / "scan"  # Its name says nothing.
    picture(path, 4)
    assert main.main(["--mode=predict", f"--workdir={finished}", f"--images={path}"]) == 0
    assert [row["file"] for row in predictions(finished)] == [str(path)]
    assert "1 images labeled, 0 unreadable ones left out" in capsys.readouterr().out
    assert main.main(["--mode=predict", f"--workdir={finished}", f"--images={tmp_path / 'gone.png'}"]) == 2
    expected = f"a folder of images, an image or a CSV file of their paths, found no {tmp_path / 'gone.png'}"
    assert capsys.readouterr().err == f"mpl_tf: error: --images: expected {expected}\n"


def test_where_nothing_can_be_read_nothing_is_labeled(finished, tmp_path, capsys):
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(b"")
    flags = ["--mode=predict", f"--workdir={finished}", f"--images={tmp_path}"]
    assert main.main(flags) == 1
    assert capsys.readouterr().err.startswith("mpl_tf: error: 3 images: expected readable ")
    assert main.main([*flags, "--skip_bad_images"]) == 2
    assert f"--images: none of the 3 images in {tmp_path} could be read" in capsys.readouterr().err


def test_the_background_is_a_flag(run, tmp_path, capsys, make_config):
    from mpl_tf import data

    found = {}
    for colour in ("white", "black", "#ff8000"):
        values = {"labeled_dir": run / "labeled", "test_dir": run / "test", "image_size": 8, "labeled_batch": 3}
        dataset = data.load(make_config("folder", method="supervised", finetune_batch=3, background=colour, **values))
        clear = dataset.labeled.images[dataset.labeled.labels == dataset.class_names.index(CLASSES[0])][-1]
        found[colour] = clear[-1, -1].tolist()
    assert found == {"white": [255, 255, 255], "black": [0, 0, 0], "#ff8000": [255, 128, 0]}
    assert main.main(command(run, tmp_path / "run", "--background=green")) == 2
    assert "--background: expected white, black or #rrggbb, as in #ff8000, got green" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", ["splits", "same", "copies"])
def test_folders_that_are_not_what_they_seem_are_refused_before_training(run, tmp_path, wrong, capsys):
    if wrong == "splits":
        folders = [f"--labeled_dir={tmp_path / 'data'}", f"--test_dir={run / 'test'}"]
        for number, name in enumerate(("train/猫", "val/猫")):
            picture(tmp_path / "data" / name / "0.png", number)
        told = "--labeled_dir: expected one folder a class in "
    elif wrong == "same":
        folders, told = (
            [f"--test_dir={run / 'labeled'}"],
            "--test_dir: expected other images than those of --labeled_dir",
        )
    else:
        for path in (run / "labeled").rglob("*.png"):
            copy = tmp_path / "test" / path.relative_to(run / "labeled")
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
        folders, told = [f"--test_dir={tmp_path / 'test'}"], "got a copy of each"
    assert main.main([*command(run, tmp_path / "run"), *folders]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and told in lines[0] and not Path(tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize("how", ["--validation_fraction=0.4", "--validation_dir"])
def test_a_run_without_test_images_has_validation_scores_alone(run, tmp_path, capsys, how):
    """The last epoch's column is the student's score, and the test images may come later."""
    given = how if "=" in how else f"{how}={run / 'test'}"
    workdir = tmp_path / "run"
    folders = [flag for flag in command(run, workdir) if not flag.startswith("--test_dir")]
    assert main.main([*folders, given]) == 0
    out, found = capsys.readouterr().out, json.loads((workdir / "results.json").read_text())
    count = 3 if "dir" in how else 4  # 0.4 of classes of 3, 3 and 4: one and one, and 1.6 are two.
    assert "test" not in found and found["validation"]["n"] == count
    assert out.splitlines()[-1].startswith("validation top-1 ") and f" on {count} examples; no test images; " in out
    assert f"{found['num_labeled']} labeled, 0 unlabeled, {count} validation, 0 test examples" in out
    with open(workdir / "metrics.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    assert float(row["val_accuracy"]) == found["validation"]["top1"]
    # Another share is another run; other test images are told, and scored when they are there.
    assert main.main([*folders, "--validation_fraction=0.5"]) == 2
    assert "--validation_fraction" in capsys.readouterr().err
    assert main.main(["--mode=evaluate", f"--workdir={workdir}"]) == 2
    assert capsys.readouterr().err.endswith("--test_dir: expected an existing folder of images, got nothing\n")
    assert main.main(["--mode=evaluate", f"--workdir={workdir}", f"--test_dir={run / 'test'}"]) == 0
    scored = json.loads(capsys.readouterr().out)["test"]
    assert scored["n"] == 3 and (scored == found["validation"]) is ("dir" in how)


@pytest.mark.slow
def test_validation_leaves_training_as_it_is(run, finished, tmp_path):
    assert (
        main.main(command(run, tmp_path / "run", f"--validation_dir={shutil.copytree(run / 'test', tmp_path / 'v')}"))
        == 0
    )
    plain, validated = (
        keras.models.load_model(folder / "student.keras", compile=False).get_weights()
        for folder in (finished, tmp_path / "run")
    )
    for one, two in zip(plain, validated, strict=True):
        np.testing.assert_array_equal(one, two)
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["test"] == results["validation"] == json.loads((finished / "results.json").read_text())["test"]


@pytest.mark.slow
def test_a_run_goes_on_to_the_bit_where_its_images_fit_into_memory_no_more(run, tmp_path, monkeypatch, capsys):
    """Two steps in memory and two from files are four in memory; --num_labels makes the others unlabeled."""
    more = ["--method=fixmatch", "--num_labels=3", "--mu=2", "--schedule=constant", "--teacher_warmup_steps=0"]
    more += ["--uda_threshold=0.1", "--steps_per_epoch=2", "--randaugment_ops=0", "--cutout=0"]
    assert main.main(command(run, tmp_path / "whole", *more, "--train_steps=4")) == 0
    assert main.main(command(run, tmp_path / "parts", *more, "--train_steps=2")) == 0
    assert "read from their files" not in capsys.readouterr().out
    monkeypatch.setattr(folder, "MEMORY_SHARE", 0)
    assert main.main(command(run, tmp_path / "parts", *more, "--train_steps=4")) == 0
    out, err = capsys.readouterr()
    told = [line.split()[0] for line in out.splitlines() if "read from their files while the run goes on" in line]
    assert told == ["labeled", "test", "unlabeled"] and "test data" not in err
    weights = [saved.load(tmp_path / name / "student.keras").get_weights() for name in ("whole", "parts")]
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)
    results = [json.loads((tmp_path / name / "results.json").read_text()) for name in ("whole", "parts")]
    assert results[0]["test"] == results[1]["test"] and results[1]["num_unlabeled"] == 7
    # The same command scores it by its files too.
    assert main.main(["--mode=evaluate", f"--workdir={tmp_path / 'parts'}"]) == 0
    assert json.loads(capsys.readouterr().out)["test"] == results[0]["test"]


@pytest.mark.slow
def test_a_file_met_while_training_ends_the_run_or_is_left_out(run, tmp_path, monkeypatch, capsys):
    """The same command goes on once it is asked to leave it out."""
    monkeypatch.setattr(folder, "MEMORY_SHARE", 0)
    root = tmp_path / "images"
    shutil.copytree(run, root)
    (root / "labeled" / CLASSES[0] / "clear.png").write_bytes(b"no image")
    workdir, more = tmp_path / "run", ["--steps_per_epoch=1", "--train_steps=4", "--save_minutes=0"]
    assert main.main(command(root, workdir, *more)) == 1
    (line,) = (line for line in capsys.readouterr().err.splitlines() if "error" in line)
    assert "clear.png: expected a readable JPEG" in line and "mend it, or add --skip_bad_images; the same" in line
    assert main.main(command(root, workdir, *more, "--skip_bad_images")) == 0
    err = capsys.readouterr().err
    assert "clear.png: expected a readable" in err and "1 unreadable images were met and left out; " in err
    results = json.loads((workdir / "results.json").read_text())
    assert [Path(name).name for name in results["skipped_images"]] == ["clear.png"] and results["num_labeled"] == 10
