"""ResNet-50 (He et al. 2016) with its strides on the 3 x 3 convolutions: the form that ImageNet results are stated for.

Batch norm of decay 0.99 and epsilon 1e-3, as in all of the released MPL code. Against keras.applications.ResNet50:
strides there lie on the first 1 x 1 convolution of a block; convolutions there have biases, which batch norm makes
idle; stem and pooling there are padded by 3 and 1 on every side, here as TensorFlow's SAME pads; epsilon there is
1.001e-5. Stochastic depth is that of wide_resnet.py, and so is how the weights start, which is not the released way.
"""

import keras

from mpl_tf.models import layers as plain

STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))  # Inner width and number of blocks; a block's output is 4 x as wide.
STEM = 64


def resnet_50(shape, num_classes, dropout=0.0, stochastic_depth=0.0, layers=plain, stages=STAGES, stem=STEM):
    """ResNet-50: 25.6 M weights with 1,000 classes.

    Args:
        shape: (H, W, 3), as large as its row of the catalogue says.
        num_classes: number of logits.
        dropout: rate before the classifier, in [0, 1).
        stochastic_depth: chance of skipping the last residual branch, in [0, 1).
        layers: namespace of the layers, with the names of mpl_tf.models.layers.
        stages: (inner width, blocks) of each stage.
        stem: channels of the first convolution.
    Returns:
        keras.Model, float32 [B, H, W, 3] -> logits float32 [B, num_classes].
    """
    inputs = layers.Input(shape)
    x = conv_norm(layers, inputs, stem, 7, 2)
    x = layers.MaxPooling2D(3, 2, padding="same")(layers.Activation("relu")(x))
    total, done = sum(blocks for _, blocks in stages), 0
    for stage, (width, blocks) in enumerate(stages):
        for index in range(blocks):
            done += 1
            stride = 2 if stage and not index else 1
            x = _block(layers, x, width, stride, not index, skip=stochastic_depth * done / total)
    x = layers.Dropout(dropout)(layers.GlobalAveragePooling2D()(x))  # [B, 4 * last width]
    return keras.Model(inputs, layers.Dense(num_classes, dtype="float32")(x), name="resnet_50")


def _block(layers, x, width, stride, project, skip):
    shortcut = conv_norm(layers, x, 4 * width, 1, stride) if project else x
    y = layers.Activation("relu")(conv_norm(layers, x, width, 1, 1))
    y = layers.Activation("relu")(conv_norm(layers, y, width, 3, stride))
    y = conv_norm(layers, y, 4 * width, 1, 1)
    if skip:
        y = layers.StochasticDepth(skip)(y)
    return layers.Activation("relu")(layers.Add()([shortcut, y]))


def conv_norm(layers, x, width, size, stride):
    """A convolution without bias, then batch norm.

    Args:
        layers: namespace of the layers.
        x: [B, H, W, C].
        width: its channels.
        size: side of its kernel.
        stride: its stride.
    Returns:
        [B, ceil(H / stride), ceil(W / stride), width].
    """
    conv = layers.Conv2D(width, size, stride, padding="same", use_bias=False, kernel_initializer="he_normal")
    return layers.BatchNorm()(conv(x))
