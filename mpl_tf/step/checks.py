"""What a method is given: a network that ends in logits, labels that are classes. The program's own always are; a
notebook's may be anything, and most of it would train in silence."""

import contextlib
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


def classes(network, role="network"):
    """The number of a network's outputs, C.

    Args:
        network: what was given as a network.
        role: its name among the arguments, for messages.
    Raises:
        UsageError: no keras.Model, one whose weights and shapes are not there yet, or that gives no [B, C].
    """
    if not isinstance(network, keras.Model):
        raise UsageError(f"{role}: expected a keras.Model, got {type(network).__name__}")
    # A Sequential without Input has neither; what a subclass of Model computes Keras can neither copy nor take apart.
    try:
        shape = network.output_shape if network.built else None
    except (AttributeError, ValueError):
        shape = None
    if shape is None:
        raise UsageError(
            f"{role}: expected a built network, Functional or Sequential, {network.name} has no weights yet or is of "
            "another kind; begin it with keras.Input(shape)"
        )
    if not (isinstance(shape, tuple) and len(shape) == 2 and isinstance(shape[-1], int)):
        raise UsageError(f"{role}: expected a network of one output [B, C], that of {network.name} is {shape}")
    return shape[-1]


def same_classes(teacher, student):
    """Refuse a teacher and a student of other class counts.

    Raises:
        UsageError: they are, or what `classes` refuses.
    """
    own, other = classes(teacher, "teacher"), classes(student, "student")
    if own != other:
        raise UsageError(f"teacher: expected as many outputs as the student has, {other}, got {own}; build both alike")


def _last(network):
    """The operation that gives a network's values; None where it does not tell its layers."""
    for part in reversed(getattr(network, "operations", None) or network.layers):
        if isinstance(part, keras.Model):
            return _last(part)
        linear = isinstance(part, keras.layers.Activation) and part.activation is keras.activations.linear
        if not (linear or isinstance(part, SAME_VALUES)):
            return part
    return None


def batch(data, keys):
    """What fit() was given of a step as the dict that `step` reads.

    Args:
        data: dict of tensors; or (x, y): x_l or a dict of the other parts, and y_l.
        keys: of the parts that must be there.
    Raises:
        UsageError: a part is missing, or there are sample weights.
    """
    if isinstance(data, (tuple, list)):
        if len(data) > 2:
            raise UsageError("batch: expected no sample weights or class_weight; give the method class_weights")
        x, y = data if len(data) == 2 else (*data, None)
        data = dict(x) if isinstance(x, dict) else {"x_l": x}
        data |= {} if y is None else {"y_l": y}
    elif not isinstance(data, dict):
        data = {"x_l": data}
    if any(key not in data for key in keys):
        raise UsageError(f"batch: expected the keys {', '.join(keys)}, got {', '.join(data)}")
    return dict(data)


def examples(data):
    """(x, y, sample weights or None) of what evaluate() was given of a batch: (x, y), or a dict with x_l and y_l.

    Raises:
        UsageError: neither.
    """
    if isinstance(data, dict) and {"x_l", "y_l"} <= set(data):
        return data["x_l"], data["y_l"], None
    if isinstance(data, (tuple, list)) and len(data) in (2, 3):
        return (*data, None)[:3]
    got = f"a dict of {', '.join(data)}" if isinstance(data, dict) else "examples without labels"
    raise UsageError(f"evaluate: expected (x, y), or a dict with x_l and y_l, got {got}")


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


@contextlib.contextmanager
def one_line():
    """Inside it a step that meets a label of no class raises UsageError in one line."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        known = told(error)
        if known is None:
            raise
        raise known from error
