"""Exports of a finished run: each format gives student.keras' probabilities and classes, or is not there."""

import json
import zipfile
from unittest.mock import Mock

import keras
import numpy as np
import pytest
from PIL import Image

from mpl_tf import data
from mpl_tf.base import files
from mpl_tf.base.errors import RunError, UsageError
from mpl_tf.data import Dataset, Source
from mpl_tf.models import saved
from mpl_tf.models.layers import BatchNorm
from mpl_tf.run import evaluate, export, formats
from mpl_tf.settings.forms import EXPORTS

NAMES = ("cat", "dog", "caf\udce9")


@pytest.fixture(scope="module")
def dataset():
    """150 test images of 8 x 8."""
    images = np.random.default_rng(0).integers(0, 256, (150, 8, 8, 3), dtype=np.uint8)
    source = Source(images, np.arange(150, dtype=np.int32) % 3)
    return Dataset("own", source, source, source, NAMES, mean=(0.2, 0.4, 0.6), std=(0.5, 0.25, 0.1))


@pytest.fixture
def run(tmp_path, make_config, dataset):
    """The Config of a finished run whose student has a batch norm and images of its own normalisation."""
    layers = [keras.layers.Conv2D(4, 3), BatchNorm(), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3)]
    network = keras.Sequential([keras.Input((8, 8, 3)), *layers])
    random = np.random.default_rng(1)
    network.set_weights([random.uniform(0.5, 1.5, weight.shape) for weight in network.get_weights()])
    export.save(export.deployable(network, dataset), tmp_path / "student.keras", NAMES)
    files.write_json(tmp_path / "results.json", {"steps": 3, "class_names": list(NAMES)})
    return make_config(workdir=tmp_path)


def test_the_formats_are_those_of_the_flag():
    assert tuple(formats.FORMATS) == EXPORTS


def class_names(kind, path):
    """As whoever has the file alone reads them."""
    if kind == "saved_model":
        return json.loads((path / "assets.extra" / "class_names.json").read_text())
    if kind == "tflite":
        return json.loads(zipfile.ZipFile(path).read("class_names.json"))
    import onnx

    (entry,) = onnx.load(path).metadata_props
    return json.loads(entry.value) if entry.key == "class_names" else None


@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter")
@pytest.mark.parametrize("kind", EXPORTS)
def test_an_export_is_the_student(run, dataset, tmp_path, kind, capfd):
    if kind == "onnx":
        for name in ("onnx", "onnxruntime", "tf2onnx"):
            pytest.importorskip(name)
    told = formats.write(run, [kind], dataset)
    path = tmp_path / formats.FORMATS[kind].file
    assert told[kind]["file"] == path.name and told[kind]["n"] == 100 and told[kind]["max_difference"] < 1e-5
    assert files.read_json(tmp_path / "results.json")["exports"] == told
    assert class_names(kind, path) == list(NAMES)
    images = dataset.test.images[:7].astype(np.float32)
    logits = np.asarray(formats.FORMATS[kind].open(path)(images))
    np.testing.assert_allclose(logits, saved.load(tmp_path / "student.keras")(images), rtol=1e-4, atol=1e-4)
    out, _ = capfd.readouterr()
    assert out == f"{path}: probabilities within {told[kind]['max_difference']:.1e} of student.keras on 100 examples\n"
    assert sorted(one.name for one in tmp_path.iterdir()) == sorted(["results.json", "student.keras", path.name])


