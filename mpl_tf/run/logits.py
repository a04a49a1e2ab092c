"""What a network says of examples at hand, by Keras' predict() on the devices that the network was made for."""

import numpy as np
import tensorflow as tf


def logits(model, images, batch):
    """The logits of examples, in order.

    A network made in the scope of several devices (Devices.scoring) shares each batch out to them.

    Args:
        model: keras.Model of examples -> logits.
        images: array [n, ...], n >= 1.
        batch: examples a batch.
    Returns:
        float64 [n, C].
    """
    # Of what nobody has compiled Keras lets XLA make a program, where the training did without it; and the TensorFlow
    # of TPUs has no XLA for their hosts.
    model.jit_compile = False
    count, strategy = len(images), model.distribute_strategy
    tpu = isinstance(strategy, tf.distribute.TPUStrategy)
    if strategy.num_replicas_in_sync > 1 or tpu:
        # Whole batches that the replicas divide: each has examples to score, and a TPU compiles one program for all.
        batch = -(-(batch if tpu else min(batch, count)) // strategy.num_replicas_in_sync)
        batch *= strategy.num_replicas_in_sync
        images = np.concatenate([images, np.repeat(images[-1:], -count % batch, axis=0)])
    return np.asarray(model.predict(images, batch_size=batch, verbose=0), np.float64)[:count]
