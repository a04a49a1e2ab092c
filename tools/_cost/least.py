"""The least that a step must compute, from the shapes of its networks: products (convolutions, dense layers) alone.

The forward pass of a layer, its gradient by what it was given and its gradient by its weights are each a sum over the
same triples of an input value, a weight and an output value: as many operations, two a triple, and the same three
arrays are read or written. A window's places in the padding make no triple.
"""

import dataclasses
import math

import keras
import tensorflow as tf

from mpl_tf.base.errors import UsageError
from mpl_tf.models.pieces import elements

from .passes import FORWARD, PRODUCTS

NO_PRODUCT = (keras.layers.BatchNormalization, keras.layers.LayerNormalization)


@dataclasses.dataclass(frozen=True)
class Layer:
    """A product of a network.

    Args:
        flops: of one image's forward pass.
        moved: elements of one image that go in and out.
        weights: elements of its kernel.
        size: bytes of an element.
        first: whether nothing before it has weights: no gradient by what it was given is asked for.
    """

    flops: int
    moved: int
    weights: int
    size: int
    first: bool

    def products(self, kind):
        """How often a pass of that kind (passes.PRODUCTS) computes its product."""
        return PRODUCTS[kind] - (self.first and kind != FORWARD)


def of_step(passes, networks):
    """(operations, bytes) of a step's passes, int each; of bytes each product's two operands and its result, once.

    Args:
        passes: list of passes.Pass.
        networks: dict of role to keras.Model.
    """
    found = {role: layers(network) for role, network in networks.items()}
    products = [(layer.products(one.kind), layer, one.images) for one in passes for layer in found[one.role]]
    flops = sum(count * layer.flops * images for count, layer, images in products)
    moved = sum(count * layer.size * (layer.moved * images + layer.weights) for count, layer, images in products)
    return flops, moved


def layers(network):
    """The products of a network, list of Layer.

    Args:
        network: Functional or Sequential keras.Model.
    Raises:
        UsageError: weights that are neither of convolutions, of dense layers nor of norms, as of layers inside layers.
    """
    found, behind = [], set()
    for layer in network.layers:
        inputs = layer.input if isinstance(layer.input, list) else [layer.input]
        after = any(id(tensor) in behind for tensor in inputs)
        if layer.trainable_weights and not isinstance(layer, NO_PRODUCT):
            moved = sum(map(elements, inputs)) + elements(layer.output)
            size = tf.as_dtype(layer.compute_dtype).size
            found.append(Layer(_flops(layer), moved, math.prod(layer.kernel.shape), size, not after))
        if after or layer.trainable_weights:
            behind.add(id(layer.output))
    return found


def _flops(layer):
    """Operations of a layer's forward pass on one image."""
    if isinstance(layer, keras.layers.Dense):
        return 2 * math.prod(layer.kernel.shape) * math.prod(layer.output.shape[1:-1])
    if not isinstance(layer, (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)):
        kind = type(layer).__name__
        raise UsageError(f"--cost: expected networks of convolutions and dense layers, {layer.name} is a {kind}")
    sides = layer.input.shape[1:3], layer.output.shape[1:3], layer.kernel_size, layer.strides, layer.dilation_rate
    places = math.prod(pairs(*axis, layer.padding) for axis in zip(*sides, strict=True))
    # A kernel's last two axes are in and out, of a depthwise one channels and multiplier: one triple each a place.
    return 2 * places * math.prod(layer.kernel.shape[2:])


def pairs(size, result, kernel, stride, dilation, padding):
    """Pairs, along an axis, of a place of the result and a place of the kernel that meet no padding: int.

    Args:
        size, result, kernel: sides of what comes in, of what goes out and of the kernel.
        stride, dilation: of the convolution.
        padding: "same" or "valid", as TensorFlow has them.
    """
    reach = (kernel - 1) * dilation + 1
    before = max((result - 1) * stride + reach - size, 0) // 2 if padding == "same" else 0
    places = (place * stride + offset * dilation - before for place in range(result) for offset in range(kernel))
    return sum(0 <= place < size for place in places)
