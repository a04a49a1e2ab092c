"""The mesh of a run: R replicas x S cores, and where values lie on it (paper section 4, hybrid model-data parallelism).

Every image is split along its width into S equal patches, one a core; every float variable is split S ways; replicas
hold the same variables and other images. A value is either
    tiles       [B, S, H, W / S, C], examples over the replicas and patches over the cores;
    examples    [B, ...], over the replicas, the same on the cores of one;
    flat        [n], a variable's values in a row with zeros at the end, over the cores;
    pinned      the same on all devices.
"""

import contextlib
import os

import numpy as np
import tensorflow as tf
from tensorflow.experimental import dtensor

from mpl_tf.base.errors import UsageError
from mpl_tf.settings.forms import MESH

REPLICA, CORE, WHOLE = "replica", "core", dtensor.UNSHARDED


def mesh_size(mesh):
    """(replicas, cores), two int >= 1, of a --mesh such as "replica:2,core:4".

    Raises:
        UsageError: it does not read so.
    """
    replicas, cores = MESH.read("mesh", mesh)
    return int(replicas), int(cores)


def make_grid(mesh, remat="none", cluster=None):
    """The grid over the accelerators of all hosts, or over their CPUs cut into R x S virtual devices in all.

    TensorFlow must not have started its devices yet where they are to be cut, or several hosts to be joined.

    Args:
        mesh: "replica:R,core:S".
        remat: see Grid.
        cluster: cluster.Cluster of the hosts; None for this one alone.
    Raises:
        UsageError: not a mesh, or another number of devices than R x S.
    """
    replicas, cores = mesh_size(mesh)
    clients = len(cluster.workers) if cluster else 1
    count, left = divmod(replicas * cores, clients)
    if left:
        raise UsageError(
            f"--mesh: {mesh} asks for {replicas} x {cores} devices, which {clients} hosts (TF_CONFIG) do not divide "
            "equally; give a mesh of all their devices"
        )

    # The fastest kind of device there is, and all of them: a mesh that leaves some idle was not meant so.
    kind = next((kind for kind in ("TPU", "GPU") if tf.config.list_physical_devices(kind)), "CPU")
    _start(kind, count, cluster)
    found = dtensor.num_local_devices(kind)
    if found != count:
        raise UsageError(
            f"--mesh: {mesh} asks for {replicas} x {cores} devices, {count} a host, found {found} of kind {kind}; give "
            "a mesh of that size"
        )
    if kind == "CPU":
        # Many small graphs, one a device: the meta-optimizers take three times as long as they save in the first steps.
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
        # Joining all-reduces takes time with the square of their number, and is slower here.
        os.environ.setdefault("DTENSOR_ENABLE_COMBINE_ALL_REDUCES_OPTIMIZATION", "0")

    # Over several hosts DTensor lines up the devices of all by itself: those of a TPU slice by their real places, so
    # that the cores of a replica are neighbours, whosever they are.
    dimensions = [(REPLICA, replicas), (CORE, cores)]
    if cluster:
        return Grid(dtensor.create_distributed_mesh(dimensions, device_type=kind), remat)
    return Grid(dtensor.create_mesh(dimensions, devices=[f"{kind}:{number}" for number in range(count)]), remat)


def _start(kind, count, cluster):
    """Start a host's devices: joined with those of the others, or its CPU cut into `count`."""
    if cluster:
        # DTensor reads from the environment who the hosts are.
        jobs = {"DTENSOR_JOBS": ",".join(cluster.workers), "DTENSOR_CLIENT_ID": str(cluster.index)}
        os.environ.update(jobs | {"DTENSOR_JOB_NAME": "worker"})
        dtensor.initialize_accelerator_system(kind, num_logical_cpu_devices=count)
    elif kind == "TPU":
        dtensor.initialize_accelerator_system(kind)
    elif kind == "CPU":
        with contextlib.suppress(RuntimeError):  # The devices are in use: what there is, is counted afterwards.
            cpu = tf.config.list_physical_devices(kind)[0]
            if not tf.config.get_logical_device_configuration(cpu):
                tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)


