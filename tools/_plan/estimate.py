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
from mpl_tf.models.pieces import elements, graph_nodes, pieces
from mpl_tf.settings.catalogue import METHODS

from . import activations, backward
from .activations import FLOAT


@dataclasses.dataclass(frozen=True)
class Network:
    """What is counted of a network; elements and operations are those of one image.

    Args:
        trainable, fixed: shapes of its trainable weights and of its batch-norm statistics.
        kept: elements of the activations that the backward pass reads.
        windows: elements of the windows of its k x k convolutions, k > 1, which a mesh cuts out of the image.
        most: elements that the backward pass has at its largest, those that it reads among them.
        first: elements of what it is given.
        largest: elements of its largest weight.
        flops: floating-point operations of a forward pass, two a multiply and add.
        pieces: what --remat=block cuts it into, a Network each.
    """

    trainable: tuple
    fixed: tuple
    kept: int
    windows: int
    most: backward.Most
    first: int
    largest: int
    flops: int
    pieces: tuple = ()

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
    parts = tuple(described(piece, images=not number) for number, piece in enumerate(pieces(network)))
    return dataclasses.replace(described(network), pieces=parts)


def described(network, images=True):
    """The `Network` of a functional keras.Model without its pieces; `images`: as backward.most has it."""
    layers = [layer for layer in network.layers if not isinstance(layer, keras.layers.InputLayer)]
    return Network(
        trainable=tuple(tuple(weight.shape) for weight in network.trainable_weights),
        fixed=tuple(tuple(w.shape) for w in network.non_trainable_weights if w.dtype.startswith("float")),
        kept=sum(size for _, size in backward.kept(graph_nodes(network)).values()),
        windows=sum(map(window_elements, layers)),
        most=backward.most(network, window_elements, images),
        first=elements(network.inputs[0]),
        largest=max((math.prod(weight.shape) for weight in network.weights), default=0),
        flops=sum(map(operations, layers)),
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


@dataclasses.dataclass(frozen=True)
class Passes:
    """The passes of a replica's step, in images.

    Args:
        held: those of the pass whose backward one comes last, the teacher's where there is one.
        student: those of mpl's student on unlabeled images, whose backward pass comes before.
        doubled: those that exact feedback differentiates twice, in between.
        given: all that the step is given.
        cost: images times forward passes.
    """

    held: int
    student: int
    doubled: int
    given: int
    cost: int


def passes(method, feedback, teacher_passes, labeled, mu):
    """The `Passes` of a step.

    A pass with its gradient costs three forward passes; the directional derivative of exact feedback three.

    Args:
        method: one that runs on a mesh; on unlabeled data those pass their batches as uda does, and mpl's student too.
        feedback, teacher_passes: as the flags.
        labeled: labeled images.
        mu: unlabeled images a labeled one.
    """
    row, unlabeled = METHODS[method], labeled * mu
    if not row.unlabeled:
        return Passes(labeled, 0, 0, labeled, 3 * labeled)
    # The teacher passes labeled, weak and strong views with a gradient; split, the weak ones without.
    split = teacher_passes == "split"
    held = labeled + (1 if split else 2) * unlabeled
    cost, given = 3 * held + (unlabeled if split else 0), labeled + 2 * unlabeled
    if "feedback" not in row.options:
        return Passes(held, 0, 0, given, cost)
    # The student passes the strong views with a gradient; the feedback passes the labeled ones, exact all of them.
    forms = {"off": 0, "taylor": 2 * labeled, "dot_product": 3 * labeled, "exact": 3 * labeled + 3 * unlabeled}
    doubled = unlabeled if feedback == "exact" else 0
    return Passes(held, unlabeled, doubled, given, cost + 3 * unlabeled + forms[feedback])


def memory(network, cores, method, of_step, size, average, remat, accumulate=1):
    """Bytes a core at the moment when a step takes most, by what they are for.

    Args:
        network: Network; teacher and student are alike.
        cores: of a replica.
        method: one that runs on a mesh.
        of_step: Passes.
        size: bytes of an activation's element.
        average: whether the deployed network's weights are averaged.
        remat: as the flag.
        accumulate: parts of a pass, one after the other, of which the one at work is held alone.
    Returns:
        dict of str to int.
    """
    # What is held throughout: split over the cores of a replica. Then what a step makes.
    networks = len(METHODS[method].networks)
    weights = bytes_per_core(network.trainable + network.fixed, cores)
    trained = bytes_per_core(network.trainable, cores)
    averaged = weights if average else 0
    image = activations.of_image(network, cores, size, remat)
    used = image.weights * (networks if remat == "none" and accumulate == 1 else 1)
    if accumulate > 1:  # Each part waits for the one before by a sum of each weight and 0.
        used += trained
    waiting, beside = activations.most(image, of_step, remat, accumulate)
    return {
        "weights": networks * weights,
        "slots": networks * trained,
        "average": averaged,
        "gradient": trained,
        "new values before they are assigned": networks * (weights + trained) + averaged,
        "weights as they are used": used,
        "images": math.ceil(FLOAT * of_step.given * network.first / cores),
        "activations": math.ceil(waiting * (image.held - image.windows)),
        "windows of convolutions": math.ceil(waiting * image.windows),
        "made again, gradients and copies": math.ceil(beside),
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
