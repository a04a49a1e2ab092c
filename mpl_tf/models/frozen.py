"""A pretrained network without its classifier, which is not trained any more: images in, features out."""

import hashlib

import keras
import numpy as np
import tensorflow as tf

from mpl_tf.base.errors import UsageError
from mpl_tf.models.layers import stock_copy


def backbone(network, shape, scale, offset):
    """The network before its classifier, with what its images go through first.

    Images smaller or larger than the network's are resized, bilinearly, after they were cut, moved and recoloured at
    their own size: that is cheaper than views of enlarged images, and the same for all methods.

    Args:
        network: keras.Model of logits, its classifier last.
        shape: of an image, (H, W, 3).
        scale, offset: lists of three floats; x * scale + offset is what the network was trained on.
    Returns:
        keras.Model of stock layers in float32, in inference alone: images [B, H, W, 3] in [0, 255] -> features
        float32 [B, F].
    Raises:
        UsageError: a network that ends in no dense layer after features.
    """
    last = network.layers[-1]
    if not isinstance(last, keras.layers.Dense) or len(last.input.shape) != 2:
        raise UsageError(f"--freeze: expected a network that ends in a classifier of features, got {network.name}")
    body = stock_copy(keras.Model(network.inputs, last.input))
    inputs = x = keras.Input(shape, dtype="float32")
    size = body.input_shape[1:3]
    if tuple(shape[:2]) != size:
        # Not by keras.layers.Resizing (3.15), whose own default, training, then holds for all layers after it.
        x = keras.ops.image.resize(x, size, interpolation="bilinear")
    x = keras.layers.Rescaling(scale, offset, dtype="float32")(x)
    found = keras.Model(inputs, body(x), name=f"{network.name}_features")
    found.trainable = False
    return found


def whole(backbone, head):
    """Backbone and head as one keras.Model: images [B, H, W, 3] in [0, 255] -> logits float32 [B, C]."""
    inputs = keras.Input(backbone.input_shape[1:], dtype="float32", name="images")
    return keras.Model(inputs, head(backbone(inputs)), name=backbone.name.removesuffix("_features"))


def constant(backbone):
    """The backbone with its weights as constants of the graph, which TensorFlow then folds into one another.

    On a CPU of two cores EfficientNet-Lite0 gives 960 images of 96 x 96 pixels a second so, 650 with its weights as
    variables and 350 in bfloat16.

    Args:
        backbone: keras.Model.
    Returns:
        tf.function: uint8 or float32 [B, H, W, 3] -> features float16 [B, F].
    """
    trainable, others = (
        [np.asarray(variable) for variable in variables]
        for variables in (backbone.trainable_variables, backbone.non_trainable_variables)
    )

    @tf.function(autograph=False)
    def features(images):
        weights = [[tf.constant(value) for value in values] for values in (trainable, others)]
        found, _ = backbone.stateless_call(*weights, tf.cast(images, tf.float32), training=False)
        return tf.saturate_cast(found, tf.float16)

    return features


def digest(backbone):
    """SHA-256 of the backbone's weights, in their order."""
    found = hashlib.sha256()
    for value in backbone.get_weights():
        found.update(np.ascontiguousarray(value))
    return found.hexdigest()
