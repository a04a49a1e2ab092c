"""student.keras: the deployed network as a plain Keras model that takes raw images and opens without this program.

It is compiled for evaluate(), and its archive has the names of the classes (models/saved.py).
"""

import keras

from mpl_tf.base import files
from mpl_tf.models import frozen, saved
from mpl_tf.models.layers import stock_copy


def deployable(network, dataset):
    """A copy in float32 of stock Keras layers alone, with the normalisation inside.

    Args:
        network: keras.Model of logits, an ordinary one (Devices.whole).
        dataset: Dataset, for the shape of its examples and its normalisation.
    Returns:
        keras.Model: images [B, H, W, 3] in [0, 255], uint8 or float (or points [B, D]) -> logits float32 [B, C].
    """
    copy = stock_copy(network)
    if dataset.backbone is not None:
        return frozen.whole(dataset.backbone, copy)

    # Whoever opens the file gives pixels; how they are normalised is part of the model.
    inputs = keras.Input(dataset.shape, dtype="float32", name="images" if len(dataset.shape) == 3 else "points")
    x = inputs
    if dataset.mean is not None:
        scale, offset = dataset.normalisation()
        x = keras.layers.Rescaling(scale, offset, dtype="float32")(x)
    return keras.Model(inputs, copy(x), name=network.name)


def refresh(model, network):
    """Give a model that `deployable` made of a network the weights that the network has now."""
    model.layers[-1].set_weights(network.get_weights())


def save(model, path, class_names):
    """Write a model in Keras' own format, in one step.

    Whoever has Keras alone scores it on images in [0, 255] and labels int [B], and reads its classes, in the order of
    its outputs:

        keras.models.load_model("student.keras").evaluate(dataset)
        json.loads(zipfile.ZipFile("student.keras").read("metadata.json"))["class_names"]

    Args:
        model: deployable keras.Model; it is compiled here.
        path: where to.
        class_names: C names.
    Raises:
        RunError: the file cannot be written.
    """
    saved.compile_for_scores(model)

    def write(temporary):
        model.save(temporary)
        saved.add_class_names(temporary, class_names)

    files.write(path, write)
