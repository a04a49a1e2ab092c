"""The frozen network: its features are those of the network on the same pixels; the head that is trained on them.

Covers: frozen.py, head.py
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mpl_tf import models
from mpl_tf.base.errors import UsageError
from mpl_tf.models import frozen
from mpl_tf.models.head import head
from tests.models.test_imagenet_networks import unlike

SCALE, OFFSET = [1 / 128, 1 / 100, 1 / 90], [-1.0, 0.5, 0.25]
IMAGES = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)


@pytest.fixture(scope="module")
def network():
    return unlike(models.build("narrow_cnn", (12, 12, 3), 7), 0)


@pytest.fixture(scope="module")
def backbone(network):
    return frozen.backbone(network, (8, 8, 3), SCALE, OFFSET)


def test_features_are_those_of_the_network_on_the_enlarged_and_scaled_pixels(network, backbone):
    pixels = tf.image.resize(tf.cast(IMAGES, tf.float32), (12, 12)) * SCALE + OFFSET
    expected = keras.Model(network.inputs, network.layers[-1].input)(pixels, training=False)
    np.testing.assert_allclose(backbone(IMAGES), expected, rtol=1e-5, atol=1e-5)
    stored = frozen.constant(backbone)(IMAGES)
    assert stored.dtype == tf.float16
    np.testing.assert_allclose(stored, expected, rtol=1e-3, atol=1e-3)
    assert not backbone.trainable_weights and all(type(x).__module__[:5] == "keras" for x in backbone._flatten_layers())


def test_images_of_the_networks_own_size_are_not_resized(network):
    found = frozen.backbone(network, (12, 12, 3), SCALE, OFFSET)
    assert not any("resize" in layer.name for layer in found.layers)


def test_backbone_and_head_are_one_model_that_opens_with_keras_alone(backbone, tmp_path):
    top = unlike(head((32,), 4, dropout=0.5, units=6), 1)
    joined = frozen.whole(backbone, top)
    np.testing.assert_allclose(joined(IMAGES), top(backbone(IMAGES)), rtol=1e-6)
    joined.save(tmp_path / "student.keras")
    again = keras.models.load_model(tmp_path / "student.keras", compile=False)
    np.testing.assert_array_equal(again(IMAGES), joined(IMAGES))


def test_the_digest_is_of_the_weights(network, backbone):
    assert frozen.digest(backbone) == frozen.digest(frozen.backbone(network, (12, 12, 3), SCALE, OFFSET))
    other = frozen.backbone(unlike(models.build("narrow_cnn", (12, 12, 3), 7), 1), (8, 8, 3), SCALE, OFFSET)
    assert frozen.digest(other) != frozen.digest(backbone)


def test_a_network_without_a_classifier_of_features_is_refused():
    last = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(2, 3)])
    with pytest.raises(UsageError, match="--freeze: expected a network that ends in a classifier"):
        frozen.backbone(last, (8, 8, 3), SCALE, OFFSET)


@pytest.mark.parametrize(("units", "count"), [(0, 5 * 3 + 3), (4, 5 * 4 + 4 + 4 * 3 + 3)])
def test_a_head_is_linear_or_has_one_hidden_layer(units, count):
    made = unlike(head((5,), 3, 0.2, units), 0)
    assert made.count_params() == count
    x = np.random.default_rng(1).normal(size=(6, 5)).astype(np.float32)
    *hidden, kernel, bias = made.get_weights()
    features = np.maximum(x @ hidden[0] + hidden[1], 0) if units else x
    np.testing.assert_allclose(made(x), features @ kernel + bias, rtol=1e-5, atol=1e-5)
