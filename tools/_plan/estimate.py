"""What a run on a mesh needs: bytes a core and floating-point operations a step, from the shapes of a network alone.

A network is built in a TensorFlow graph, where no variable takes memory, and its layers are read. Bytes of variables
are those that the mesh holds; activations are an estimate from shapes: every tensor that the backward pass reads, once.
"""

import dataclasses
import math

import keras
import tensorflow as tf

from mpl_tf import models
from mpl_tf.base.errors import UsageError
from mpl_tf.devices.mesh.grid import mesh_size
from mpl_tf.settings.catalogue import METHODS

FLOAT = 4  # Bytes of a variable's element.
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


@dataclasses.dataclass(frozen=True)
class Network:
    """What is counted of a network; elements and operations are those of one image.

    Args:
        trainable, fixed: shapes of its trainable weights and of its batch-norm statistics.
        kept: elements of the activations that the backward pass reads.
        windows: elements of the windows of its k x k convolutions, k > 1, which a mesh cuts out of the image.
        largest: elements of its largest weight.
        flops: floating-point operations of a forward pass, two a multiply and add.
    """

    trainable: tuple
    fixed: tuple
    kept: int
    windows: int
    largest: int
    flops: int

    @property
    def count(self):
        """Trainable weights in all."""
        return sum(map(math.prod, self.trainable))


def build(name, image_size, num_classes, mesh):
    """A `Network` by its name, for square images of that side on that mesh, without memory for its weights.

    Raises:
        UsageError: no network of that name, images that it does not take or that the mesh does not divide.
    """
    with tf.Graph().as_default():
        network = models.build(name, (image_size, image_size, 3), num_classes)
        check_strides(network, mesh)
        return describe(network)


def describe(network):
    """The `Network` of a functional keras.Model."""
    kept, windows, flops = {}, 0, 0
    for layer in network.layers:
        if isinstance(layer, READ_INPUT):
            inputs = layer.input if isinstance(layer.input, list) else [layer.input]
            kept |= {id(tensor): math.prod(tensor.shape[1:]) for tensor in inputs}
        flops += operations(layer)
        windows += window_elements(layer)
    return Network(
        trainable=tuple(tuple(weight.shape) for weight in network.trainable_weights),
        fixed=tuple(tuple(w.shape) for w in network.non_trainable_weights if w.dtype.startswith("float")),
        kept=sum(kept.values()),
        windows=windows,
        largest=max(math.prod(weight.shape) for weight in network.weights),
        flops=flops,
    )


def operations(layer):
    """Floating-point operations of a layer's forward pass on one image: those of its products alone."""
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return 2 * math.prod(layer.kernel_size) * math.prod(layer.output.shape[1:])
    if isinstance(layer, (keras.layers.Conv2D, keras.layers.Dense)):
        *_, out = layer.kernel.shape
        return 2 * math.prod(layer.kernel.shape) * math.prod(layer.output.shape[1:]) // out
    return 0


def window_elements(layer):
    """Elements of the slices that a k x k convolution, k > 1, of an image split over cores multiplies."""
    if not isinstance(layer, (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)) or layer.kernel_size == (1, 1):
        return 0
    return math.prod(layer.kernel_size) * math.prod(layer.output.shape[1:-1]) * layer.input.shape[-1]


def bytes_per_core(shapes, cores):
    """Bytes that a core holds of float32 variables: each in a row, cut into as many equal parts.

    Args:
        shapes: of the variables; a single number (shape ()) lies whole on every core.
        cores: of a replica.
    """
    return FLOAT * sum(math.ceil(math.prod(shape) / cores) if shape else 1 for shape in shapes)


def passes(method, feedback, teacher_passes, labeled, mu):
    """Images of a replica whose activations are held at once, and forward passes' worth of operations a step.

    A pass with its gradient costs three forward passes; the directional derivative of exact feedback three.

    Args:
        method: one that runs on a mesh; on unlabeled data those pass their batches as uda does, and mpl's student too.
        feedback, teacher_passes: as the flags.
        labeled: labeled images.
        mu: unlabeled images a labeled one.
    Returns:
        (held, cost): images, and images times forward passes.
    """
    row = METHODS[method]
    if not row.unlabeled:
        return labeled, 3 * labeled
    # The teacher passes labeled, weak and strong views with a gradient; split, the weak ones without.
    split = teacher_passes == "split"
    taped = labeled * (1 + mu if split else 1 + 2 * mu)
    cost = 3 * taped + (labeled * mu if split else 0)
    if "feedback" not in row.options:
        return taped, cost
    # The student passes the strong views with a gradient; the feedback passes the labeled ones, exact all of them.
    forms = {"off": 0, "taylor": 2 * labeled, "dot_product": 3 * labeled, "exact": 3 * labeled + 3 * labeled * mu}
    return taped + labeled * mu, cost + 3 * labeled * mu + forms[feedback]


def memory(network, cores, method, held, size, average, remat):
    """Bytes a core, by what they are for.

    Args:
        network: Network; teacher and student are alike.
        cores: of a replica.
        method: one that runs on a mesh.
        held: images of a replica whose activations are held at once.
        size: bytes of an activation's element.
        average: whether the deployed network's weights are averaged.
        remat: whether gathered weights and windows are made again in the backward pass.
    Returns:
        dict of str to int.
    """
    # What is held throughout: split over the cores of a replica. Then what a step makes.
    networks = len(METHODS[method].networks)
    weights = bytes_per_core(network.trainable + network.fixed, cores)
    trained = bytes_per_core(network.trainable, cores)
    averaged = weights if average else 0
    gathered = size * (network.largest if remat else networks * network.count)
    activations = size * held * math.ceil(network.kept / cores)
    windows = 0 if remat or cores == 1 else size * held * math.ceil(network.windows / cores)
    return {
        "weights": networks * weights,
        "slots": networks * trained,
        "average": averaged,
        "gradient": trained,
        "new values before they are assigned": networks * (weights + trained) + averaged,
        "gathered weights": 0 if cores == 1 else gathered,
        "activations": activations,
        "windows of convolutions": windows,
    }


def check_strides(network, mesh):
    """Refuse a mesh that splits images into tiles which a stride steps out of, as a run on it does.

    Args:
        network: functional keras.Model.
        mesh: "replica:R,core:S".
    Raises:
        UsageError: not a mesh, or more cores than the images can be split over.
    """
    _, cores = mesh_size(mesh)
    for layer in network.layers:
        stride = getattr(layer, "strides", (1,))[0]
        if cores > 1 and stride > 1 and layer.input.shape[2] % (cores * stride):
            raise UsageError(
                f"--mesh: {mesh} cannot split images {network.input_shape[2]} pixels wide: {layer.input.shape[2]} "
                f"columns are left before a stride of {stride}; give fewer cores, or an --image_size that is a larger "
                "power of two times the cores"
            )