def test_operations_that_the_converter_leaves_are_named(run, dataset, tmp_path, monkeypatch):
    onnx = pytest.importorskip("onnx")

    def converted(self, path, format, verbose):
        one, two = (onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "xy")
        nodes = [onnx.helper.make_node(name, ["x"], ["y"]) for name in ("Erfc", "Erf", "AnXlaCall", "Erfc")]
        onnx.save(onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", [one], [two])), path)

    monkeypatch.setattr(keras.Model, "export", converted)
    with pytest.raises(RunError) as caught:
        formats.write(run, ["onnx"], dataset)
    told = (
        "expected to export student.keras, got a network with operations that tf2onnx cannot convert, AnXlaCall, Erfc"
    )
    assert str(caught.value) == f"{tmp_path / 'student.onnx'}: {told}; use another format"
    assert not (tmp_path / "student.onnx").exists()


def numbers(path, logits):
    np.save(path.open("wb"), logits)


@pytest.fixture
def plain(monkeypatch, run, dataset, tmp_path):
    """A format whose file holds logits of the checked images, moved by what a test says; a file of before is there."""
    model, kept = saved.load(tmp_path / "student.keras"), {"moved": 0.0, "raised": None}
    checked = formats._of(dataset)
    exact = np.asarray(model(checked.astype(np.float32)))
    (tmp_path / "student.tflite").write_bytes(b"of before")

    def write(model, path, names):
        numbers(path, exact + kept["moved"] * np.array([1, 0, 0]))
        if kept["raised"]:
            raise kept["raised"]

    def opened(path):
        pieces = iter(np.split(np.load(path), 4))
        return lambda examples: next(pieces)

    monkeypatch.setitem(formats.FORMATS, "tflite", formats.Format("student.tflite", write, opened))
    kept["probabilities"] = evaluate.softmax(exact.astype(np.float64))
    return kept


def test_the_difference_is_the_largest_of_a_probability(run, dataset, plain):
    plain["moved"] = 1e-4
    told = formats.write(run, ["tflite"], dataset)["tflite"]
    first = plain["probabilities"][:, 0]
    # To first order the first probability moves by p (1 - p), and no other one by more.
    assert told["max_difference"] == pytest.approx(1e-4 * (first * (1 - first)).max(), rel=1e-2)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"moved": 0.1}, "expected the probabilities of student.keras within 0.001, got some that differ by 0.0"),
        ({"moved": np.nan}, "got some that differ by nan on 100 examples"),
        ({"raised": ValueError("no such\nlayer")}, "expected to export student.keras, got no such; use"),
        ({"raised": KeyboardInterrupt()}, ""),
    ],
)
def test_what_is_wrong_or_cut_off_has_no_name(run, dataset, plain, tmp_path, wrong, told):
    plain.update(wrong)
    with pytest.raises(KeyboardInterrupt if not told else RunError) as caught:
        formats.write(run, ["tflite"], dataset)
    assert told in str(caught.value) and (not told or str(caught.value).startswith(f"{tmp_path / 'student.tflite'}: "))
    assert (tmp_path / "student.tflite").read_bytes() == b"of before"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["results.json", "student.keras", "student.tflite"]
    assert "exports" not in files.read_json(tmp_path / "results.json")


def test_one_that_fails_does_not_hold_up_the_others(run, dataset, plain, tmp_path):
    plain["raised"] = ValueError("no")
    with pytest.raises(RunError, match="^.*student.tflite: expected to export student.keras, got no; use"):
        formats.write(run, ["tflite", "saved_model"], dataset)
    assert list(files.read_json(tmp_path / "results.json")["exports"]) == ["saved_model"]


def test_what_is_missing_is_what_the_present_student_has_not(run, tmp_path, capsys):
    config = run.replace(export="onnx,tflite,onnx")
    assert formats.missing(run) == [] and formats.missing(config) == ["onnx", "tflite"]
    (tmp_path / "student.onnx").write_text("")
    assert formats.missing(config) == ["onnx", "tflite"] and capsys.readouterr().err == ""
    # Of a student that was replaced since, and not asked for now.
    assert formats.missing(run) == []
    told = f"{tmp_path / 'student.onnx'} is of an earlier end of this run; --mode=export --export=onnx makes it anew"
    assert capsys.readouterr().err == f"mpl_tf: {told}\n"
    results = files.read_json(tmp_path / "results.json")
    files.write_json(tmp_path / "results.json", results | {"exports": {"onnx": {}, "tflite": {}}})
    assert formats.missing(config) == ["tflite"]


def test_a_run_of_before_is_checked_on_what_is_left_of_its_images(run, tmp_path):
    folders = {}
    for name, level in (("test_dir", 1), ("validation_dir", 2), ("labeled_dir", 3), ("images", 4)):
        (tmp_path / name / "cat").mkdir(parents=True)
        Image.new("RGB", (8, 8), (level,) * 3).save(tmp_path / name / "cat" / "a.png")
        folders[name] = str(tmp_path / name)
    model = saved.load(tmp_path / "student.keras")
    images = folders.pop("images")
    own = run.replace(dataset="folder", **folders)
    for config, level in ((own.replace(images=images), 4), (run.replace(images=images), 4), (own, 1)):
        assert formats._examples(config, model, NAMES)[0, 0, 0, 0] == level
    (tmp_path / "test_dir").rename(tmp_path / "away")
    assert formats._examples(own, model, NAMES)[0, 0, 0, 0] == 2
    (tmp_path / "validation_dir/cat/a.png").write_bytes(b"")
    with pytest.raises(UsageError, match="--images: expected images to check the export by, none in .*validation_dir"):
        formats._examples(own, model, NAMES)
    for name in ("validation_dir", "labeled_dir"):
        (tmp_path / name).rename(tmp_path / f"{name}_away")
    with pytest.raises(UsageError, match=r"found no .*test_dir or .*validation_dir or .*labeled_dir; give a folder"):
        formats._examples(own, model, NAMES)


def test_a_run_of_a_known_data_set_is_checked_on_its_test_images(run, monkeypatch):
    images = formats._examples(run, None, tuple("0123456789"))
    assert images.shape == (100, 8, 8, 3) and len(np.unique(images, axis=0)) == 100
    for error in (RunError, UsageError):
        monkeypatch.setattr(data, "load_test", Mock(side_effect=error("--data_dir: no data")))
        with pytest.raises(error, match="^--data_dir: no data; or give --images, some images to check the export by$"):
            formats._examples(run, None, NAMES)
