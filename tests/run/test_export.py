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
    return Dataset(
        "own", source, source, source, ("a", "caf\udce9"), mean=(0.2, 0.4, 0.6), std=(0.5, 0.25, 0.1), flip=True
    )


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
    export.save(model, tmp_path / "student.keras", dataset.class_names)
    np.testing.assert_array_equal(saved.load(tmp_path / "student.keras")(images), model(images))
    assert [path.name for path in tmp_path.iterdir()] == ["student.keras"]
    assert saved.class_names(tmp_path / "student.keras") == ("a", "caf\udce9")
    model.save(tmp_path / "without.keras")
    assert saved.class_names(tmp_path / "without.keras") is None


def test_the_file_scores_whole_numbers_of_any_type(network, dataset, tmp_path):
    export.save(export.deployable(network, dataset), tmp_path / "student.keras", dataset.class_names)
    opened = keras.models.load_model(tmp_path / "student.keras")
    images, labels = dataset.test.images, dataset.test.labels
    logits = opened.predict(images, verbose=0).astype("float64")
    each = np.log(np.exp(logits).sum(1)) - logits[np.arange(4), labels]
    for kind, shape in (("int64", [4]), ("uint8", [4, 1])):
        loss, accuracy = opened.evaluate(images, labels.astype(kind).reshape(shape), verbose=0)
        assert loss == pytest.approx(each.mean(), rel=1e-5)
        assert accuracy == np.mean(logits.argmax(1) == labels)


def test_what_is_no_model_is_refused_by_the_flag_that_named_it(tmp_path):
    with pytest.raises(UsageError, match="--teacher: expected .* found none"):
        saved.load(tmp_path / "absent.keras", "teacher")
    (tmp_path / "bad.keras").write_bytes(b"no model")
    with pytest.raises(UsageError, match="--teacher: expected a Keras model in .*bad.keras, cannot read it"):
        saved.load(tmp_path / "bad.keras", "teacher")
