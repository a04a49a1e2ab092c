"""A network as a row of pieces, between which a single tensor passes: what --remat=block keeps and makes again.

In a residual network such tensors are the inputs of its blocks. The backward pass has to hold those between the pieces
and what one piece makes inside: of all such tensors those are kept that make this least.
"""

import math

import keras

from mpl_tf.base.errors import UsageError

WAITING = 2  # Networks whose tensors wait while one piece is made again: mpl's teacher beside its student.


def pieces(network):
    """The pieces of a network, in order.

    Args:
        network: built keras.Model of one input and one output, Functional or Sequential.
    Returns:
        list of keras.Model, which share the network's layers; each takes what the one before it gives.
    Raises:
        UsageError: a network that does not tell its layers' graph.
    """
    graph = getattr(network, "_functional", None) or network
    if not hasattr(graph, "_nodes_by_depth"):
        raise UsageError(
            f"--remat: block takes networks of keras.layers apart, expected a Functional or Sequential one, "
            f"{network.name} is a {type(network).__name__}; give --remat=none"
        )
    ends = [graph.inputs[0], *chosen(*passages(graph)), graph.outputs[0]]
    return [keras.Model(start, end) for start, end in zip(ends, ends[1:], strict=False)]


def passages(graph):
    """The tensors through which all passes, in order, and what lies between them.

    Args:
        graph: Functional keras.Model.
    Returns:
        (tensors, sizes): list of n KerasTensors; list of n + 1 int, elements that the operations before, between and
        after them give, for one example.
    """
    nodes = graph_nodes(graph)
    last = {id(tensor): number for number, node in enumerate(nodes) for tensor in node.input_tensors}
    tensors, sizes, waiting = [], [0], {}
    for number, node in enumerate(nodes):
        # What is made and still to be read; the input may be read late as well.
        waiting |= {id(tensor): tensor for tensor in (*node.input_tensors, *node.outputs)}
        waiting = {key: tensor for key, tensor in waiting.items() if last.get(key, len(nodes)) > number}
        sizes[-1] += sum(elements(tensor) for tensor in node.outputs)
        if len(waiting) == 1 and number < len(nodes) - 1:
            tensors += waiting.values()
            sizes.append(0)
    return tensors, sizes


def graph_nodes(network):
    """The nodes of a functional keras.Model's layers, in an order in which they can be computed."""
    by_depth = (getattr(network, "_functional", None) or network)._nodes_by_depth
    return [node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth] if not node.is_input]


def chosen(tensors, sizes):
    """Those of the passages that are kept, so that they and the largest piece take least together.

    Args:
        tensors, sizes: as `passages` gives them.
    Returns:
        list of KerasTensors, in order.
    """

    def cost(kept):
        """Elements that are held while the largest piece is made again."""
        ends = [0, *[number + 1 for number in kept], len(sizes)]
        most = max(sum(sizes[start:end]) for start, end in zip(ends, ends[1:], strict=False))
        return WAITING * sum(elements(tensors[number]) for number in kept) + most

    # Left out one by one, the largest first: neighbours then become one piece.
    kept = list(range(len(tensors)))
    for number in sorted(kept, key=lambda number: (-elements(tensors[number]), number)):
        fewer = [other for other in kept if other != number]
        if cost(fewer) <= cost(kept):
            kept = fewer
    return [tensors[number] for number in kept]


def elements(tensor):
    """Elements of one example of a KerasTensor."""
    return math.prod(tensor.shape[1:])
