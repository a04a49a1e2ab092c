"""Small convolutional networks for digits of 8 x 8 pixels and up."""

import functools

import keras

from mpl_tf.models.layers import BatchNorm, MaxPooling2D

LEAK = 0.1


def two_stages(name, widths, shape, num_classes, dropout=0.0):
    """Two stages of two 3 x 3 convolutions, 2 x 2 max-pooling after each, global average, classifier.

    Args:
        name: of the network.
        widths: a tuple of the convolutions' channels for each stage.
        shape: (H, W, 3), as large as its row of the catalogue says.
        num_classes: number of logits.
        dropout: rate before the classifier, in [0, 1).
    Returns:
        keras.Model, float32 [B, H, W, 3] -> logits float32 [B, num_classes].
    """
    x = inputs = keras.Input(shape)
    for stage in widths:
        for width in stage:
            x = keras.layers.Conv2D(width, 3, padding="same", use_bias=False, kernel_initializer="he_normal")(x)
            x = keras.layers.LeakyReLU(LEAK)(BatchNorm()(x))
        x = MaxPooling2D()(x)
    x = keras.layers.GlobalAveragePooling2D()(x)  # [B, widths[-1][-1]]
    x = keras.layers.Dropout(dropout)(x)
    return keras.Model(inputs, keras.layers.Dense(num_classes, dtype="float32")(x), name=name)


small_cnn = functools.partial(two_stages, "small_cnn", ((32, 32), (64, 64)))
narrow_cnn = functools.partial(two_stages, "narrow_cnn", ((16, 16), (32, 32)))
