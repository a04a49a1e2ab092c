"""Networks of keras.applications and KerasCV: their numbers, their preprocessing, saved and in other precisions.

Covers: foreign.py, keras_cv_presets.py, keras_cv_mends.py
"""

import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf

from mpl_tf import models
from mpl_tf.base.errors import UsageError
from mpl_tf.data import Dataset, Source
from mpl_tf.models import foreign, keras_cv_presets, layers
from mpl_tf.run import export
from mpl_tf.settings.catalogue import FOREIGN, IMAGENET_MEAN, IMAGENET_STD
from mpl_tf.settings.catalogue.foreign import KERAS, KERAS_CV, expanded
from tests import foreign_miniatures as miniatures
from tests.foreign_miniatures import SIDE, TABLE
from tests.models.test_imagenet_networks import unlike

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)
IMAGES = np.random.default_rng(0).integers(0, 256, (3, SIDE, SIDE, 3), np.uint8)


def dataset():
    source = Source(IMAGES, np.arange(3, dtype=np.int32))
    return Dataset("some", source, None, source, ("a", "b", "c"), MEAN, STD)


@pytest.fixture
def network(monkeypatch):
    """A function (name, still=False) -> a miniature for the data set's images, its weights drawn."""

    def make(name, **options):
        made = miniatures.network(name, normalisation=dataset().normalisation(), monkeypatch=monkeypatch, **options)
        return unlike(made, 1)

    return make


def normalised():
    scale, offset = dataset().normalisation()
    return tf.cast(IMAGES, tf.float32) * scale + offset


def by_the_library(name, values):
    """Logits as a user of the library has them: its preprocess_input, its network, the classifier."""
    source = miniatures.body(name, (SIDE, SIDE, 3))
    norms = [layer for layer in source.layers if isinstance(layer, keras.layers.Normalization) and layer.weights]
    for norm in norms:  # EfficientNet's: ImageNet's statistics are among its weights.
        norm.adapt_mean.assign(IMAGENET_MEAN)
        norm.adapt_variance.assign(np.square(IMAGENET_STD))
        norm.finalize_state()
    shown = {id(weight) for norm in norms for weight in norm.weights}
    own = [weight for weight in source.weights if id(weight) not in shown]
    for weight, value in zip(own, values[:-2], strict=True):
        weight.assign(value)
    x = IMAGES.astype(np.float32)
    library, _, called = name.partition(":")
    if library == "keras":
        x = inspect.getmodule(getattr(keras.applications, called)).preprocess_input(x)
    features = np.asarray(source(x, training=False))
    features = features.mean(axis=(1, 2)) if features.ndim == 4 else features
    return features @ values[-2] + values[-1]


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("name", TABLE)
def test_logits_are_the_librarys_on_the_pixels_and_saved_ones_too(name, network, tmp_path):
    made = network(name)
    expected = by_the_library(name, made.get_weights())
    close(made(normalised(), training=False), expected)
    assert isinstance(made.layers[-1], keras.layers.Dense) and made.layers[-1].units == 3
    # The copy whose weights are averaged, and the student that is exported, of stock layers.
    close(layers.twin(made)(normalised(), training=False), expected)
    exported = export.deployable(made, dataset())
    close(exported(IMAGES), expected)
    exported.save(tmp_path / "student.keras")
    again = keras.models.load_model(tmp_path / "student.keras", compile=False)
    np.testing.assert_array_equal(again(IMAGES), exported(IMAGES))
    assert all(type(layer).__module__.startswith(("keras.", "keras_cv.")) for layer in again._flatten_layers())


@pytest.mark.parametrize("name", TABLE)
def test_norms_take_statistics_over_replicas_and_copies_have_what_was_set(name, network):
    made = network(name)
    norms = [layer for layer in made._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]
    assert all(norm.synchronized for norm in norms)
    assert bool(norms) is (name not in ("keras:ConvNeXtTiny", "keras_cv:vitdet_base", "keras_cv:mit_b0"))
    for norm in norms[::2]:
        norm.trainable = False
    copy = layers.twin(made)
    kept = [layer for layer in copy._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]
    assert [norm.trainable for norm in kept] == [norm.trainable for norm in norms]
    assert all(norm.synchronized for norm in kept)
    shapes = [[v.shape for v in net.trainable_variables + net.non_trainable_variables] for net in (made, copy)]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("name", TABLE)
def test_bfloat16_is_close_to_float32_and_its_export_is_float32(name, network):
    full = network(name)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        mixed = network(name)
        exported = export.deployable(mixed, dataset())
    finally:
        keras.config.set_dtype_policy("float32")
    mixed.set_weights(full.get_weights())
    logits = mixed(normalised(), training=False)
    expected = np.asarray(full(normalised(), training=False))
    assert logits.dtype == tf.float32
    assert np.abs(logits - expected).max() < 0.1 * np.abs(expected).max()
    parts = [
        layer for layer in exported._flatten_layers() if not isinstance(layer, keras.Model | keras.layers.InputLayer)
    ]
    assert {layer.compute_dtype for layer in parts} == {"float32"}
    assert "bfloat16" in {layer.compute_dtype for layer in mixed.layers}


