"""student.keras: the deployed network as a plain Keras model that takes raw images and opens without this program."""

import keras

from mpl_tf.base import files
from mpl_tf.models.layers import BatchNorm


def deployable(network, dataset):
    """A copy in float32 of stock Keras layers alone, with the normalisation inside.

    Args:
        network: keras.Model of logits, an ordinary one (Devices.whole).
        dataset: Dataset, for the shape of its examples and its normalisation.
    Returns:
        keras.Model: images [B, H, W, 3] in [0, 255], uint8 or float (or points [B, D]) -> logits float32 [B, C].
    """

    # Keras' own class for each layer of ours, so that the file opens where this program is not installed.
    def stock(layer):
        config = (layer.plain() if isinstance(layer, BatchNorm) else layer).get_config() | {"dtype": "float32"}
        kind = keras.layers.BatchNormalization if isinstance(layer, BatchNorm) else type(layer)
        return kind.from_config(config)

    copy = keras.models.clone_model(network, clone_function=stock)
    copy.set_weights(network.get_weights())

    # Whoever opens the file gives pixels; how they are normalised is part of the model.
    inputs = keras.Input(dataset.shape, dtype="float32")
    x = inputs
    if dataset.mean is not None:
        scale, offset = dataset.normalisation()
        x = keras.layers.Rescaling(scale, offset, dtype="float32")(x)
    return keras.Model(inputs, copy(x), name=network.name)


def save(model, path):
    """Write a model in Keras' own format, in one step."""

    files.write(path, model.save)
