"""--pretrained=imagenet: networks that start from the weights of keras.applications, trained on ImageNet's labels.

Networks of libraries (mpl_tf/models/foreign.py) take their own. Of ours, EfficientNets take them as they are. ResNet-50
takes those of another form of it (mpl_tf/models/resnet.py): the inputs' scale and the order of their colours go into
the first convolution, biases into the batch norms' means, and the other epsilon into their scales. What remains is that
strides and padding lie elsewhere, so that its accuracy comes back by training alone. The mean colour subtracted there
differs from ours by less than 0.01 standard deviations.
"""

import re

import keras
import numpy as np

from mpl_tf.base.errors import RunError, UsageError
from mpl_tf.models import foreign, saved
from mpl_tf.settings import catalogue
from mpl_tf.settings.catalogue import IMAGENET_STD

SIDE = 224  # Of images that a download is tried with; all networks take them.


def load(network, name):
    """Give a new network the weights of its library, downloaded to the user's cache if they are not there.

    Args:
        network: keras.Model as models.build makes it; a classifier of other than 1,000 classes keeps its own weights,
            that of a library's network always.
        name: of the network.
    Raises:
        UsageError: the library has no weights of it.
        RunError: the weights cannot be downloaded.
    """
    row = catalogue.network(name)
    theirs = _theirs(row, network.input_shape[1:] if row.library else None)
    if row.library:
        saved.give_body(network, theirs, f"{name}'s weights", "pretrained")
    else:
        transfer(theirs, network)


def fetch(name):
    """Download the weights of a network, if it has such and they are not there, so that `load` finds them.

    Raises:
        RunError: they cannot be downloaded.
    """
    row = catalogue.network(name)
    if row.pretrained:
        _theirs(row, (SIDE, SIDE, 3))


def _theirs(row, shape):
    """The network of a library with its weights, keras.Model; raises UsageError, RunError as `load`."""
    if not row.pretrained:
        raise UsageError(f"--pretrained: {row.name} has no ImageNet weights; leave --pretrained out")
    try:
        if row.library:
            return foreign.body(row.name, shape, "imagenet")
        return getattr(keras.applications, row.pretrained)(weights="imagenet")
    except Exception as error:  # Keras passes on whatever its downloader raised.
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise RunError(
            f"--pretrained: expected to download the ImageNet weights of {row.name}, got {reason}; connect to the "
            f"network, {_brought(row, str(error))}or leave --pretrained out"
        ) from error


def _brought(row, told):
    """How the weights of a library's network are brought by hand; `told` is what its downloader said."""
    if row.library == "keras_cv":
        handle = foreign.handle(row.name)
        return f"or bring model.weights.h5 of {handle} and give --weights=model.weights.h5 in its place, "
    file = re.search(r"https?://\S+/([\w.-]+\.h5)", told)
    if not row.library or not file:
        return ""
    return f"or bring {file.group(1)} and give --weights={file.group(1)} in its place, "


def transfer(theirs, network):
    """Copy the weights of a network of keras.applications to ours, layer by layer in order.

    Args:
        theirs: keras.Model as keras.applications makes it.
        network: keras.Model of the same architecture as models.build makes it, for images normalised by ImageNet's
            mean and standard deviation.
    """
    sources = [layer for layer in theirs.layers if layer.weights and not isinstance(layer, keras.layers.Normalization)]
    targets = [layer for layer in network.layers if layer.weights]
    for source, target in zip(sources, targets, strict=True):
        values = source.get_weights()
        if isinstance(source, keras.layers.Dense) and source.units != target.units:
            continue
        if source.name == "conv1_conv":  # Theirs takes blue, green, red in [0, 255], centred.
            values[0] = values[0][:, :, ::-1] * 255 * np.array(IMAGENET_STD)[:, None]
        if isinstance(source, keras.layers.BatchNormalization):
            gamma, beta, mean, variance = values
            if source.name.startswith("conv"):  # The ResNet's, each after a convolution with a bias.
                mean = mean - theirs.get_layer(source.name.replace("_bn", "_conv")).bias.numpy()
            gamma = gamma * np.sqrt((variance + target.epsilon) / (variance + source.epsilon))
            values = [gamma, beta, mean, variance]
        target.set_weights(values[: len(target.weights)])