@pytest.mark.parametrize("name", [expanded(pattern)[0] for pattern in KERAS if pattern[:12] != "EfficientNet"])
def test_preprocessing_is_the_modules_own(name):
    """Of one network a module; what stands in the networks themselves is tested with their logits."""
    scale, offset, order = foreign._preprocessing(f"keras:{name}")
    expected = inspect.getmodule(getattr(keras.applications, name)).preprocess_input(IMAGES.astype(np.float32))
    np.testing.assert_allclose(IMAGES[..., order] * scale + offset, expected, rtol=1e-5, atol=1e-4)


def test_a_network_of_pixels_stands_beside_one_of_normalised_images(network, monkeypatch):
    """The same weights, told of other normalisations."""
    made = network("keras:ResNet50")
    pixels = miniatures.network("keras:ResNet50", monkeypatch=monkeypatch)
    pixels.set_weights(made.get_weights())
    close(pixels(IMAGES.astype(np.float32)), made(normalised()))
    assert "Flip" in {type(operation).__name__ for operation in made.operations}  # Blue, green, red.


def test_names_are_the_librarys():
    import keras_cv

    built = {name for name in dir(keras.applications) if inspect.isfunction(getattr(keras.applications, name))}
    assert {name for pattern in KERAS for name in expanded(pattern)} == built
    presets = {name for pattern in KERAS_CV for name in expanded(pattern)}
    kinds = {keras_cv_presets.configuration(name)[0] for name in presets}
    listed = [getattr(keras_cv.models, kind) for kind in kinds]
    assert presets == {name for kind in listed for name in kind.presets}
    weighted = {name for kind in listed for name in kind.presets_with_weights if name.endswith("_imagenet")}
    given = {row.pretrained for row in FOREIGN.values() if row.library == "keras_cv" and row.pretrained}
    assert given == weighted
    assert foreign.handle("keras_cv:resnet50") == "keras/resnetv1/keras/resnet50_imagenet/2"


def stated(preset):
    """Weights of a preset as KerasCV states them, and as it makes them of our configuration."""
    import keras_cv

    kind, arguments = keras_cv_presets.configuration(preset)
    kind = getattr(keras_cv.models, kind)
    side = 1024 if kind.__name__ == "ViTDetBackbone" else 224
    with tf.Graph().as_default():
        return kind.presets[preset]["metadata"].get("params"), kind(
            **arguments, input_shape=(side, side, 3)
        ).count_params()


# KerasCV states those of ten classes too many for MiT, those of other squeezes for MobileNetV3, others for the first
# EfficientNets and none for DenseNets: these are keras.applications' and our own network's.
COUNTS = {
    "densenet121": 7_037_504,
    "efficientnetv1_b0": 4_049_564,
    "efficientnetlite_b0": 3_413_024,
    "mobilenet_v3_small": 939_120,
}


@pytest.mark.parametrize("preset", ["resnet18", "mobilenet_v3_small", "yolo_v8_xs_backbone"])
def test_presets_have_the_number_of_weights_that_is_stated_for_them(preset):
    expected, found = stated(preset)
    assert found == COUNTS.get(preset, expected)


# Of every family its kinds and ends.
OTHERS = [
    *("csp_darknet_tiny", "csp_darknet_l", "densenet121", "efficientnetlite_b0", "efficientnetv1_b0"),
    *("efficientnetv2_b3", "efficientnetv2_s_imagenet", "efficientnetv2_m", "mit_b1", "resnet34", "resnet101"),
    *(
        "resnet18_v2",
        "resnet152_v2",
        "vitdet_base_sa1b",
        "vitdet_huge",
        "yolo_v8_m_backbone",
        "yolo_v8_xl_backbone_coco",
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("preset", OTHERS)
def test_other_presets_have_the_number_of_weights_that_is_stated_for_them(preset):
    expected, found = stated(preset)
    if preset.startswith("mit_"):
        expected -= 10 * (512 + 1)
    assert found == COUNTS.get(preset, expected)


def test_what_cannot_be_made_is_one_line():
    with pytest.raises(UsageError, match=r"^--model: keras_cv:mit_b0 does not take images of shape \(64, 96, 3\)"):
        models.build("keras_cv:mit_b0", (64, 96, 3), 3)
    with pytest.raises(UsageError, match=r"^--model: keras_cv:vitdet_base does not take images of shape \(64, 96, 3\)"):
        models.build("keras_cv:vitdet_base", (64, 96, 3), 3)
    with pytest.raises(UsageError, match="^--stochastic_depth: expected 0 with keras:VGG16, whose own rates are those"):
        models.build("keras:VGG16", (32, 32, 3), 3, stochastic_depth=0.1)
    with pytest.raises(UsageError, match="^--teacher_model: keras:Xception takes images of at least 71 x 71 pixels"):
        models.build("keras:Xception", (32, 32, 3), 3, flag="teacher_model")
    with pytest.raises(UsageError, match="^--model: expected one of .*for this kind of layers, got keras:VGG16"):
        models.build("keras:VGG16", (32, 32, 3), 3, layers=layers)


def test_a_real_network_of_each_library_is_built_by_its_name():
    made = models.build("keras:MobileNetV3Small", (32, 32, 3), 5, dropout=0.2)
    assert made.count_params() == 939_120 + 576 * 5 + 5 and made.layers[-2].rate == 0.2
    made = models.build("keras_cv:resnet18", (32, 32, 3), 5)
    assert made.count_params() == 11_186_112 + 512 * 5 + 5 and made.name == "keras_cv_resnet18"
