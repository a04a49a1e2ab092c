"""Networks in files: damage is told, and new networks start from their weights."""

import json
import zipfile

import keras
import numpy as np
import pytest

from mpl_tf import main, methods, models
from mpl_tf.base.errors import Interrupted, UsageError
from mpl_tf.models import saved

SHAPE = (8, 8, 3)


def network(seed, name="narrow_cnn", classes=10):
    """A new network of seeded weights."""
    keras.utils.set_random_seed(seed)
    return models.build(name, SHAPE, classes)


@pytest.fixture
def path(tmp_path):
    """A file of a network."""
    network(1).save(tmp_path / "a.keras")
    return tmp_path / "a.keras"


def test_a_saved_network_comes_back(path):
    for found, expected in zip(saved.load(path).get_weights(), network(1).get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert saved.damaged(path) is None


def test_every_flipped_byte_of_the_weights_is_noticed(path):
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("model.weights.h5").header_offset
    for at in np.linspace(start + 100, len(whole) - 1, 25).astype(int):
        content = bytearray(whole)
        content[at] ^= 1
        path.write_bytes(content)
        try:
            loaded = saved.load(path)
        except UsageError as error:
            assert str(error).startswith(f"--workdir: expected a Keras model in {path}, cannot read it (")
        else:  # A byte of the archive's own book-keeping that stands there twice.
            for found, expected in zip(loaded.get_weights(), network(1).get_weights(), strict=True):
                np.testing.assert_array_equal(found, expected)


def test_a_stop_while_it_is_read_is_no_damage(path, monkeypatch):
    def stopped(*_, **__):
        raise Interrupted("SIGTERM")

    for owner, name in ((zipfile.ZipFile, "testzip"), (keras.models, "load_model")):
        with monkeypatch.context() as patched, pytest.raises(Interrupted):
            patched.setattr(owner, name, stopped)
            saved.load(path)


@pytest.mark.parametrize("content", [b"", b"PK", b"no archive", None])
def test_a_file_that_is_no_model_is_one_line(path, content):
    path.write_bytes(path.read_bytes()[:-200] if content is None else content)
    with pytest.raises(UsageError, match="cannot read it.*; give another --teacher$") as told:
        saved.load(path, "teacher")
    with pytest.raises(UsageError, match="; the command that trained the run makes it again$"):
        saved.load(path)
    assert "\n" not in str(told.value)


def test_bytes_that_the_disk_does_not_give_are_told(path, tmp_path):
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(UsageError, match="--weights: .*cannot read it .*Is a directory.*; give another --weights$"):
        saved.check(tmp_path / "folder.npz", "weights")
    saved.check(path.rename(tmp_path / "a.npz"), "weights")


def test_a_network_starts_from_a_saved_one(path):
    new = network(2)
    saved.start_from(new, path, "init_from")
    for found, expected in zip(new.get_weights(), network(1).get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_of_another_number_of_classes_all_but_the_classifier_is_taken(path, capsys):
    new, before = network(2, classes=3), network(2, classes=3).get_weights()
    saved.start_from(new, path, "init_from")
    expected = network(1).get_weights()[:-2] + before[-2:]
    for found, wanted in zip(new.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert "another number of classes" in capsys.readouterr().out


def test_another_network_is_refused(path):
    with pytest.raises(
        UsageError, match="--init_from: expected the .* weights of small_cnn, .* of shape .* instead of"
    ):
        saved.start_from(network(2, "small_cnn"), path, "init_from")


def test_both_networks_of_a_method_start_from_files(make_config, path, tmp_path):
    network(3).save(tmp_path / "b.keras")
    config = make_config(
        model="narrow_cnn", init_from=path, init_teacher_from=tmp_path / "b.keras", ema_decay=0, dropout=0
    )
    method = methods.make(config, SHAPE, 10)
    for role, seed in (("student", 1), ("teacher", 3)):
        for found, expected in zip(
            method.learners()[role].network.get_weights(), network(seed).get_weights(), strict=True
        ):
            np.testing.assert_array_equal(found, expected)


@pytest.mark.slow
def test_a_run_starts_from_the_student_of_another(tmp_path):
    """With no step at a rate above 0 the new run's student is that of the first."""
    flags = ["--dataset=digits_50", "--model=narrow_cnn", "--method=supervised", "--train_steps=10"]
    flags += ["--steps_per_epoch=10", "--ema_decay=0"]
    assert main.main([*flags, f"--workdir={tmp_path / 'a'}"]) == 0
    start = [f"--init_from={tmp_path / 'a' / 'student.keras'}", "--teacher_learning_rate=0", "--weight_decay=0"]
    assert main.main([*flags, *start, f"--workdir={tmp_path / 'b'}"]) == 0
    first, second = (saved.load(tmp_path / name / "student.keras") for name in "ab")
    for found, expected in zip(second.trainable_weights, first.trainable_weights, strict=True):
        np.testing.assert_array_equal(found, expected)
    assert list(json.loads((tmp_path / "b" / "identity.json").read_text())["files"]) == ["init_from"]


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--init_from=nowhere.keras"], "--init_from: expected a Keras model"),
        (["--method=uda", "--init_teacher_from=setup.cfg"], "--init_teacher_from: goes with .*mpl.* got --method=uda"),
        (["--init_from=flags/defaults.flags", "--pretrained=imagenet"], "--init_from: goes without --pretrained"),
    ],
)  # fmt: skip
def test_bad_starts_are_refused_while_parsing(make_config, flags, told):
    with pytest.raises(UsageError, match=told):
        make_config(**dict(flag[2:].split("=") for flag in flags))
