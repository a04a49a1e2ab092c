"""The TwoMoon network (paper section 3.1): 2-8-8-classes, sigmoid, weights from U(-0.1, 0.1)."""

import keras


def mlp(shape, num_classes, dropout=0.0):
    """Fully connected network of two hidden layers of 8 units.

    Args:
        shape: (D,), the number of features.
        num_classes: number of logits.
        dropout: not used; the paper regularises nothing here.
    Returns:
        keras.Model, float32 [B, D] -> logits float32 [B, num_classes].
    """

    def dense(units, **kwargs):
        uniform = keras.initializers.RandomUniform(-0.1, 0.1)
        return keras.layers.Dense(units, kernel_initializer=uniform, bias_initializer=uniform, **kwargs)

    return keras.Sequential(
        [
            keras.Input(shape),
            dense(8, activation="sigmoid"),
            dense(8, activation="sigmoid"),
            dense(num_classes, dtype="float32"),
        ],
        name="mlp",
    )
