"""Runs on a miniature ImageNet of real photographs: end to end with ReaL, and a shard that is damaged on the way.

Covers: evaluate.py
"""

import json
import shutil
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from mpl_tf import data, main
from mpl_tf.data import pipeline, shards, tfrecord
from mpl_tf.run import evaluate, phase
from mpl_tf.settings import flags
from tests import miniature
from tests.run.test_resume import weights
from tools.sweep import Traced

SMALL = ["--scale=smoke", "--model=narrow_cnn"]  # A network that compiles in a second instead of a minute.


@pytest.mark.slow
def test_imagenet_10_end_to_end_with_real(imagenet_dir, tmp_path, capsys):
    """Its scores are those of the exported student on each test image's middle, the right classes taken by hand."""
    command = ["--dataset=imagenet_10", *SMALL, f"--data_dir={imagenet_dir}", f"--workdir={tmp_path / 'run'}"]
    assert main.main(command) == 0, capsys.readouterr().err
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert (results["num_labeled"], results["num_unlabeled"], results["steps"]) == (16, 48, 10)
    assert results["means"]["norm_feedback"] > 0
    student = keras.models.load_model(tmp_path / "run" / "student.keras", compile=False)
    test = data.load(flags.parse(command)).test
    images, labels = (np.concatenate(part) for part in zip(*test.pieces(7), strict=True))
    best = np.asarray(student(images)).argsort(axis=-1)[:, ::-1]
    assert results["test"]["n"] == 24
    assert results["test"]["top1"] == np.mean(best[:, 0] == labels)
    assert results["test"]["top5"] == np.mean((best[:, :5] == labels[:, None]).any(axis=-1))
    by_image = {
        miniature.jpeg(image): miniature.real_labels(number)
        for number, (image, _) in enumerate(miniature.photographs(24, 2))
    }
    accepted = [by_image[bytes(test.example(number)[0].numpy())] for number in range(24)]
    right = [guess in classes for guess, classes in zip(best[:, 0], accepted, strict=True) if classes]
    assert results["real"] == {"top1": np.mean(right), "n": 16}
    capsys.readouterr()
    assert main.main(["--mode=evaluate", f"--workdir={tmp_path / 'run'}"]) == 0
    assert json.loads(capsys.readouterr().out) == {"test": results["test"], "real": results["real"]}


def test_real_by_hand():
    """Seven images of four classes: two without accepted classes; of the other five three are right."""
    logits = np.eye(4, dtype=np.float32)[[0, 1, 2, 3, 0, 1, 2]]
    accepted = np.array(
        [[1, 0, 0, 0], [1, 0, 1, 1], [0, 0, 1, 1], [0, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0], [0, 1, 0, 0]], bool
    )
    pieces = [(logits[:5], accepted[:5]), (logits[5:], accepted[5:])]
    source = SimpleNamespace(shape=(4,), pieces=lambda size: iter(pieces))
    model = keras.Sequential([keras.Input((4,)), keras.layers.Identity()])  # Its logits are the examples.
    assert evaluate.evaluate_real(model, source, 3) == {"top1": 0.6, "n": 5}


@pytest.fixture
def own_copy(imagenet_dir, tmp_path):
    """A copy of imagenet2012 that a test may damage, and the path of its second training shard."""
    folder = tmp_path / "data" / "imagenet2012"
    shutil.copytree(imagenet_dir / "imagenet2012", folder)
    return folder.parent, folder / miniature.VERSIONS["imagenet2012"] / "imagenet2012-train.tfrecord-00001-of-00003"


@pytest.mark.slow
def test_a_shard_damaged_during_training_is_named_and_the_run_goes_on_from_the_step_before(
    own_copy, tmp_path, capsys, monkeypatch
):
    folder, shard = own_copy
    command = ["--dataset=imagenet", *SMALL, f"--data_dir={folder}", "--train_steps=12", "--steps_per_epoch=12"]
    make = Traced()
    assert main.main([*command, f"--workdir={tmp_path / 'whole'}"], make) == 0
    run, content = tmp_path / "run", shard.read_bytes()
    last = tfrecord.records(shard)[-1]
    training_batches = pipeline.training_batches

    def damaging(*arguments):
        shard.write_bytes(content[: last.offset + 5])
        return training_batches(*arguments)

    capsys.readouterr()
    monkeypatch.setattr(phase.pipeline, "training_batches", damaging)
    assert main.main([*command, f"--workdir={run}"], make) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith(f"mpl_tf: error: {shard}: expected {last.length} bytes at {last.offset}, it ends after 5")
    assert "the same command" in line
    saved = [int(path.name.split("-")[1].split(".")[0]) for path in (run / "checkpoints" / "train").glob("*.index")]
    assert 0 < max(saved) < 12  # In the middle of the run's only epoch.
    monkeypatch.undo()
    assert main.main([*command, f"--workdir={run}"]) == 1  # Told at once, before any step.
    assert f"{shard}: expected an uncompressed TFRecord file, it ends within" in capsys.readouterr().err
    shard.write_bytes(content)
    assert main.main([*command, f"--workdir={run}"], make) == 0
    np.testing.assert_array_equal(weights(run), weights(tmp_path / "whole"))


@pytest.mark.slow
def test_imagenet_jft_learns_from_the_shards_that_the_filter_writes(imagenet_dir, tmp_path, capsys):
    """And is validated on the images that it holds out, which stay in their files."""
    (tmp_path / "kept").mkdir()
    for index in range(2):
        with tf.io.TFRecordWriter(str(tmp_path / "kept" / f"kept.tfrecord-{index:05d}-of-00002")) as writer:
            for number, (image, label) in enumerate(miniature.photographs(6, 3 + index)):
                record = shards.serialize(miniature.jpeg(image), f"{index}/{number}", label, 0.9, 1 + number % 2)
                writer.write(record)
    arguments = [f"--unlabeled_dir={tmp_path / 'kept'}", f"--data_dir={imagenet_dir}", f"--workdir={tmp_path / 'run'}"]
    small = ["--method=pseudo_labels", "--train_steps=2", "--steps_per_epoch=2", f"--store={tmp_path / 'store.npy'}"]
    small += ["--validate_on=held_out", "--keep=best"]
    assert main.main(["--dataset=imagenet_jft", *SMALL, *small, *arguments]) == 0, capsys.readouterr().err
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert (results["num_labeled"], results["num_unlabeled"], results["test"]["n"]) == (44, 12, 24)
    assert (results["validation"]["n"], results["best_val_accuracy"]) == (4, results["validation"]["top1"])
    np.testing.assert_allclose(np.load(tmp_path / "store.npy").sum(axis=1), np.ones(12), rtol=1e-5)
