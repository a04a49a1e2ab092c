"""Tiny networks and batches for the tests of methods."""

import keras
import numpy as np
import tensorflow as tf

from mpl_tf import optim
from mpl_tf.methods import METHODS
from mpl_tf.models.layers import BatchNorm

FEATURES, CLASSES = 5, 3


def network(seed, hidden=6, norm=False):
    """features -> tanh -> [batch norm ->] logits, its weights drawn from the seed."""
    layers = [keras.Input((FEATURES,)), keras.layers.Dense(hidden, "tanh", kernel_initializer=glorot(seed))]
    if norm:
        layers.append(BatchNorm())
    layers.append(keras.layers.Dense(CLASSES, kernel_initializer=glorot(seed + 1), dtype="float32"))
    return keras.Sequential(layers)


def glorot(seed):
    """A seeded initializer, wide enough for gradients that can be measured."""
    return keras.initializers.RandomNormal(stddev=0.7, seed=seed)


def batch(labeled=4, unlabeled=8, seed=0):
    """One batch of vectors, as the pipeline makes it."""
    random = np.random.default_rng(seed)
    weak = random.normal(size=(unlabeled, FEATURES))
    return {
        "x_l": tf.constant(random.normal(size=(labeled, FEATURES)), tf.float32),
        "y_l": tf.constant(random.integers(0, CLASSES, labeled), tf.int32),
        "x_u_weak": tf.constant(weak, tf.float32),
        "x_u_strong": tf.constant(weak + 0.3 * random.normal(size=weak.shape), tf.float32),
    }


def make(name, rate=0.1, momentum=0.9, norm=False, compiled=None, **options):
    """A compiled method of that name on tiny networks of fixed weights."""
    networks = (
        {"teacher": network(1, norm=norm), "student": network(11, norm=norm)}
        if name == "mpl"
        else {"network": network(1, norm=norm)}
    )
    method = METHODS[name](**networks, **options)
    optimizers = {"optimizer": sgd(rate, momentum)}
    if name == "mpl":
        optimizers["teacher_optimizer"] = sgd(rate, momentum)
    method.compile(**optimizers, **(compiled or {}))
    return method


def sgd(rate, momentum):
    """The project's SGD, Nesterov where there is momentum."""
    return optim.SGD(rate, momentum=momentum, nesterov=momentum > 0)


def repeated(one_batch):
    """A data set that yields the same batch for ever."""
    return tf.data.Dataset.from_tensors(one_batch).repeat()


def flat(tensors):
    """All numbers of a list of tensors as one float64 vector."""
    return np.concatenate([np.asarray(tensor, np.float64).ravel() for tensor in tensors])
