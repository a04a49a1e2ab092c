"""A small convolutional network for digits of 8 x 8 pixels and up."""

import keras

from mpl_tf.models.layers import BatchNorm
from mpl_tf.models.wide_resnet import check_image

LEAK = 0.1
WIDTHS = ((32, 32), (64, 64))  # Convolutions of each stage; the image is halved after a stage.


def small_cnn(shape, num_classes, dropout=0.0):
    """Two stages of two 3 x 3 convolutions, 2 x 2 max-pooling after each, global average, classifier.

    Args:
        shape: (H, W, 3), H and W at least 8.
        num_classes: number of logits.
        dropout: rate before the classifier, in [0, 1).
    Returns:
        keras.Model, float32 [B, H, W, 3] -> logits float32 [B, num_classes].
    Raises:
        UsageError: the examples are no images of that size.
    """
    check_image("small_cnn", shape, smallest=8)
    x = inputs = keras.Input(shape)
    for stage in WIDTHS:
        for width in stage:
            x = keras.layers.Conv2D(width, 3, padding="same", use_bias=False, kernel_initializer="he_normal")(x)
            x = keras.layers.LeakyReLU(LEAK)(BatchNorm()(x))
        x = keras.layers.MaxPooling2D()(x)
    x = keras.layers.GlobalAveragePooling2D()(x)  # [B, 64]
    x = keras.layers.Dropout(dropout)(x)
    return keras.Model(inputs, keras.layers.Dense(num_classes, dtype="float32")(x), name="small_cnn")
