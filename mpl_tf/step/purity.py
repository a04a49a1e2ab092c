"""Whether a network is a function of its weights, its state and its inputs alone, as the step takes it to be.

Keras' own layers are: what they remember is among the network's variables, and what they draw comes from a seed there.
Of others the training pass is traced once and its graph read: an operation that draws by a seed that the state does not
give would draw the same numbers in every step, or others in each of the passes that must see the same ones, and a
variable that the network does not list would be neither restored nor equal on all replicas.
"""

import re

import keras
import tensorflow as tf

from mpl_tf.base.errors import UsageError

KNOWN = ("keras.src.layers.", "keras.src.models.", "mpl_tf.")  # Modules of layers that need no look.
STATEFUL = r"(Random|Truncated|ParameterizedTruncated|Multinomial|Stateful(Random|Standard|Truncated|Uniform))"
STATELESS = r"Stateless(Random|Truncated|Parameterized|Multinomial)"
BATCH = 2  # Images of the pass that is traced.


def check(network):
    """Refuse a network that is no such function.

    Args:
        network: built keras.Model.
    Raises:
        UsageError: naming the layer.
    """
    layers = [layer for layer in network._flatten_layers(include_self=False) if not _known(layer)]
    if not layers:
        return
    graph = _traced(network)
    inputs = {id(tensor.op) for tensor in graph.inputs}
    outside = {id(inner.op) for outer, inner in graph.captures if outer.dtype == tf.resource}
    inputs -= {id(inner.op) for _, inner in graph.captures}
    for operation in graph.get_operations():
        if any(id(tensor.op) in outside for tensor in operation.inputs):
            raise _refused(network, operation, "remembers what is not among the network's variables")
        drawn = re.match(STATELESS, operation.type) and "Get" not in operation.type
        if re.match(STATEFUL, operation.type) or (drawn and not _depends(operation, inputs)):
            raise _refused(network, operation, "draws random numbers by no seed of the network's state")


def _known(layer):
    """Whether a layer is one of Keras' or of this program, and not a function of the user's."""
    return type(layer).__module__.startswith(KNOWN) and not isinstance(layer, keras.layers.Lambda)


def _traced(network):
    """The graph of a training pass whose inputs are the weights, the state and the images."""

    def specs(variables):
        return [tf.TensorSpec(variable.shape, variable.dtype) for variable in variables]

    @tf.function(autograph=False)
    def run(weights, state, x):
        return network.stateless_call(weights, state, x, training=True)

    x = tf.TensorSpec([BATCH, *network.input_shape[1:]], tf.float32)
    return run.get_concrete_function(
        specs(network.trainable_variables), specs(network.non_trainable_variables), x
    ).graph


def _depends(operation, inputs):
    """Whether any of an operation's inputs comes from those placeholders."""
    waiting, seen = [operation], set()
    while waiting:
        one = waiting.pop()
        if id(one) in inputs:
            return True
        if id(one) not in seen:
            seen.add(id(one))
            waiting.extend(tensor.op for tensor in one.inputs)
    return False


def _refused(network, operation, what):
    """The refusal of the layer in whose scope an operation is, the innermost that there is."""
    layers = {layer.name: type(layer).__name__ for layer in network._flatten_layers(include_self=False)}
    # Keras opens a scope of the layer's name, to which TensorFlow adds a number.
    scopes = [re.sub(r"_\d+$", "", part) for part in operation.name.split("/")]
    name = next((scope for scope in reversed(scopes) if scope in layers), network.name)
    return UsageError(
        f"network: {network.name} has a layer that {what}, {name} ({layers.get(name, type(network).__name__)}); take a "
        "network without it, or give the layer a keras.random.SeedGenerator and variables of its own"
    )
