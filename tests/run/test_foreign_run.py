"""Whole runs of networks of other libraries, on own images; their weights are saved here.

Covers: features.py, extraction.py
"""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from mpl_tf import main
from mpl_tf.models import foreign
from tests import foreign_miniatures as miniatures
from tests.foreign_miniatures import SIDE
from tests.models.test_imagenet_networks import unlike

STEPS = [
    "--train_steps=4",
    "--steps_per_epoch=2",
    "--finetune_steps=2",
    "--labeled_batch=8",
    "--finetune_batch=8",
    "--mu=1",
]
STEPS += ["--teacher_warmup_steps=0", "--student_wait_steps=0", "--student_warmup_steps=0", "--randaugment_ops=1"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Flags of own images of two classes, light and dark, with noise."""
    root, random = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for part, count in (("labeled", 8), ("more", 12), ("test", 6)):
        for number in range(2 * count):
            folder = root / part if part == "more" else root / part / ("dark", "light")[number % 2]
            folder.mkdir(parents=True, exist_ok=True)
            pixels = random.integers(0, 100, (SIDE, SIDE, 3)) + 120 * (number % 2)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    flags = [f"--{name}_dir={root / part}" for name, part in (("labeled", "labeled"), ("unlabeled", "more"))]
    return ["--dataset=folder", *flags, f"--test_dir={root / 'test'}", f"--image_size={SIDE}"]


@pytest.fixture
def pretrained(monkeypatch, tmp_path):
    """A function (name) -> flags of a miniature that starts from a file."""

    def make(name):
        monkeypatch.setattr(foreign, "body", miniatures.body)
        path = tmp_path / f"{name.replace(':', '_')}.weights.h5"
        unlike(miniatures.body(name, (SIDE, SIDE, 3)), 2).save_weights(path)
        return [f"--model={name}", f"--weights={path}"]

    return make


def pixels(folders):
    """The test images, uint8 [12, SIDE, SIDE, 3]."""
    return np.stack([np.asarray(Image.open(path)) for path in sorted(of_test(folders).rglob("*.png"))])


def of_test(folders):
    """The folder of --test_dir."""
    return Path(next(flag for flag in folders if flag.startswith("--test_dir=")).partition("=")[2])


@pytest.mark.parametrize("name", ["keras:ResNet50", pytest.param("keras_cv:efficientnetv2_b0", marks=pytest.mark.slow)])
@pytest.mark.slow
def test_a_head_on_stored_features_is_exported_with_the_network_from_pixels_on(name, folders, pretrained, tmp_path):
    """The student's logits are its head's on the features that the library gives of the pixels."""
    flags = [*folders, *pretrained(name), *STEPS, "--freeze=backbone", "--feature_views=1,1", "--method=uda"]
    assert main.main([*flags, f"--workdir={tmp_path / 'run'}"]) == 0
    student = keras.models.load_model(tmp_path / "run" / "student.keras", compile=False)
    images = pixels(folders)
    source = unlike(miniatures.body(name, (SIDE, SIDE, 3)), 2)
    x = images.astype(np.float32)
    if name.startswith("keras:"):
        x = keras.applications.resnet50.preprocess_input(x)
    features = np.asarray(source(x, training=False))
    features = features.mean(axis=(1, 2)) if features.ndim == 4 else features
    kernel, bias = student.get_weights()[-2:]
    expected = features @ kernel + bias
    np.testing.assert_allclose(student(images), expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())
    stores = [path.name for path in (tmp_path / "run" / "features").glob("*.npy")]
    assert len(stores) >= 3 and all(f"folder-{name.replace(':', '_')}-" in store for store in stores)


@pytest.mark.slow
@pytest.mark.parametrize(("method", "freeze"), [("mpl", "none"), ("mpl", "batch_norm"), ("pseudo_labels", "none")])
def test_a_foreign_student_learns_from_a_teacher_of_the_program_and_is_scored_from_its_file(
    method, freeze, folders, pretrained, tmp_path, capsys
):
    """Its file of weights is not the teacher's, be that fixed or taught."""
    flags = [*folders, *pretrained("keras_cv:efficientnetv2_b0"), *STEPS, "--teacher_model=small_cnn"]
    run = f"--workdir={tmp_path / 'run'}"
    flags += [f"--method={method}", f"--freeze={freeze}", "--backbone_rate=0.1"]
    assert main.main([*flags, run, *(["--feedback=exact"] if method == "mpl" else [])]) == 0
    told = json.loads((tmp_path / "run" / "results.json").read_text())
    assert told["test"]["n"] == 12
    capsys.readouterr()
    assert main.main([run, "--mode=evaluate"]) == 0
    assert json.loads(capsys.readouterr().out)["test"]["loss"] == pytest.approx(told["test"]["loss"], rel=1e-5)
    assert main.main([run, "--mode=predict", f"--images={of_test(folders)}"]) == 0
    assert len((tmp_path / "run" / "predictions.csv").read_text().splitlines()) == 13


def test_weights_that_cannot_be_downloaded_leave_no_run_behind(folders, monkeypatch, tmp_path, capsys):
    def offline(weights, input_shape, **_):
        if weights:
            raise OSError("URL fetch failure on https://example.org/resnet50_notop.h5: None -- no route to host")
        return miniatures.body("keras:ResNet50", input_shape)

    offline.__module__ = keras.applications.ResNet50.__module__  # Where its preprocess_input is.
    monkeypatch.setattr(keras.applications, "ResNet50", offline)
    run = tmp_path / "run"
    flags = [*folders, *STEPS, "--model=keras:ResNet50", "--pretrained=imagenet", f"--workdir={run}", "--method=uda"]
    for more in ([], ["--freeze=backbone"]):
        assert main.main([*flags, *more]) == 1
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert "or bring resnet50_notop.h5 and give --weights=resnet50_notop.h5 in its place" in line
        assert not run.exists()
