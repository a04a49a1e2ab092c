"""A residual network for small images on a CPU: most of its work is at an eighth to a quarter of the image's side.

A 3 x 3 stem, then three stages of a 3 x 3 convolution of stride 2 and one residual block of two 3 x 3 convolutions
(He et al. 2016, without projections: the stride lies before the block), batch norm and ReLU after each. It is the
program's own; its shapes were chosen for bfloat16 in oneDNN, whose convolutions are quick from 32 channels on. An image
of 32 x 32 takes 18 million multiplications, a twelfth of Wide ResNet-28-2's.
"""

import functools

import keras

from mpl_tf.models import layers as plain
from mpl_tf.models.resnet import conv_norm

STAGES = 3


def residual(name, stem, shape, num_classes, dropout=0.0, stochastic_depth=0.0, layers=plain):
    """The network: stem, three stages of 2, 4 and 8 times its channels, global average, classifier.

    Args:
        name: of the network.
        stem: channels of the stem.
        shape: (H, W, 3), as large as its row of the catalogue says.
        num_classes: number of logits.
        dropout: rate before the classifier, in [0, 1).
        stochastic_depth: chance of skipping the last residual branch, in [0, 1).
        layers: namespace of the layers, with the names of mpl_tf.models.layers.
    Returns:
        keras.Model, float32 [B, H, W, 3] -> logits float32 [B, num_classes].
    """
    inputs = layers.Input(shape)
    x = layers.Activation("relu")(conv_norm(layers, inputs, stem, 3, 1))
    for stage in range(1, STAGES + 1):
        width = stem * 2**stage
        x = layers.Activation("relu")(conv_norm(layers, x, width, 3, 2))
        x = _block(layers, x, width, skip=stochastic_depth * stage / STAGES)
    x = layers.Dropout(dropout)(layers.GlobalAveragePooling2D()(x))  # [B, 8 * stem]
    return keras.Model(inputs, layers.Dense(num_classes, dtype="float32")(x), name=name)


fast_resnet = functools.partial(residual, "fast_resnet", 16)
fast_resnet_wide = functools.partial(residual, "fast_resnet_wide", 32)


def _block(layers, x, width, skip):
    y = layers.Activation("relu")(conv_norm(layers, x, width, 3, 1))
    y = conv_norm(layers, y, width, 3, 1)
    if skip:
        y = layers.StochasticDepth(skip)(y)
    return layers.Activation("relu")(layers.Add()([x, y]))
