"""Tiny networks and batches for the tests of methods."""

import functools

import keras
import numpy as np
import tensorflow as tf

from mpl_tf.models.layers import BatchNorm
from mpl_tf.models.small_cnn import two_stages
from mpl_tf.settings.catalogue import METHODS
from mpl_tf.step.optimizer import SGD

FEATURES, CLASSES = 5, 3
UNLABELED = 8  # Examples in all, of which a batch holds the numbers.
SEEDS = {"network": 1, "teacher": 1, "student": 11}
# What `make` takes where a test says nothing: steps without an average, smoothing, sampling and weight decay, but for
# methods that are nothing without an average.
PLAIN = {"ema_decay": 0.0}
SOFT = {"pseudo_labels": "soft", "label_smoothing": 0.0}
PLAIN_OF = {
    "pseudo_labels": SOFT,
    "noisy_student": SOFT,  # With its filter and its balance.
    "mean_teacher": {"ema_decay": 0.999},
    "meta_semi": {"ema_decay": 0.99},
}


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
    """One batch of vectors, as the pipeline makes it; the last unlabeled one has the number of the first."""
    random = np.random.default_rng(seed)
    weak = random.normal(size=(unlabeled, FEATURES))
    x_l = random.normal(size=(labeled, FEATURES))
    y_l = random.integers(0, CLASSES, labeled)
    strong = weak + 0.3 * random.normal(size=weak.shape)
    return {
        "x_l": tf.constant(x_l, tf.float32),
        "x_l_strong": tf.constant(x_l + 0.3 * random.normal(size=x_l.shape), tf.float32),
        "y_l": tf.constant(y_l, tf.int32),
        "x_u_weak": tf.constant(weak, tf.float32),
        "x_u_weak_2": tf.constant(weak + 0.1 * random.normal(size=weak.shape), tf.float32),
        "x_u_strong": tf.constant(strong, tf.float32),
        "q_u": tf.nn.softmax(tf.constant(random.normal(size=(unlabeled, CLASSES)), tf.float32)),
        "i_u": numbers(unlabeled),
    }


def numbers(unlabeled):
    """Numbers of a batch's unlabeled examples: 0, 1, 2, ..., 0."""
    return tf.concat([tf.range(unlabeled - 1), [0]], axis=0)


def images(labeled=4, unlabeled=8):
    """One batch of images of 8 x 8 pixels, as the pipeline makes it."""
    random = np.random.default_rng(0)
    sizes = {"x_l": labeled, "x_u_weak": unlabeled, "x_u_strong": unlabeled, "x_l_strong": labeled}
    views = {key: tf.constant(random.normal(size=(n, 8, 8, 3)), tf.float32) for key, n in sizes.items()}
    q_u = tf.nn.softmax(tf.constant(random.normal(size=(unlabeled, CLASSES)), tf.float32))
    y_l = tf.range(labeled) % CLASSES
    others = {"y_l": y_l, "q_u": q_u, "i_u": numbers(unlabeled)}
    return views | others | {"x_u_weak_2": -views["x_u_weak"][:, :, ::-1]}


def make(name, rate=0.1, momentum=0.9, norm=False, compiled=None, **options):
    """A compiled method of that name on tiny networks of fixed weights, with PLAIN's options where none are given."""
    row = METHODS[name]
    keras.utils.set_random_seed(0)  # For networks that a method makes itself.
    kind, networks = row.resolve(), {role: network(SEEDS[role], norm=norm) for role in row.networks}
    method = kind(**networks, **told(kind), **PLAIN | PLAIN_OF.get(name, {}) | options)
    optimizers = {"optimizer": sgd(rate, momentum)}
    if row.two_optimizers:
        optimizers["teacher_optimizer"] = sgd(rate, momentum)
    method.compile(**optimizers, **{"weight_decay": 0.0} | (compiled or {}))
    return method


def told(kind):
    """What a method is told of the data, by the rule of methods.make: dict of arguments."""
    return {"num_unlabeled": UNLABELED} if "i_u" in kind.batch_keys else {}


def shared(name, norm=False, ema_decay=0.9, **options):
    """A method as `make` gives it, with the numbers of a new one.

    It is the same object each time, whose step is traced once: for tests that train it and keep nothing of it.
    """
    method, first = _kept(name, norm, ema_decay, tuple(sorted(options.items())))
    for variable, value in first:
        variable.assign(value)
    return method


@functools.cache
def _kept(name, norm, ema_decay, options):
    """(method, [(variable, its first value)])."""
    method = make(name, norm=norm, ema_decay=ema_decay, **dict(options))
    return method, [(variable, variable.numpy()) for part in method.state().values() for variable in part]


def convolutional(dropout=0.0):
    """small_cnn with one convolution a stage and fewer channels, for `images`: quick to trace."""
    return two_stages("tiny_cnn", ((8,), (16,)), (8, 8, 3), CLASSES, dropout)


def sgd(rate, momentum):
    """The project's SGD, Nesterov where there is momentum."""
    return SGD(rate, momentum=momentum, nesterov=momentum > 0)


def repeated(one_batch):
    """A data set that yields the same batch for ever."""
    return tf.data.Dataset.from_tensors(one_batch).repeat()


def halves(one_batch):
    """The same as the parts of two replicas, one after the other, for ever."""
    parts = {key: tf.reshape(value, [2, -1, *value.shape[1:]]) for key, value in one_batch.items()}
    return tf.data.Dataset.from_tensor_slices(parts).repeat()


def flat(tensors):
    """All numbers of a list of tensors as one float64 vector."""
    return np.concatenate([np.asarray(tensor, np.float64).ravel() for tensor in tensors])


def run(method, batches, steps):
    """Train: (the logs of the last step, all trained numbers)."""
    history = method.fit(batches, epochs=1, steps_per_epoch=steps, verbose=0).history
    numbers = [variable.numpy() for learner in method.learners().values() for variable in learner.network.variables]
    return {name: values[-1] for name, values in history.items()}, flat(numbers)