class Grid:
    """Layouts on a mesh, and the movements between them.

    Args:
        mesh: dtensor.Mesh with the dimensions "replica" and "core".
        remat: "none"; "layer": networks gather their weights and cut the windows of their convolutions again in the
            backward pass instead of keeping them; "block": so they do with the windows, the rest being the step's part.

    Attributes:
        own: numbers of the replicas that this host has devices of, all or some, in ascending order: list of int.
    """

    def __init__(self, mesh, remat="none"):
        self.mesh, self.remat = mesh, remat
        self.replicas, self.cores = mesh.dim_size(REPLICA), mesh.dim_size(CORE)
        self.clients, self.client = dtensor.num_clients(), dtensor.client_id()  # DTensor's word for hosts.
        self.own = sorted({place[REPLICA] for place in mesh.local_device_locations()})

    def lay(self, value, *axes, back=None):
        """Move a value: its first axes over the named mesh dimensions, the others whole; alone: the same everywhere.

        Its gradient is laid over `back`, the axes it came from; by default it was to lie so already. DTensor's own
        gradient of a movement lets a second derivative crash.
        """
        back = axes if back is None else back
        rest = [WHOLE] * (len(value.shape) - len(axes))

        @tf.custom_gradient
        def move(value):
            moved = dtensor.relayout(value, dtensor.Layout([*axes, *rest], self.mesh))
            return moved, lambda gradient: self.lay(gradient, *back, back=axes)

        return move(value)

    def pin(self, value, back=()):
        """The same value on all devices; where it was a sum over them not yet made, it is made now."""
        return self.lay(value, back=back)

    def dot(self, a, b):
        """Sum of the products of two lists of tensors, each pinned: sums over the devices are made before others."""
        return tf.add_n([self.pin(tf.reduce_sum(x * y)) for x, y in zip(a, b, strict=True)])

    def tiles(self, value):
        """Lay [B, S, H, w, C] as tiles, [B, 1, 1, 1, C] (one value an example) as examples."""
        return self.lay(value, REPLICA, WHOLE if value.shape[1] == 1 else CORE)

    def put(self, value, *axes):
        """A host's array on the mesh; axes as in `lay`. Over the replicas each host gives what its `own` ones hold."""
        value = np.asarray(value)
        layout = dtensor.Layout([*axes, *[WHOLE] * (value.ndim - len(axes))], self.mesh)
        return dtensor.pack(self.pieces(value, *axes), layout)

    def pieces(self, value, *axes):
        """The cuts of a host's array that its devices hold, in their order: list of arrays; axes as in `put`."""
        # Devices know their places in the whole mesh; along the replicas the array has those of the host alone, along
        # the cores all, whoever has them.
        parts = {REPLICA: self.own, CORE: range(self.cores)}

        def piece(location):
            """The cut of the device at this place."""
            cut = value
            for axis, name in enumerate(axes):
                if name != WHOLE:
                    size, at = value.shape[axis] // len(parts[name]), parts[name].index(location[name])
                    cut = cut.take(range(at * size, (at + 1) * size), axis=axis)
            return cut

        return [piece(location) for location in self.mesh.local_device_locations()]

    def put_images(self, images):
        """Images [B, H, W, C] of the host as tiles."""
        batch, height, width, channels = images.shape
        tiles = np.reshape(images, [batch, height, self.cores, width // self.cores, channels])
        # [B, H, S, W / S, C] -> [B, S, H, W / S, C]
        return self.put(np.swapaxes(tiles, 1, 2), REPLICA, CORE)

    def whole(self, value):
        """A value of any layout as a numpy array."""
        with dtensor.default_mesh(self.mesh):
            return dtensor.relayout(value, dtensor.Layout.replicated(self.mesh, len(value.shape))).numpy()

    def gather(self, value, shape):
        """The values of a flat variable in their own shape, on all devices.

        Its gradient comes back flat: summed over the devices, each core keeping its part.
        """
        whole = self.pin(value, back=[CORE])[: int(np.prod(shape))]  # Without the zeros at the row's end.
        return self.pin(tf.reshape(whole, shape))

    def flat(self, value):
        """A pinned value as a flat one."""
        row = self.pin(tf.reshape(value, [-1]))  # [n]
        missing = -row.shape[0] % self.cores  # DTensor splits into equal lengths alone.
        row = self.pin(tf.pad(row, [[0, missing]])) if missing else row
        return self.lay(row, CORE, back=())

    def join(self, batches):
        """Several batches of tiles as one, each replica joining its own examples."""
        if len(batches) == 1:
            return batches[0]
        # Joined along their first axis, examples would have to move between replicas to lie in order again.
        by_replica = [tf.reshape(x, [self.replicas, x.shape[0] // self.replicas, *x.shape[1:]]) for x in batches]
        by_replica = [self.lay(x, REPLICA, WHOLE, CORE) for x in by_replica]  # Each [R, b_i, S, H, W / S, C].
        joined = self.lay(tf.concat(by_replica, axis=1), REPLICA, WHOLE, CORE)  # [R, sum of b_i, S, H, W / S, C]
        return self.tiles(tf.reshape(joined, [-1, *joined.shape[2:]]))  # [sum of B_i, S, H, W / S, C]

    def cut(self, value, count):
        """Tiles [B, S, H, w, C] as `count` batches of tiles, each with as many of each replica's examples."""
        by_replica = tf.reshape(value, [self.replicas, -1, *value.shape[1:]])
        by_replica = self.lay(by_replica, REPLICA, WHOLE, CORE)  # [R, b, S, H, w, C]
        parts = [self.lay(part, REPLICA, WHOLE, CORE) for part in tf.split(by_replica, count, axis=1)]
        return [self.tiles(tf.reshape(part, [-1, *part.shape[2:]])) for part in parts]  # Each [B / n, S, H, w, C].

    def uncut(self, parts):
        """The reverse for values of examples, pinned: list of n [B / n, C] -> [B, C]."""
        by_replica = [tf.reshape(part, [self.replicas, -1, part.shape[-1]]) for part in parts]  # Each [R, b / n, C].
        return self.pin(tf.reshape(tf.concat(by_replica, axis=1), [-1, parts[0].shape[-1]]))

    def split(self, values, sizes):
        """The values of joined examples, pinned, [B, C], as those of each batch."""
        by_replica = tf.reshape(values, [self.replicas, -1, values.shape[-1]])  # [R, sum of b_i, C]
        batches = tf.split(by_replica, [size // self.replicas for size in sizes], axis=1)  # Each [R, b_i, C].
        return [self.pin(tf.reshape(batch, [-1, values.shape[-1]])) for batch in batches]  # Each [B_i, C].
