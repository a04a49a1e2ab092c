"""What a network's backward pass holds at its largest, layer after layer from the end, from shapes alone.

At a layer there are the activations that it and the layers before it read again, those of later ones having been let
go, and the gradients that are on their way: of what the layer gave and was given, and of branches that wait.
"""

import dataclasses

import keras

from mpl_tf.models.pieces import elements, graph_nodes

READ_INPUT = (  # Layers whose backward pass reads what they were given.
    keras.layers.Conv2D,
    keras.layers.DepthwiseConv2D,
    keras.layers.Dense,
    keras.layers.BatchNormalization,
    keras.layers.Activation,
    keras.layers.LeakyReLU,
    keras.layers.Multiply,
    keras.layers.MaxPooling2D,
)
RECTIFIED, SMOOTH = ("relu", "relu6"), ("silu", "swish")


@dataclasses.dataclass(frozen=True)
class Most:
    """Elements of one image that are there at most, kept activations among them: on one device, and on a mesh.

    Args:
        whole: on a device by itself.
        kept: on a mesh, where the windows of k x k convolutions, k > 1, wait too, and one layer's have gradients.
        made: on a mesh, where one layer's windows are made again, and have gradients.
    """

    whole: int
    kept: int
    made: int


def kept(nodes):
    """What the backward pass reads again: dict of a tensor's id to (place of its first reader, elements).

    Args:
        nodes: of the network's layers, in order.
    """
    found = {}
    for place, node in enumerate(nodes):
        if isinstance(node.operation, READ_INPUT):
            # The gradient of a ReLU reads what it gave, which the next layer was given too.
            for tensor in node.outputs if _activation(node) in RECTIFIED else node.input_tensors:
                found.setdefault(id(tensor), (place, elements(tensor)))
    return found


def most(network, window, images=False):
    """The `Most` of a network.

    Args:
        network: functional keras.Model.
        window: function of a layer -> elements of its windows.
        images: whether its input is images, of which nobody asks for the gradient.
    """
    nodes = graph_nodes(network)
    read, windows = kept(nodes), [window(node.operation) for node in nodes]
    best = [0, 0, 0]
    for place, moving in enumerate(gradients(nodes, network.inputs if images else ())):
        there = moving + sum(size for reader, size in read.values() if reader <= place)
        # Tiles go through batch norm by single operations: its input less the mean, and the part of its gradient that
        # comes by the statistics, are values of their own. One device has a kernel for all of it.
        norm = isinstance(nodes[place].operation, keras.layers.BatchNormalization)
        tiles = there + (2 * elements(nodes[place].outputs[0]) if norm else 0)
        now = (there, tiles + sum(windows[: place + 1]) + windows[place], tiles + 2 * windows[place])
        best = [max(pair) for pair in zip(best, now, strict=True)]
    return Most(*best)


def gradients(nodes, unasked):
    """Elements of the gradients that are there while each layer goes backwards, in the order of the layers: list.

    Args:
        nodes: of the layers, in order.
        unasked: tensors whose gradient nobody asks for.
    """
    left, found = {id(tensor) for tensor in unasked}, []
    last = nodes[-1].outputs[0]
    waiting = {id(last): (last, elements(last))}  # Of a tensor: whose buffer its gradient is in, and of what size.
    for node in reversed(nodes):
        upstream = waiting[id(node.outputs[0])]
        asked = [tensor for tensor in node.input_tensors if id(tensor) not in left]
        # A sum hands its gradient on as it is; other layers make one for each input.
        summed = isinstance(node.operation, keras.layers.Add)
        made = {id(tensor): upstream if summed else (tensor, elements(tensor)) for tensor in asked}
        new = 0 if summed else sum(size for _, size in made.values())
        if _activation(node) in SMOOTH:  # Its slope takes a second value beside the sigmoid's.
            new += elements(node.outputs[0])
        found.append(new + sum({id(owner): size for owner, size in waiting.values()}.values()))
        del waiting[id(node.outputs[0])]
        # What came along two branches is added up in a buffer of its own.
        for key, gradient in made.items():
            waiting[key] = (object(), gradient[1]) if key in waiting else gradient
    return found[::-1]


def _activation(node):
    return getattr(getattr(node.operation, "activation", None), "__name__", "")
