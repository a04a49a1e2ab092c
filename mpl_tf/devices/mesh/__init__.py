"""Hybrid model-data parallelism on DTensor: one training step, its images and weights split over a mesh.

Networks, methods and the rest of the program ask here for what a mesh needs; without one they get what changes nothing.
"""

from mpl_tf.devices.mesh.grid import Grid, current, make_grid
from mpl_tf.devices.mesh.variables import gathered, place

__all__ = ["Grid", "current", "gathered", "make_grid", "network_layers", "placed", "whole"]


def network_layers():
    """The namespace of layers of the grid whose scope is open; None without one."""
    if current() is None:
        return None
    from mpl_tf.devices.mesh.layers import namespace

    return namespace(current())


def placed(method):
    """A compiled method, its variables and its step moved to the grid whose scope is open; as it is without one."""
    if current() is not None:
        place(method, current())
    return method


def whole(network):
    """A network on a grid as an ordinary one with its weights; an ordinary one as it is."""
    if not hasattr(network, "twin"):
        return network
    copy = network.twin()
    copy.set_weights([weight.value.whole() for weight in network.weights])
    return copy
