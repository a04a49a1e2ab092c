"""What is deployed: stock layers, raw images in, the network's logits out; and files that are no models."""

import keras
import numpy as np
import pytest

from mpl_tf.base.errors import UsageError
from mpl_tf.data import Dataset, Source
from mpl_tf.models import saved
from mpl_tf.models.layers import BatchNorm
from mpl_tf.run import export


@pytest.fixture
def dataset():
    """Images of 8 x 8 with a normalisation of their own."""
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    source = Source(images, np.arange(4, dtype=np.int32) % 2)
    return Dataset("own", source, source, source, ("a", "b"), mean=(0.2, 0.4, 0.6), std=(0.5, 0.25, 0.1), flip=True)


@pytest.fixture
def network():
    """A convolution and a batch norm whose statistics and weights are not those of the start."""
    layers = [keras.layers.Conv2D(4, 3), BatchNorm(), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2)]
    made = keras.Sequential([keras.Input((8, 8, 3)), *layers])
    random = np.random.default_rng(1)
    made.set_weights([random.uniform(0.5, 1.5, weight.shape) for weight in made.get_weights()])
    return made


def test_raw_images_give_the_logits_of_normalised_ones(network, dataset, tmp_path):
    images = dataset.test.images
    normalised = (images / 255 - np.array(dataset.mean)) / np.array(dataset.std)
    expected = network(normalised.astype(np.float32), training=False)
    model = export.deployable(network, dataset)
    np.testing.assert_allclose(model(images), expected, rtol=1e-5, atol=1e-5)
    assert all(type(layer).__module__.startswith("keras.") for layer in model._flatten_layers())
    export.save(model, tmp_path / "student.keras")
    np.testing.assert_array_equal(saved.load(tmp_path / "student.keras")(images), model(images))
    assert [path.name for path in tmp_path.iterdir()] == ["student.keras"]


def test_what_is_no_model_is_refused_by_the_flag_that_named_it(tmp_path):
    with pytest.raises(UsageError, match="--teacher: expected .* found none"):
        saved.load(tmp_path / "absent.keras", "teacher")
    (tmp_path / "bad.keras").write_bytes(b"no model")
    with pytest.raises(UsageError, match="--teacher: expected a Keras model in .*bad.keras, cannot read it"):
        saved.load(tmp_path / "bad.keras", "teacher")
