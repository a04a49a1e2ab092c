"""Networks of other libraries that start from weights: of files in every form, and downloaded.

Covers: pretrained.py, saved.py, weights.py
"""

import h5py
import keras
import numpy as np
import pytest

from mpl_tf.base.errors import RunError, UsageError
from mpl_tf.models import foreign, pretrained, saved, weights
from tests import foreign_miniatures as miniatures
from tests.foreign_miniatures import SIDE
from tests.models.test_imagenet_networks import unlike

KERAS, KERAS_CV = (
    "keras:EfficientNetB0",
    "keras_cv:efficientnetv2_b0",
)  # With statistics of its inputs; with nested norms.


@pytest.fixture
def network(monkeypatch):
    """A function (name, classes=3) -> a new miniature."""
    return lambda name, classes=3: miniatures.network(name, classes, monkeypatch=monkeypatch)


def body(name):
    """The library's own network, its weights drawn; statistics of inputs as a released file has them."""
    return unlike(miniatures.body(name, (SIDE, SIDE, 3)), 5)


def numbers(model):
    return [np.asarray(weight) for weight in saved._weights(model)]


def same(found, expected):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", [KERAS, pytest.param(KERAS_CV, marks=pytest.mark.slow)])
@pytest.mark.parametrize("file", ["w.keras", "w.weights.h5"])
@pytest.mark.slow
def test_files_of_the_whole_network_and_of_the_librarys_give_their_weights(name, file, network, tmp_path, capsys):
    path = tmp_path / file
    whole, theirs = unlike(network(name), 4), body(name)
    for source, classes, kept, told in (
        (whole, 3, 0, ""),
        (whole, 4, 2, "another number of classes: its classifier is not taken"),
        (theirs, 3, 2, "no classifier: a new one is taken"),
    ):
        (source.save if file == "w.keras" else source.save_weights)(path)
        made = network(name, classes)
        own = made.get_weights()
        weights.load(made, name, path)
        expected = numbers(source)
        expected = expected if not kept else [*expected[: len(own) - 2], *own[-2:]]
        same(made.get_weights(), expected)
        assert told in capsys.readouterr().out
    if file == "w.keras":  # --init_from takes them too.
        made = network(name)
        saved.check_start(made, path, "init_from")
        saved.start_from(made, path, "init_from")
        same(made.get_weights()[:-2], numbers(theirs))


def test_a_file_of_keras_applications_without_top_gives_the_body(network, monkeypatch, tmp_path):
    """As its releases are written, and as --weights is told to bring it."""
    from keras.src.legacy.saving import legacy_h5_format

    theirs, path = body(KERAS), tmp_path / "efficientnetb0_notop.h5"
    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, theirs)
    made = network(KERAS)

    def from_file(name, shape, weights=None):
        source = miniatures.body(name, shape)
        if weights:
            source.load_weights(weights)
        return source

    monkeypatch.setattr(foreign, "body", from_file)
    weights.load(made, KERAS, path)
    same(made.get_weights()[:-2], numbers(theirs))
    for name in (KERAS_CV, "small_cnn"):
        with pytest.raises(UsageError, match=f"^--weights: a .h5 file goes with --model=keras:NAME, got {name}"):
            weights.load(made, name, path)


@pytest.mark.parametrize("file", ["w.keras", "w.weights.h5", "w.h5", "w.npz"])
def test_files_of_other_networks_and_damaged_ones_are_one_line(file, network, tmp_path):
    path = tmp_path / file
    if file in ("w.keras", "w.weights.h5"):
        other = network("keras:ResNet50")
        (other.save if file == "w.keras" else other.save_weights)(path)
    else:
        path.write_bytes(b"no weights at all")
    with pytest.raises(UsageError, match="^--weights: ") as error:
        weights.load(network(KERAS), KERAS, path)
    assert "\n" not in str(error.value) and len(str(error.value)) < 500


def test_downloaded_weights_are_the_librarys_and_the_classifier_is_new(network, monkeypatch):
    made, theirs = network(KERAS), body(KERAS)
    own, asked = made.get_weights(), []
    monkeypatch.setattr(foreign, "body", lambda *arguments: asked.append(arguments) or theirs)
    pretrained.load(made, KERAS)
    assert asked == [(KERAS, (SIDE, SIDE, 3), "imagenet")]
    same(made.get_weights(), [*numbers(theirs), *own[-2:]])
    pretrained.fetch(KERAS)
    pretrained.fetch("cnn13")  # Nothing to download.
    assert len(asked) == 2


def test_a_download_that_fails_says_which_file_to_bring(monkeypatch):
    url = "https://example.org/models/efficientnetb0_notop.h5"

    def unreachable(*_, **__):
        raise OSError(f"URL fetch failure on {url}: None -- no route\nto host")

    monkeypatch.setattr(keras.applications, "EfficientNetB0", unreachable)
    with pytest.raises(RunError) as error:
        pretrained.fetch(KERAS)
    assert str(error.value) == (
        f"--pretrained: expected to download the ImageNet weights of {KERAS}, got URL fetch failure on {url}: None -- "
        "no route; connect to the network, or bring efficientnetb0_notop.h5 and give --weights=efficientnetb0_notop.h5 "
        "in its place, or leave --pretrained out"
    )
    import keras_cv

    monkeypatch.setattr(keras_cv.models.ResNetBackbone, "from_preset", unreachable)
    brought = (
        "or bring model.weights.h5 of keras/resnetv1/keras/resnet50_imagenet/2 and give --weights=model.weights.h5"
    )
    with pytest.raises(RunError, match=brought):
        pretrained.fetch("keras_cv:resnet50")
