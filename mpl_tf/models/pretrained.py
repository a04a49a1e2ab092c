"""--pretrained=imagenet: networks that start from the weights of keras.applications, trained on ImageNet's labels.

EfficientNets take them as they are. ResNet-50 takes those of another form of it (mpl_tf/models/resnet.py): the inputs'
scale and the order of their colours go into the first convolution, biases into the batch norms' means, and the
other epsilon into their scales. What remains is that strides and padding lie elsewhere, so that its accuracy comes back
by training alone. The mean colour subtracted there differs from ours by less than 0.01 standard deviations.
"""

import keras
import numpy as np

from mpl_tf.base.errors import RunError, UsageError
from mpl_tf.settings.catalogue import IMAGENET_STD, NETWORKS


def load(network, name):
    """Give a new network the weights of keras.applications, downloaded to ~/.keras if they are not there.

    Args:
        network: keras.Model as models.build makes it; a classifier of other than 1,000 classes keeps its own weights.
        name: of the network.
    Raises:
        UsageError: keras.applications has no such network.
        RunError: the weights cannot be downloaded.
    """
    if not NETWORKS[name].pretrained:
        takers = ", ".join(row.name for row in NETWORKS.values() if row.pretrained)
        raise UsageError(f"--pretrained: imagenet goes with --model={takers}, got {name}")
    try:
        theirs = getattr(keras.applications, NETWORKS[name].pretrained)(weights="imagenet")
    except Exception as error:  # Keras passes on whatever its downloader raised.
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise RunError(
            f"--pretrained: expected to download the ImageNet weights of {name}, got {reason}; connect to the network "
            "or leave --pretrained out"
        ) from error
    transfer(theirs, network)


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
