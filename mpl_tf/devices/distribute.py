"""The present devices, and what a step asks of them: sums over its copies, joined batches, assignments.

Methods and networks import this module and need not be handed the devices: those whose scope is open answer, else those
of tf.distribute's present strategy, as in a notebook under `strategy.scope()` or inside a replica.
"""

import functools

import tensorflow as tf

from mpl_tf.base import console
from mpl_tf.devices.interface import OPEN
from mpl_tf.devices.replicas import Replicas


def current():
    """The present Devices."""
    return OPEN[-1] if OPEN else Replicas(tf.distribute.get_strategy())


def has_accelerator():
    """Whether TensorFlow sees a GPU or a TPU."""
    return bool(tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("TPU"))


def jit_compile(asked):
    """Whether XLA compiles the step on the present devices: as asked on one, never over several.

    TensorFlow refuses mirrored variables inside an XLA program, and a TPU compiles everything by itself. A TensorFlow
    that has no XLA for this machine goes without, and says so: recipes ask for XLA wherever they run.
    """
    if not asked or replicas() > 1:
        return False
    if not has_xla():
        console.tell("--jit_compile: this TensorFlow has no XLA for the machine's own processor; it trains without")
    return has_xla()


@functools.cache
def has_xla():
    """Whether XLA compiles for TensorFlow's first device; tensorflow-tpu has none for a TPU's host."""
    try:
        tf.function(tf.add, jit_compile=True)(tf.constant(0.0), tf.constant(0.0))
    except (tf.errors.NotFoundError, tf.errors.UnimplementedError):
        return False
    return True


def replicas():
    """Copies of the step that run side by side, each on its own part of the batch: int; 1 on a mesh."""
    return current().copies


def replica_id():
    """Number of the copy that asks, from 0: int, or int32 scalar."""
    return current().replica_id()


def mean(values):
    """Mean of a nest of tensors over the copies, on each of them."""
    return current().mean(values)


def batch_mean(values):
    """Mean over the examples of the whole batch, float32 [b, ...] -> [...]; as Devices.batch_mean has it."""
    return current().batch_mean(values)


def gather(values):
    """A copy's numbers [b] with those of all others, [copies * b] in the order of the global batch."""
    return current().gather(values)


def dot(a, b):
    """Sum of the products of two lists of tensors of a network's weights: float32 scalar, equal on all devices."""
    return current().dot(a, b)


def join(xs):
    """Batches [B_i, ...] as one, to pass a network together, in an order of the devices' own."""
    return current().join(xs)


def cut(x, count):
    """A batch [B, ...] as parts [B / count, ...], list; as Devices.cut has it."""
    return current().cut(x, count)


def uncut(values):
    """Numbers of the parts of a batch, list of [B / n, C], as those of the batch, [B, C]."""
    return current().uncut(values)


def split(z, xs):
    """The logits [sum of B_i, C] of joined batches as those of each: list of [B_i, C]."""
    return current().split(z, xs)


def checked(value, holds, told):
    """A value, of a step that fails where a condition does not hold; as Devices.checked has it."""
    return current().checked(value, holds, told)


def assign(updates):
    """Assign a list of (variable, new value) from inside the step, each copy having computed the same values."""
    current().assign(updates)
