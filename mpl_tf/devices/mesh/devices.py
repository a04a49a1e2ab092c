"""A mesh as the devices of a run: one program sees the whole batch, its images and weights split over the devices."""

import contextlib

import numpy as np
import tensorflow as tf

from mpl_tf.devices.interface import Devices
from mpl_tf.devices.mesh import layers, variables
from mpl_tf.devices.mesh.grid import CORE, REPLICA
from mpl_tf.devices.mesh.packing import Packed


class MeshDevices(Devices):
    """The devices of a grid.

    Args:
        grid: Grid.
    """

    loops = False  # TensorFlow 2.21 crashes on a loop of the graph that moves values.
    copies = 1  # DTensor runs one program over all devices: sums over the batch are sums over the replicas already.

    def __init__(self, grid):
        self.grid = grid

    @property
    def replicas(self):
        """The mesh's first dimension."""
        return self.grid.replicas

    @property
    def hosts(self):
        """DTensor's clients."""
        return self.grid.clients

    @property
    def writes(self):
        """Whether this is the first client."""
        return self.grid.client == 0

    @property
    def layers(self):
        """Keras' layers on tiles."""
        return layers.namespace(self.grid)

    def entered(self):
        """Nothing: layers and variables know their grid."""
        return contextlib.nullcontext()

    def place(self, method):
        """Float variables are split over the cores."""
        variables.place(method, self.grid)
        return method

    def whole(self, network):
        """The same network of ordinary layers, which models.build left with it."""
        # All hosts come here: each variable is gathered from the devices of all.
        copy = network.twin()
        copy.set_weights([weight.value.whole() for weight in network.weights])
        return copy

    def whole_shape(self, variable):
        """That from before it was laid out flat."""
        return variable.whole_shape

    def gathered(self, method):
        """All hosts gather, whichever of them writes."""
        return variables.gathered(method)

    def distribute(self, of_host):
        """One element a step: the batches of the replicas that this host has devices of, joined."""
        # The pipeline makes a batch for each replica; a program that sees them all wants one batch. Of a replica that
        # lies on several hosts each reads the same images, once, and cuts out its own columns.
        own = self.grid.own
        batches = of_host(own).batch(len(own), drop_remainder=True)
        # [local, b, ...] -> [local * b, ...]
        return batches.map(lambda batch: {key: tf.reshape(x, [-1, *x.shape[2:]]) for key, x in batch.items()})

    def train_function(self, step, names, count):
        """A step at a time, its batch laid out on the mesh from the host while the devices are at the one before."""

        @tf.function(autograph=False)
        def on_mesh(batch):
            # Labels and the like are pinned as the logits are, which they meet in the losses.
            logs = step({key: x if len(x.shape) == 5 else self.grid.pin(x) for key, x in batch.items()})
            return self.grid.pin(tf.stack([logs[name] for name in names]))  # One row, to be read at once.

        packed = Packed(self._laid_out)

        def steps(iterator):
            # The first call traces the step, which asks for the present devices.
            with self.scope():
                for _ in range(count):
                    row = on_mesh(packed.take(iterator))
                    packed.prepare(iterator)
            # Only here the program waits for the devices, which need nothing of it but the call of the next step.
            return dict(zip(names, row.numpy(), strict=True))

        return steps

    def _laid_out(self, batch):
        """A host's batch on the mesh: images [B, H, W, C] as tiles, all else over the replicas."""
        return {
            key: self.grid.put_images(x) if len(x.shape) == 4 else self.grid.put(x, REPLICA) for key, x in batch.items()
        }

    def everywhere(self, number):
        """By a table over the devices, in which each host writes its number and the integer, for its own ones."""
        own = np.tile(np.array([self.grid.client, number], "int64"), [len(self.grid.own), self.grid.cores, 1])
        told = self.grid.whole(self.grid.put(own, REPLICA, CORE)).reshape(-1, 2).tolist()  # [R * S, 2]
        return [value for _, value in sorted(dict(told).items())]

    def replica_id(self):
        """The only copy."""
        return 0

    def checked(self, value, holds, told):
        """The value: DTensor has no such operation."""
        return value

    def mean(self, values):
        """Of one copy."""
        return values

    def batch_mean(self, values):
        """Pinned: a sum over the replicas is made at once."""
        return self.grid.pin(super().batch_mean(values))

    def gather(self, values):
        """One copy has them all."""
        return values

    def dot(self, a, b):
        """Each product pinned."""
        return self.grid.dot(a, b)

    def join(self, batches):
        """Each replica joins its own examples, so that none moves to another."""
        return self.grid.join(batches)

    def cut(self, values, count):
        """Of each replica's examples, so that none moves to another."""
        return self.grid.cut(values, count)

    def uncut(self, parts):
        """The reverse, and pinned."""
        return self.grid.uncut(parts)

    def split(self, logits, batches):
        """The reverse, and pinned."""
        return self.grid.split(logits, [x.shape[0] for x in batches])
