"""ResNet-50 and the EfficientNets: sizes, and the forward pass against keras.applications with the same weights.

Covers: efficientnet.py, pretrained.py, resnet.py
"""

import dataclasses
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from mpl_tf import methods, models
from mpl_tf.base.errors import RunError, UsageError
from mpl_tf.data import Dataset, Source
from mpl_tf.models import efficientnet, layers, pretrained, resnet
from mpl_tf.run import export
from mpl_tf.settings.catalogue import NETWORKS

# Trainable weights with 1,000 classes: of keras.applications, and of the papers in millions.
COUNTS = {"resnet_50": (25_557_032, 25.5), "efficientnet_b0": (5_288_548, 5.3)}


class Recording:
    """A namespace of layers that notes which it gave."""

    def __init__(self):
        self.given = []

    def __getattr__(self, name):
        self.given.append(name)
        return getattr(layers, name)


def trainable(network):
    """Number of trainable weights."""
    return sum(math.prod(weight.shape) for weight in network.trainable_weights)


@pytest.mark.parametrize("name", COUNTS)
def test_counts_are_those_of_keras_applications_and_the_papers(name):
    recording = Recording()
    with tf.Graph().as_default():
        found = trainable(models.build(name, (64, 64, 3), 1000, layers=recording))
    assert recording.given.count("Input") == 1
    exact, millions = COUNTS[name]
    assert found == exact
    assert found / 1e6 == pytest.approx(millions, rel=0.01)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "exact", "millions"),
    [("l2", 480_309_308, 480), ("b6_wide_390m", 389_308_520, 390), ("b6_wide", 316_649_180, 316.6)],
)
def test_the_large_networks_are_counted_without_memory(name, exact, millions):
    """B6-Wide's factors in the paper (5.0, 2.6) do not make the 390 M weights that it states; 5.55 does."""
    with tf.Graph().as_default():
        network = models.build(f"efficientnet_{name}", (64, 64, 3), 1000)
    assert trainable(network) == exact
    assert exact / 1e6 == pytest.approx(millions, rel=0.01)
    with pytest.raises(TypeError, match="out of scope"):  # A variable of a graph has no value outside a session.
        network.weights[0].numpy()


@pytest.mark.parametrize(("count", "width", "expected"), [(32, 1.1, 32), (40, 1.1, 48), (16, 0.25, 8), (24, 4.3, 104)])
def test_channels_are_the_nearest_multiple_of_8_but_no_tenth_less(count, width, expected):
    assert efficientnet.channels(count, width) == expected


# ---- The forward pass -------------------------------------------------------------------------------------------


