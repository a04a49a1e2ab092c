"""Where keras-cv's layers stand beside ours: the grounds on which data/operations.py takes or refuses them."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from mpl_tf.data import operations

IMAGES = np.random.default_rng(0).integers(20, 200, size=(4, 16, 16, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def layers():
    """keras_cv.layers; its import takes seconds."""
    import keras_cv

    # Its layers draw from TensorFlow's global generator, which op determinism, once on, wants set.
    tf.random.set_global_generator(tf.random.Generator.from_seed(0))
    return keras_cv.layers


def pil(operation):
    """PIL's answer for each image."""
    return np.stack([np.asarray(operation(Image.fromarray(image))) for image in IMAGES]).astype(int)


def difference(layer, operation):
    """Largest difference of a keras-cv layer from PIL, grey levels."""
    return np.abs(np.asarray(layer(IMAGES.astype(np.float32))).astype(int) - pil(operation)).max()


def test_keras_cv_agrees_where_it_can(layers):
    assert difference(layers.AutoContrast((0, 255)), ImageOps.autocontrast) <= 1
    assert difference(layers.Posterization((0, 255), bits=4), lambda image: ImageOps.posterize(image, 4)) == 0
    np.testing.assert_array_equal(operations.posterize(IMAGES, 4), pil(lambda image: ImageOps.posterize(image, 4)))


def test_keras_cv_equalization_is_not_pils_and_ours_is(layers):
    assert difference(layers.Equalization((0, 255)), ImageOps.equalize) > 1
    np.testing.assert_array_equal(operations.equalize(IMAGES), pil(ImageOps.equalize))


def test_keras_cv_solarization_refuses_the_threshold_of_magnitude_10(layers):
    with pytest.raises(ValueError, match="255|256"):
        layers.Solarization((0, 255), threshold_factor=(256, 256))
    np.testing.assert_array_equal(operations.solarize(IMAGES, 256), IMAGES)
