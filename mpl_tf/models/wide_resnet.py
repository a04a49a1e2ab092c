"""Wide residual networks (Zagoruyko and Komodakis 2016) as the released MPL code has them: WRN-28-k.

A 3 x 3 stem of 16 k channels, three groups of four pre-activation blocks of 16 k, 32 k and 64 k channels, leaky ReLU of
slope 0.2, batch norm of decay 0.99 and epsilon 1e-3. Where the shape changes, the activated input is projected by a
1 x 1 convolution. The original's stem has 16 channels whatever k; the released code's 16 k spares one projection.

Deviation: convolutions start from he_normal, which counts the inputs, the classifier from Glorot's uniform; released
are normal weights by the number of outputs and uniform ones within 1 / sqrt(classes). Batch norm takes most of the
scale of a convolution's weights away again.

Stochastic depth (Huang et al. 2016): in training an example skips the residual branch of block l of L with chance
stochastic_depth * l / L; a branch that is not skipped is divided by the chance that it is not, so that inference takes
it as it is.
"""

import functools

import keras

from mpl_tf.models import layers as plain

LEAK = 0.2
BLOCKS = 4  # In each of three groups: (28 - 4) / 6.


def wide_resnet(k, shape, num_classes, dropout=0.0, stochastic_depth=0.0, layers=plain):
    """WideResNet-28-k.

    Args:
        k: widening factor; 2 gives 1.47 M weights, 10 gives 36.7 M.
        shape: (H, W, 3), as large as its row of the catalogue says.
        num_classes: number of logits.
        dropout: rate before the classifier, in [0, 1).
        stochastic_depth: chance of skipping the last residual branch, in [0, 1).
        layers: namespace of the layers, with the names of mpl_tf.models.layers.
    Returns:
        keras.Model, float32 [B, H, W, 3] -> logits float32 [B, num_classes].
    """
    name = f"wide_resnet_28_{k}"
    x = inputs = layers.Input(shape)
    x = _conv(layers, 16 * k, 3, 1)(x)
    for group, width in enumerate((16 * k, 32 * k, 64 * k)):
        for index in range(BLOCKS):
            skip = stochastic_depth * (group * BLOCKS + index + 1) / (3 * BLOCKS)
            x = _block(layers, x, width, stride=2 if group and not index else 1, skip=skip)
    x = layers.GlobalAveragePooling2D()(_activate(layers, x))  # [B, 64 k]
    x = layers.Dropout(dropout)(x)
    return keras.Model(inputs, layers.Dense(num_classes, dtype="float32")(x), name=name)


wide_resnet_28_2 = functools.partial(wide_resnet, 2)
wide_resnet_28_10 = functools.partial(wide_resnet, 10)


def _block(layers, x, width, stride, skip):
    activated = _activate(layers, x)
    same = stride == 1 and x.shape[-1] == width
    shortcut = x if same else _conv(layers, width, 1, stride)(activated)
    y = _conv(layers, width, 3, stride)(activated)
    y = _conv(layers, width, 3, 1)(_activate(layers, y))
    if skip:
        y = layers.StochasticDepth(skip)(y)
    return layers.Add()([y, shortcut])


def _activate(layers, x):
    return layers.LeakyReLU(LEAK)(layers.BatchNorm()(x))


def _conv(layers, width, size, stride):
    return layers.Conv2D(width, size, stride, padding="same", use_bias=False, kernel_initializer="he_normal")