def unlike(network, seed):
    """Draw all weights anew, gates and norms away from 0 and 1, but so that no activation vanishes or explodes."""
    random = np.random.default_rng(seed)
    values = []
    for weight in network.weights:
        if weight.name in ("gamma", "moving_variance"):
            values.append(random.uniform(0.5, 1.5, weight.shape))
        elif "kernel" in weight.name:
            fans = math.prod(weight.shape[:-2]) * (1 if "depthwise" in weight.path else weight.shape[-2])
            values.append(random.normal(0, fans**-0.5, weight.shape))
        else:
            values.append(random.normal(0, 0.1, weight.shape))
    network.set_weights(values)
    return network


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(64, 96), (65, 47)])
def test_efficientnet_b0_has_the_logits_of_keras_applications(shape):
    """Keras' own normalisation of the input is set to none."""
    theirs = keras.applications.EfficientNetB0(weights=None, input_shape=(*shape, 3), classifier_activation=None)
    unlike(theirs, 0)
    next(x for x in theirs.layers if isinstance(x, keras.layers.Normalization)).set_weights(
        [np.zeros(3), np.ones(3), np.zeros((), np.int64)]
    )
    ours = models.build("efficientnet_b0", (*shape, 3), 1000)
    pretrained.transfer(theirs, ours)
    for weight, other in zip(ours.weights, theirs.weights[3:], strict=True):
        np.testing.assert_array_equal(weight, other)
    x = np.random.default_rng(1).normal(size=(2, *shape, 3)).astype(np.float32)
    expected = np.asarray(theirs(255 * x))
    np.testing.assert_allclose(ours(x), expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def moved(layer):
    """A layer of keras.applications.ResNet50 with its stride moved to the 3 x 3, and with SAME padding."""
    config = layer.get_config()
    if layer.name in [f"conv{stage}_block1_1_conv" for stage in (3, 4, 5)]:
        config["strides"] = (1, 1)
    if layer.name in [f"conv{stage}_block1_2_conv" for stage in (3, 4, 5)]:
        config["strides"] = (2, 2)
    if isinstance(layer, keras.layers.ZeroPadding2D):
        config["padding"] = {"conv1_pad": ((2, 3), (2, 3)), "pool1_pad": ((0, 1), (0, 1))}[layer.name]
    return type(layer).from_config(config)


@pytest.mark.slow
def test_resnet_50_has_the_logits_of_keras_applications_where_they_agree():
    """The reference's strides and padding are made ours first; its biases, epsilon and colours stay."""
    theirs = unlike(keras.applications.ResNet50(weights=None, classifier_activation=None), 0)
    ours = models.build("resnet_50", (64, 96, 3), 1000)
    pretrained.transfer(theirs, ours)
    reference = keras.models.clone_model(theirs, clone_function=moved, input_tensors=keras.Input((64, 96, 3)))
    for layer in reference.layers[1:]:
        layer.set_weights(theirs.get_layer(layer.name).get_weights())
    x = np.random.default_rng(1).normal(size=(2, 64, 96, 3)).astype(np.float32)
    expected = np.asarray(reference((255 * x * np.array([0.229, 0.224, 0.225], np.float32))[..., ::-1]))
    np.testing.assert_allclose(ours(x), expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_a_classifier_of_other_classes_keeps_its_own_weights():
    def network(classes):
        return keras.Sequential(
            [keras.Input((5, 5, 3)), keras.layers.Conv2D(2, 3), keras.layers.Flatten(), keras.layers.Dense(classes)]
        )

    theirs, ours = network(1000), network(3)
    kept = ours.layers[-1].get_weights()
    pretrained.transfer(theirs, ours)
    np.testing.assert_array_equal(ours.layers[-1].kernel, kept[0])
    np.testing.assert_array_equal(ours.layers[0].kernel, theirs.layers[0].kernel)


def test_pretrained_weights_that_cannot_be_had_are_told_in_one_line(monkeypatch):
    with pytest.raises(UsageError, match="^--pretrained: cnn13 has no ImageNet weights; leave --pretrained out$"):
        pretrained.load(None, "cnn13")

    def no_network(weights):
        raise Exception(f"URL fetch failure on https://example.org/{weights}: None -- no route\nto host")

    monkeypatch.setattr(keras.applications, "ResNet50", no_network)
    with pytest.raises(
        RunError, match="^--pretrained: expected to download .* of resnet_50, got URL fetch .*leave"
    ) as e:
        pretrained.load(None, "resnet_50")
    assert "\n" not in str(e.value)


def test_every_role_of_a_method_starts_from_the_weights_of_its_network(make_config, monkeypatch):
    given = []
    monkeypatch.setattr(pretrained, "load", lambda network, name: given.append((network, name)))
    config = make_config(model="narrow_cnn", teacher_model="small_cnn", method="mpl").replace(pretrained="imagenet")
    for name in ("narrow_cnn", "small_cnn"):
        monkeypatch.setitem(NETWORKS, name, dataclasses.replace(NETWORKS[name], pretrained="Some"))
    learners = methods.make(config, (8, 8, 3), 3).scored_learners()
    names = {"teacher": "small_cnn", "student": "narrow_cnn"}
    assert sorted((name, id(network)) for network, name in given) == sorted(
        (names[role], id(learner.network)) for role, learner in learners.items()
    )
    # One that has none starts anew beside one that has.
    monkeypatch.setitem(NETWORKS, "narrow_cnn", dataclasses.replace(NETWORKS["narrow_cnn"], pretrained=""))
    given.clear()
    learners = methods.make(config, (8, 8, 3), 3).scored_learners()
    assert given == [(learners["teacher"].network, "small_cnn")]


# ---- Parts --------------------------------------------------------------------------------------------------------

TINY = {
    "resnet_50": lambda **options: resnet.resnet_50((32, 32, 3), 3, stages=((8, 1), (8, 2), (8, 1)), stem=8, **options),
    "efficientnet": lambda **options: efficientnet.efficientnet("tiny", 0.25, 0.34, (32, 32, 3), 3, **options),
}
# Blocks with a shortcut, of all blocks; narrow, the first of an EfficientNet has one too.
TINY_SHORTCUTS = [("resnet_50", (1, 2, 3, 4), 4), ("efficientnet", (1, 5, 7, 9), 10)]


@pytest.mark.parametrize("name", TINY)
def test_the_seed_decides_the_weights(name):
    found = []
    for _ in range(2):
        keras.utils.set_random_seed(5)
        found += [TINY[name]().get_weights() for _ in range(2)]
    for first, other, again in zip(found[0], found[1], found[2], strict=True):
        np.testing.assert_array_equal(first, again)
        assert first.ndim == 1 or not np.array_equal(first, other)


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("name", TINY)
def test_logits_are_float32_in_any_precision_and_saved_models_open(name, precision, tmp_path):
    keras.config.set_dtype_policy(precision)
    try:
        network = TINY[name](dropout=0.1, stochastic_depth=0.1)
    finally:
        keras.config.set_dtype_policy("float32")
    logits = network(tf.random.stateless_normal([2, 32, 32, 3], [1, 2]))
    assert (logits.shape, logits.dtype) == ((2, 3), tf.float32)
    network.save(tmp_path / "model.keras")
    for a, b in zip(network.weights, keras.models.load_model(tmp_path / "model.keras").weights, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", TINY)
def test_all_layers_come_from_the_namespace(name):
    recording = Recording()
    network = TINY[name](dropout=0.1, stochastic_depth=0.3, layers=recording)
    assert len(recording.given) == len(network.layers)
    assert set(recording.given) <= set(layers.__all__)
    pads = {layer.padding for layer in network.layers if hasattr(layer, "padding")}
    assert pads == {"same"}


def test_networks_without_a_namespace_refuse_one():
    with pytest.raises(UsageError, match=r"^--model: expected one of .*wide_resnet_28_2, .*got cnn13"):
        models.build("cnn13", (32, 32, 3), 3, layers=layers)


@pytest.mark.parametrize(("name", "residual", "blocks"), TINY_SHORTCUTS)
def test_stochastic_depth_grows_linearly_and_only_where_there_is_a_shortcut(name, residual, blocks):
    network = TINY[name](stochastic_depth=0.7)
    rates = [layer.rate for layer in network.layers if getattr(layer, "noise_shape", None)]
    np.testing.assert_allclose(rates, [0.7 * block / blocks for block in residual])


def test_stochastic_depth_of_efficientnet_b0_is_on_its_nine_shortcuts():
    with tf.Graph().as_default():
        network = models.build("efficientnet_b0", (32, 32, 3), 3, stochastic_depth=0.8)
    rates = [layer.rate for layer in network.layers if getattr(layer, "noise_shape", None)]
    np.testing.assert_allclose(rates, [0.8 * block / 16 for block in (3, 5, 7, 8, 10, 11, 13, 14, 15)])


@pytest.mark.parametrize("name", TINY)
def test_an_exported_network_gives_the_same_logits(name):
    network = unlike(TINY[name](stochastic_depth=0.3), 3)
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    source = Source(images, np.arange(2, dtype=np.int32))
    dataset = Dataset("tiny", source, None, source, ("a", "b", "c"), (0.5,) * 3, (0.25,) * 3)
    expected = network((images / np.float32(255) - 0.5) / 0.25)
    np.testing.assert_allclose(export.deployable(network, dataset)(images), expected, rtol=1e-4, atol=1e-4)
