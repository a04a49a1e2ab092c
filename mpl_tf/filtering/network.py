"""A model as a function of batches of one size: what it makes of an image does not depend on the image's neighbours."""

import functools

import keras
import numpy as np
import tensorflow as tf

MOST_CONSTANT = 2**28  # Weights; a graph holds less than 2 GiB.


class Fixed:
    """A model for batches of one size.

    Args:
        model: keras.Model of images [B, S, S, 3] in [0, 255].
        size: S, pixels.
        batch: B; a smaller one is filled up with black images, whose outputs are cut off again.
        finish: function of the outputs and of what the last layer with weights takes (of a model without weights the
            outputs again), tensors float32 [B, ...], that gives a tuple of tensors [B, ...].
    """

    def __init__(self, model, size, batch, finish):
        self.batch = batch
        call = _constant(model) if model.count_params() <= MOST_CONSTANT else functools.partial(model, training=False)
        taken = _Taken(model)

        @tf.function(input_signature=[tf.TensorSpec([batch, size, size, 3], tf.uint8)], autograph=False)
        def run(x):
            outputs = tf.cast(call(tf.cast(x, tf.float32)), tf.float32)
            return finish(outputs, outputs if taken.value is None else tf.cast(taken.value, tf.float32))

        self._run = run

    def __call__(self, pixels):
        """The tuple that `finish` gives, as arrays [n, ...], of images uint8 [n, S, S, 3], n at most the batch."""
        count = len(pixels)
        if count < self.batch:
            pixels = np.concatenate([pixels, np.zeros([self.batch - count, *pixels.shape[1:]], np.uint8)])
        return tuple(part.numpy()[:count] for part in self._run(pixels))


class _Taken:
    """What the last layer with weights of a model takes, as `value` after each call: a classifier's features.

    None where no layer has weights.
    """

    def __init__(self, model):
        self.value = None
        for layer in weighted(model)[-1:]:
            layer.call = self._told(layer.call)

    def _told(self, own):
        def call(x, *more, **named):
            self.value = x
            return own(x, *more, **named)

        return call


def flat(model):
    """The layers of a model, and of models within it, in their order."""
    for layer in model.layers:
        yield from flat(layer) if isinstance(layer, keras.Model) else (layer,)


def weighted(model):
    """list of those that have weights."""
    return [layer for layer in flat(model) if layer.weights]


def _constant(model):
    """The model as a function whose graph holds the weights, so that TensorFlow can fold them: a small CNN takes a
    tenth less time."""
    parts = [[weight.numpy() for weight in part] for part in (model.trainable_variables, model.non_trainable_variables)]

    def call(x):
        return model.stateless_call(*[[tf.constant(value) for value in part] for part in parts], x, training=False)[0]

    return call
