"""Networks that start from files of weights: PyTorch's names and shapes, the released ones, and what does not fit.

The released weights (../shared) are judged by photographs of scikit-learn and scikit-image.
"""

from pathlib import Path

import keras
import numpy as np
import pytest
import skimage.data
import tensorflow as tf
from PIL import Image
from sklearn.datasets import load_sample_image

from mpl_tf import models
from mpl_tf.base.errors import UsageError
from mpl_tf.models import efficientnet, weights
from tests.models.test_imagenet_networks import unlike

RELEASED = Path(__file__).resolve().parents[3] / "shared" / "data" / "weights" / "efficientnet_lite0_imagenet.npz"
NAME = "efficientnet_lite0"
PARTS = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}


@pytest.mark.parametrize(("number", "millions"), [(0, 4.65), (1, 5.42), (2, 6.09), (3, 8.20), (4, 13.0)])
def test_lite_networks_have_the_published_numbers_of_weights(number, millions):
    with tf.Graph().as_default():
        network = models.build(f"efficientnet_lite{number}", (64, 64, 3), 1000)
    count = sum(int(np.prod(weight.shape)) for weight in network.trainable_weights)
    assert count / 1e6 == pytest.approx(millions, abs=0.01)
    widths = [layer.filters for layer in network.layers if isinstance(layer, keras.layers.Conv2D)]
    assert (widths[0], widths[-1]) == (32, 1280)
    kinds = {layer.get_config()["activation"] for layer in network.layers if isinstance(layer, keras.layers.Activation)}
    assert kinds == {"relu6"} and not any(isinstance(layer, keras.layers.Multiply) for layer in network.layers)


def test_layers_are_named_as_pytorch_names_them_with_and_without_excitation():
    with tf.Graph().as_default():
        lite, plain = (models.build(f"efficientnet_{kind}", (32, 32, 3), 7) for kind in ("lite0", "b0"))
    names = efficientnet.torch_names(lite)
    assert names[:6] == [
        "_conv_stem",
        "_bn0",
        *(f"_blocks.0.{x}" for x in ("_depthwise_conv", "_bn1", "_project_conv")),
    ] + ["_blocks.0._bn2"]
    assert names[6:8] == ["_blocks.1._expand_conv", "_blocks.1._bn0"] and names[-4] == "_blocks.15._bn2"
    found = [name for name in efficientnet.torch_names(plain) if name.startswith("_blocks.15.")]
    parts = ("_expand_conv", "_bn0", "_depthwise_conv", "_bn1", "_se_reduce", "_se_expand", "_project_conv", "_bn2")
    assert found == [f"_blocks.15.{part}" for part in parts]


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(1)
    return models.build(NAME, (32, 32, 3), 5)


@pytest.fixture(scope="module")
def arrays(network):
    """The network's weights as PyTorch would hold them."""
    layers = [layer for layer in network.layers if layer.weights]
    found = {}
    for layer, name in zip(layers, efficientnet.torch_names(network), strict=True):
        for weight in layer.weights:
            value = np.asarray(weight)
            if value.ndim == 4:
                value = value.transpose(*((2, 3, 0, 1) if "depthwise" in name else (3, 2, 0, 1)))
            part = PARTS.get(weight.name, "bias" if weight.name == "bias" else "weight")
            found[f"{name}.{part}"] = value.T if value.ndim == 2 else value
    return found


@pytest.fixture(scope="module")
def other():
    """Of other weights, to be given the file's."""
    keras.utils.set_random_seed(2)
    return models.build(NAME, (32, 32, 3), 5)


def test_a_file_of_pytorchs_names_gives_all_weights(network, arrays, other, tmp_path):
    np.savez(tmp_path / "w.npz", **arrays)
    weights.load(other, NAME, tmp_path / "w.npz")
    for given, expected in zip(other.get_weights(), network.get_weights(), strict=True):
        np.testing.assert_array_equal(given, expected)


def test_a_classifier_of_other_classes_starts_anew_and_is_told(arrays, other, tmp_path, capsys):
    own = other.layers[-1].get_weights()
    fewer = arrays | {"_fc.weight": np.zeros((3, 1280), np.float32), "_fc.bias": np.zeros(3, np.float32)}
    np.savez(tmp_path / "w.npz", **fewer)
    weights.load(other, NAME, tmp_path / "w.npz")
    assert "another number of classes" in capsys.readouterr().out
    np.testing.assert_array_equal(other.layers[-1].get_weights()[0], own[0])
    np.testing.assert_array_equal(other.layers[0 + 1].get_weights()[0].shape, (3, 3, 3, 32))


