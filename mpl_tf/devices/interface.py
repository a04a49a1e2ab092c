"""What a run asks of the devices it trains on, whichever they are: one, several, those of several hosts, or a mesh.

`replicas.Replicas` answers by tf.distribute, `mesh.devices.MeshDevices` by DTensor. Callers never ask which of the two
they have: what is no work for one of them does nothing there.
"""

import abc
import contextlib

import tensorflow as tf

from mpl_tf.base.errors import Interrupted

OPEN = []  # The devices whose scopes are open, the innermost last.
# What the workers that are left see when another one ends.
LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
)


class Devices(abc.ABC):
    """The devices of a run.

    Attributes:
        replicas: parts that a step's batch is split into, each trained on by devices of its own.
        copies: copies of a step's program that run side by side, each seeing its own part of the batch: as many as
            replicas, but one on a mesh, whose program sees the whole batch.
        hosts: processes that train together.
        writes: whether this process writes the run's files: the only one, or the first of several.
        loops: whether a step may hold a loop of the graph (tf.while_loop).
        layers: namespace of the layers that networks for these devices are made of; None for mpl_tf.models.layers.
    """

    # Annotations alone: each class says in its own way where it has them from.
    replicas: int
    copies: int
    hosts: int
    writes: bool
    loops: bool
    layers: object

    # ---- Making networks and methods --------------------------------------------------------------------------------

    @contextlib.contextmanager
    def scope(self):
        """Networks, optimizers and methods made inside are for these devices."""
        # A list, as scopes nest: a mesh's step opens its own wherever fit() is called from.
        OPEN.append(self)
        try:
            with self.entered():
                yield self
        finally:
            OPEN.pop()

    @abc.abstractmethod
    def entered(self):
        """The context manager of what the scope needs beside."""

    def scoring(self):
        """The context manager in which networks that score a host's examples are made or opened.

        By default it is empty: the host that writes scores by itself, on its own first device.
        """
        return contextlib.nullcontext()

    @abc.abstractmethod
    def place(self, method):
        """Move the variables of a compiled Method, made in the scope, to where its step wants them; returns it."""

    @abc.abstractmethod
    def whole(self, network):
        """A network made in the scope as an ordinary keras.Model that has its weights."""

    @abc.abstractmethod
    def whole_shape(self, variable):
        """Shape of a placed variable of Keras as checkpoints hold it, tuple of int."""

    @abc.abstractmethod
    def gathered(self, method):
        """Context manager inside which checkpoints find the method's variables whole; all hosts enter it together."""

    # ---- Batches and the loop of steps ------------------------------------------------------------------------------

    @abc.abstractmethod
    def distribute(self, of_host):
        """Batches for fit(), each replica getting its own.

        Args:
            of_host: function of the numbers of a host's replicas, list of int -> tf.data.Dataset of their batches in
                turn: dicts of tensors [b, ...], b alike on all replicas.
        """

    @abc.abstractmethod
    def train_function(self, step, names, count):
        """What fit() calls to train `count` steps.

        Args:
            step: function of a batch -> dict of str to float32 scalars, equal on all replicas.
            names: keys of that dict.
            count: steps in one call.
        Returns:
            Function of an iterator over `distribute`'s batches -> that dict, of the last step; None: Keras' own does.
        """

    def spread(self, function, values):
        """Run a function without variables on as many tensors as there are replicas, side by side where that can be.

        Args:
            function: tf.function of one tensor.
            values: list of tensors of one shape, one a replica.
        Returns:
            list of what it returned for each.
        """
        return [function(value) for value in values]

    # ---- Several hosts ----------------------------------------------------------------------------------------------

    @abc.abstractmethod
    def everywhere(self, number):
        """The integers with which the hosts come here, list of int, those of the one that writes first; each waits."""

    def same(self, number):
        """Whether all hosts come here with the same integer; each waits for the others."""
        return len(set(self.everywhere(number))) == 1

    def first(self, number):
        """The integer with which the host that writes comes here, on all hosts; each waits for the others."""
        return self.everywhere(number)[0]

    def meet(self):
        """Wait until all hosts have come here."""
        self.same(0)

    @contextlib.contextmanager
    def peers(self):
        """Inside it, the loss of another host ends this one with Interrupted: all are to be started again.

        Raises:
            Interrupted: another host has ended.
        """
        try:
            yield
        except LOST as error:
            # Alone, these errors are what they say: a device out of memory, a file that is gone.
            if self.hosts == 1:
                raise
            kind = type(error).__name__
            raise Interrupted(
                f"another worker has ended ({kind}); start all workers again, they go on from the last checkpoint"
            ) from error

    # ---- Inside a step ----------------------------------------------------------------------------------------------

    @abc.abstractmethod
    def replica_id(self):
        """Number of the copy of the step that asks, from 0: int, or int32 scalar."""

    @abc.abstractmethod
    def mean(self, values):
        """Mean of a nest of tensors over the copies, on each of them."""

    def batch_mean(self, values):
        """Mean over the examples of the whole batch, equal on all devices.

        Args:
            values: float32 [b, ...] of this copy's examples.
        Returns:
            float32 [...]; its gradient is that of this copy's mean, so that the mean over the copies, as the steps take
            it of their gradients, is that of the whole batch.
        """
        own = tf.reduce_mean(values, axis=0)
        return own if self.copies == 1 else own + tf.stop_gradient(self.mean(own) - own)

    @abc.abstractmethod
    def gather(self, values):
        """A copy's numbers [b] with those of all others, [copies * b] in the order of the global batch."""

    @abc.abstractmethod
    def dot(self, a, b):
        """Sum of the products of two lists of tensors of a network's weights: float32 scalar, equal on all devices."""

    @abc.abstractmethod
    def join(self, batches):
        """Batches [B_i, ...] as one, to pass a network together, in an order of the devices' own."""

    @abc.abstractmethod
    def cut(self, values, count):
        """A batch [B, ...] as `count` parts [B / count, ...], each with as many examples of each replica: list."""

    @abc.abstractmethod
    def uncut(self, parts):
        """The reverse for the parts' numbers, list of n [B / n, C] -> [B, C]."""

    @abc.abstractmethod
    def split(self, logits, batches):
        """The logits [sum of B_i, C] of joined batches as those of each: list of [B_i, C]."""

    def checked(self, value, holds, told):
        """A value, where a condition holds; else the step fails, without XLA, which knows no such operation.

        Args:
            value: tensor.
            holds: bool scalar.
            told: list of what tf.errors.InvalidArgumentError says, str and tensors.
        """
        with tf.control_dependencies([tf.debugging.Assert(holds, told)]):
            return tf.identity(value)

    def assign(self, updates):
        """Assign a list of (variable, new value), each copy having computed the same values."""
        for variable, value in assignments(updates):
            variable.assign(value)


def assignments(updates):
    """The same list of (variable, new value), with TensorFlow's variables for Keras' and values of their dtypes."""
    variables = [getattr(variable, "value", variable) for variable, _ in updates]
    return [(variable, tf.cast(value, variable.dtype)) for variable, (_, value) in zip(variables, updates, strict=True)]
