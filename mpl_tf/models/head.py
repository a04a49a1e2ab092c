"""The network that --freeze=backbone trains: a classifier of features."""

import keras


def head(shape, num_classes, dropout=0.0, units=0):
    """A linear classifier, or one with a hidden layer.

    Args:
        shape: (F,), the number of features.
        num_classes: number of logits.
        dropout: rate before the classifier, in [0, 1).
        units: of the hidden layer (ReLU); 0: none.
    Returns:
        keras.Model, float32 [B, F] -> logits float32 [B, num_classes].
    """
    x = inputs = keras.Input(shape)
    if units:
        x = keras.layers.Dense(units, "relu", kernel_initializer="he_normal")(x)
    x = keras.layers.Dropout(dropout)(x)
    return keras.Model(inputs, keras.layers.Dense(num_classes, dtype="float32")(x), name="head")