def test_files_of_keras_give_the_weights_of_the_same_network(tmp_path, capsys):
    networks = [unlike(models.build("narrow_cnn", (8, 8, 3), classes), seed) for seed, classes in enumerate((5, 5, 3))]
    own = networks[2].get_weights()
    networks[0].save(tmp_path / "w.keras")
    networks[0].save_weights(tmp_path / "w.weights.h5")
    for name in ("w.keras", "w.weights.h5"):
        unlike(networks[1], 7)
        for network in networks[1:]:
            weights.load(network, "narrow_cnn", tmp_path / name)
        assert "another number of classes: its classifier is not taken" in capsys.readouterr().out
        for given, expected in zip(networks[1].get_weights(), networks[0].get_weights(), strict=True):
            np.testing.assert_array_equal(given, expected)
        np.testing.assert_array_equal(networks[2].get_weights()[0], networks[0].get_weights()[0])
        np.testing.assert_array_equal(networks[2].get_weights()[-1], own[-1])
    with pytest.raises(UsageError, match="--weights: expected the weights of small_cnn in .*w.weights.h5"):
        weights.load(models.build("small_cnn", (8, 8, 3), 5), "small_cnn", tmp_path / "w.weights.h5")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"_blocks.3._bn1.running_var": None},
            r"expected _blocks\.3\._bn1\.running_var of shape \(144,\) .*got nothing",
        ),
        (
            {"_conv_stem.weight": np.zeros((32, 3, 5, 5))},
            r"_conv_stem\.weight of shape \(32, 3, 3, 3\).*\(32, 3, 5, 5\)",
        ),
        ({"_fc.weight": np.zeros((5, 640))}, r"expected _fc\.weight of shape \(5, 1280\).*got shape \(5, 640\)"),
        (
            {"_blocks.16._bn1.bias": np.zeros(3)},
            r"holds _blocks\.16\._bn1\.bias, which efficientnet_lite0 does not have",
        ),
    ],
)
def test_what_does_not_fit_is_one_line_with_the_file_and_the_first_name(arrays, other, tmp_path, change, told):
    values = {name: value for name, value in (arrays | change).items() if value is not None}
    np.savez(tmp_path / "w.npz", **values)
    with pytest.raises(UsageError, match=f"--weights: .*{told}") as error:
        weights.load(other, NAME, tmp_path / "w.npz")
    assert "w.npz" in str(error.value) and "\n" not in str(error.value)


def test_files_that_are_damaged_or_of_another_network_are_refused(arrays, tmp_path):
    np.savez(tmp_path / "w.npz", **arrays)
    with pytest.raises(UsageError, match="--weights: a .npz file goes with --model=efficientnet_b0,.* got small_cnn"):
        weights.load(models.build("small_cnn", (8, 8, 3), 5), "small_cnn", tmp_path / "w.npz")
    (tmp_path / "w.npz").write_bytes((tmp_path / "w.npz").read_bytes()[:1000])
    with pytest.raises(UsageError, match="--weights: .*cannot read .*w.npz"):
        weights.load(models.build(NAME, (32, 32, 3), 5), NAME, tmp_path / "w.npz")


@pytest.mark.skipif(not RELEASED.exists(), reason="no released weights beside the repository")
def test_the_released_weights_know_the_photographs():
    """Of ImageNet's classes: 985 daisy (the picture is of a dahlia, which ImageNet lacks); 698 palace (a pavilion); 282
    tiger cat; 657 missile (a rocket on its launch pad, a class that ImageNet lacks too); 967 espresso."""
    released = models.build(NAME, (224, 224, 3), 1000)
    weights.load(released, NAME, RELEASED)
    photographs = [load_sample_image(name) for name in ("flower.jpg", "china.jpg")]
    photographs += [skimage.data.cat(), skimage.data.rocket(), skimage.data.coffee()]
    squares = []
    for image in photographs:
        side = int(min(image.shape[:2]) * 0.875)
        top, left = ((length - side) // 2 for length in image.shape[:2])
        square = Image.fromarray(image[top : top + side, left : left + side])
        squares.append(np.asarray(square.resize((224, 224), Image.BICUBIC), np.float32))
    chances = np.asarray(tf.nn.softmax(released((np.stack(squares) - 127) / 128)))
    assert chances.argmax(axis=-1).tolist() == [985, 698, 282, 657, 967]
    assert chances.max(axis=-1) == pytest.approx([0.327, 0.360, 0.385, 0.320, 0.951], abs=0.01)
    # What comes next: bell cote and monastery; Egyptian cat, tabby and lynx; projectile and space shuttle; a cup.
    best = [set(np.argsort(row)[:-6:-1].tolist()) for row in chances]
    assert {442, 663} < best[1] and {285, 281, 287} < best[2] and {744, 812} < best[3] and 968 in best[4]
