"""CNN-13, the 13-layer network on which Mean Teacher, ICT and Meta-Semi are compared.

That of Laine and Aila 2017 in the form of Tarvainen and Valpola 2017, without the Gaussian noise on its input (views
are the pipeline's) and without weight normalisation.
"""

import keras

from mpl_tf.models.layers import BatchNorm, MaxPooling2D

LEAK = 0.1
WIDTHS = (128, 256)  # Each: three 3 x 3 convolutions, then 2 x 2 max-pooling and dropout.
HEAD = ((512, 3), (256, 1), (128, 1))  # Channels and side of the last convolutions, which have no padding.


def cnn13(shape, num_classes, dropout=0.0):
    """Nine convolutions, each with batch norm and leaky ReLU, global average, classifier; 3.12 M weights.

    Args:
        shape: (H, W, 3), as large as its row says: the first unpadded convolution is 3 wide and sees a quarter.
        num_classes: number of logits.
        dropout: rate after each of the two poolings, in [0, 1); the original has 0.5.
    Returns:
        keras.Model, float32 [B, H, W, 3] -> logits float32 [B, num_classes].
    """
    x = inputs = keras.Input(shape)
    for width in WIDTHS:
        for _ in range(3):
            x = _convolution(x, width, 3, "same")
        x = keras.layers.Dropout(dropout)(MaxPooling2D()(x))
    for width, size in HEAD:
        x = _convolution(x, width, size, "valid")
    x = keras.layers.GlobalAveragePooling2D()(x)  # [B, 128]
    return keras.Model(inputs, keras.layers.Dense(num_classes, dtype="float32")(x), name="cnn13")


def _convolution(x, width, size, padding):
    x = keras.layers.Conv2D(width, size, padding=padding, use_bias=False, kernel_initializer="he_normal")(x)
    return keras.layers.LeakyReLU(LEAK)(BatchNorm()(x))
