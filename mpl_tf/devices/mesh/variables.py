"""A method's variables on a grid, and whole again for checkpoints."""

import contextlib

import numpy as np
import tensorflow as tf
from tensorflow.experimental import dtensor

from mpl_tf.devices.mesh.grid import CORE


class OnGrid(dtensor.DVariable):
    """A variable on a mesh; checkpoints hold it whole, as they hold the variables of any other run.

    Args:
        value: numpy array, in its own shape.
        grid: Grid.
        flat: whether it is kept flat, split over the cores, or whole on all devices.
    """

    def __init__(self, value, grid, flat):
        self.grid, self.whole_shape, self.flat = grid, value.shape, flat
        self.gathered = None  # The values in their own shape, inside `gathered`.
        super().__init__(self._laid(value))

    def whole(self):
        """The values in their own shape, numpy."""
        value = self.grid.whole(self.read_value())
        return value[: int(np.prod(self.whole_shape))].reshape(self.whole_shape) if self.flat else value

    def _laid(self, value):
        """A numpy array of the variable's own shape as the mesh holds it."""
        if not self.flat:
            return self.grid.put(value)
        row = np.reshape(value, [-1])  # [n]
        return self.grid.put(np.pad(row, [0, -row.size % self.grid.cores]), CORE)

    # TensorFlow's hooks for checkpoints; the name is that of any variable's value there.

    def _serialize_to_tensors(self):
        return {"VARIABLE_VALUE": tf.constant(self.whole() if self.gathered is None else self.gathered)}

    def _restore_from_tensors(self, restored_tensors):
        (value,) = restored_tensors.values()
        if tuple(value.shape) != self.whole_shape:
            raise ValueError(f"expected a value of shape {self.whole_shape}, got {tuple(value.shape)}")
        return self.assign(self._laid(value.numpy()))


@contextlib.contextmanager
def gathered(method):
    """Inside it checkpoints find the method's variables gathered: all hosts gather, whichever of them writes."""
    variables = [v.value for group in method.state().values() for v in group if isinstance(v.value, OnGrid)]
    # Gathering is a collective: left to the one host that writes, it would wait for the others for ever.
    for variable in variables:
        variable.gathered = variable.whole()
    try:
        yield
    finally:
        for variable in variables:
            variable.gathered = None


def place(method, grid):
    """Move a compiled method's variables to the grid.

    Networks, optimizer slots and the average of the weights are split over the cores; counters, rates and random
    generators' states lie whole on all devices.

    Args:
        method: compiled Method, made in the grid's scope.
        grid: Grid.
    """
    # Keras' copy of a network has not what models.build left with the original.
    if method.averaged is not None:
        method.averaged.twin = method.student_network.twin

    for group, variables in method.state().items():
        for variable in variables:
            if hasattr(variable, "whole_shape"):  # Of a network that an earlier phase trained.
                continue
            flat = group != "counters" and variable.dtype.startswith("float") and len(variable.shape) > 0
            value = OnGrid(variable.numpy(), grid, flat)
            # Keras gives its variables no other home once they are made; it asks for `_value` and `_shape` alone.
            variable._value, variable._shape = value, tuple(value.shape)
            variable.whole_shape = value.whole_shape
