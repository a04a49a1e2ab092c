"""What a method is given: a network that ends in logits, labels that are classes. The program's own always are; a
notebook's may be anything, and most of it would train in silence."""

import re

import keras
import tensorflow as tf

from mpl_tf.base.errors import UsageError
from mpl_tf.devices import distribute

LABELS = "y_l: expected labels of classes 0 to"  # How `labels` begins what it says of a value.
PROBABILITIES = ("softmax", "sigmoid", "hard_sigmoid")  # Last operations whose results are no logits.
SAME_VALUES = (keras.layers.Dropout, keras.layers.Flatten, keras.layers.Reshape, keras.layers.Identity)


def logits(network):
    """Refuse a network whose last operation turns logits into probabilities, as far as its layers tell.

    Raises:
        UsageError: naming the layer.
    """
    last = _last(network)
    kind = getattr(getattr(last, "activation", None), "__name__", type(last).__name__.lower())
    if last is not None and (kind in PROBABILITIES or last.name.startswith(PROBABILITIES)):
        raise UsageError(
            f"network: expected logits, {network.name} ends in {kind} ({last.name}), and the losses take the softmax "
            "themselves; leave it out"
        )


def _last(network):
    """The operation that gives a network's values; None where it does not tell its layers."""
    for part in reversed(getattr(network, "operations", None) or network.layers):
        if isinstance(part, keras.Model):
            return _last(part)
        linear = isinstance(part, keras.layers.Activation) and part.activation is keras.activations.linear
        if not (linear or isinstance(part, SAME_VALUES)):
            return part
    return None


def accumulation(network, accumulate):
    """Refuse passes in parts whose batch norm takes statistics over replicas: TensorFlow cannot reduce within a loop.

    Args:
        network: keras.Model.
        accumulate: parts of a pass.
    Raises:
        UsageError: more than one part, several replicas and such a layer.
    """
    # A layer that is frozen takes no statistics.
    layers = [layer for layer in network._flatten_layers() if layer.trainable]
    shared = [layer for layer in layers if getattr(layer, "synchronized", False)]
    replicas = distribute.replicas()
    if accumulate > 1 and replicas > 1 and shared:
        raise UsageError(
            f"--accumulate: expected 1, as {replicas} replicas share the statistics of {network.name}'s batch norm, "
            f"got {accumulate}; give --accumulate=1 with a smaller --labeled_batch or --mu, or --strategy=one"
        )


def labels(y, classes):
    """Labels as int32, refused where they are none.

    Their values are looked at when the step runs, except under XLA and on a mesh, which know no such operation; there
    a label out of range counts as an example of no class.

    Args:
        y: tensor [B] of any integer type.
        classes: C.
    Returns:
        int32 [B].
    Raises:
        UsageError: one-hot or other vectors, numbers that are not whole.
        tf.errors.InvalidArgumentError: when the step runs, a value below 0 or above C - 1; `told` makes a line of it.
    """
    y = tf.convert_to_tensor(y)
    if y.shape.rank != 1:
        advice = "y[:, 0]" if y.shape.rank == 2 and y.shape[-1] == 1 else "tf.argmax(y, axis=-1)"
        raise UsageError(
            f"y_l: expected one class number an example, shape [B], got shape {list(y.shape)}; give {advice}"
        )
    if not y.dtype.is_integer:
        raise UsageError(
            f"y_l: expected class numbers of an integer type, got {y.dtype.name}; give tf.cast(y, 'int32')"
        )
    inside = tf.reduce_all((y >= 0) & (tf.cast(y, tf.int64) < classes))
    values = [f"{LABELS} {classes - 1}, got", tf.reduce_min(y), "to", tf.reduce_max(y)]
    return tf.cast(distribute.checked(y, inside, values), tf.int32)


def told(error):
    """The UsageError behind a tf.errors.OpError that `labels` caused, else None."""
    found = re.search(rf"\[{LABELS} (\d+), got\] \[(-?\d+)\] \[to\] \[(-?\d+)\]", str(error))
    if not found:
        return None
    most, low, high = found.groups()
    return UsageError(f"{LABELS} {most}, the network's outputs, got {low} to {high}; give labels from 0 on")
