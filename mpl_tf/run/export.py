"""student.keras: the deployed network as a plain Keras model that takes raw images and opens without this program."""

import zipfile
from pathlib import Path

import keras

from mpl_tf.base import files
from mpl_tf.base.errors import UsageError, reason
from mpl_tf.models.layers import BatchNorm


def deployable(network, dataset):
    """A copy in float32 of stock Keras layers alone, with the normalisation inside.

    Args:
        network: keras.Model of logits, an ordinary one (Devices.whole).
        dataset: Dataset, for the shape of its examples and its normalisation.
    Returns:
        keras.Model: images [B, H, W, 3] in [0, 255], uint8 or float (or points [B, D]) -> logits float32 [B, C].
    """

    def stock(layer):
        config = (layer.plain() if isinstance(layer, BatchNorm) else layer).get_config() | {"dtype": "float32"}
        kind = keras.layers.BatchNormalization if isinstance(layer, BatchNorm) else type(layer)
        return kind.from_config(config)

    copy = keras.models.clone_model(network, clone_function=stock)
    copy.set_weights(network.get_weights())
    inputs = keras.Input(dataset.shape, dtype="float32")
    x = inputs
    if dataset.mean is not None:
        scale, offset = dataset.normalisation()
        x = keras.layers.Rescaling(scale, offset, dtype="float32")(x)
    return keras.Model(inputs, copy(x), name=network.name)


def save(model, path):
    """Write a model in Keras' own format, in one step."""

    files.write(path, model.save)


def load(path, flag="workdir", missing="expected a finished run with {path}, found none; train first"):
    """Open a saved model, for which the user gave `flag`.

    Raises:
        UsageError: there is none, or it cannot be read or is damaged.
    """
    if not Path(path).is_file():
        raise UsageError(f"--{flag}: " + missing.format(path=path))
    damage = damaged(path)
    try:
        if damage is None:
            return keras.models.load_model(path, compile=False)
    except Exception as error:  # Keras passes on whatever the file's parts lead it to.
        damage = f"{type(error).__name__}: {reason(error)}"
    raise UsageError(f"--{flag}: expected a Keras model in {path}, cannot read it ({damage})")


def damaged(path):
    """Why a .keras file is not as it was written, by its parts' checksums, which Keras does not look at; or None."""
    if Path(path).suffix != ".keras":
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            part = archive.testzip()
    except Exception as error:  # Damage may lead the reader anywhere.
        return f"{type(error).__name__}: {reason(error)}"
    return None if part is None else f"its part {part} is damaged"
