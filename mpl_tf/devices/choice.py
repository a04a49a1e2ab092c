"""The devices of a run by the name of --strategy."""

import tensorflow as tf

from mpl_tf.base import gpu
from mpl_tf.base.errors import Interrupted, UsageError, reason
from mpl_tf.devices.cluster import wanted
from mpl_tf.devices.replicas import Replicas


def check_accelerator(scale, strategy, allow_cpu):
    """Whoever asks for a GPU gets one, or has said that the CPU will do: a recipe for a GPU takes days there.

    Args:
        scale, strategy, allow_cpu: the flags.
    Raises:
        UsageError: --scale=gpu or --strategy=mirrored where there is no accelerator, without --allow_cpu.
    """
    asked = {"--scale: gpu": scale == "gpu", "--strategy: mirrored": strategy == "mirrored"}
    if allow_cpu or not any(asked.values()) or any(tf.config.list_physical_devices(kind) for kind in ("GPU", "TPU")):
        return
    why = f" ({gpu.why()}; {gpu.INSTALL})" if gpu.present() else ""
    raise UsageError(
        f"{' and '.join(name for name, given in asked.items() if given)}: expected a GPU, TensorFlow finds none{why}; "
        "give --allow_cpu to train on the CPU all the same, or --scale=laptop --strategy=auto"
    )


def check_views(where):
    """Views are made where there are the operations that make them: a TPU, which auto takes too, has some of them not.

    Args:
        where: --views.
    Raises:
        UsageError: "device" on a TPU.
    """
    if where == "device" and tf.config.list_physical_devices("TPU"):
        raise UsageError("--views: device makes views by operations that a TPU lacks, expected host, got device")


def make_devices(name, mesh="", remat="none"):
    """The devices of that name; TensorFlow must not have started its own yet where `cluster.starts_late` says so.

    Args:
        name: "one" device; "mirrored" over all GPUs (or all logical CPU devices) of this machine; "multi_worker" over
            those of all machines in TF_CONFIG; "tpu"; "dtensor" over a mesh; or "auto": multi_worker where TF_CONFIG
            names several workers, a TPU if there is one, else mirrored where there are several GPUs, else one.
        mesh, remat: of "dtensor"; see mesh.grid.make_grid.
    Returns:
        Devices.
    Raises:
        UsageError: no such device, or TF_CONFIG malformed.
    """
    cluster = wanted(name)
    if name == "dtensor":
        # Here, as DTensor takes time to import that no other run need spend.
        from mpl_tf.devices.mesh.devices import MeshDevices
        from mpl_tf.devices.mesh.grid import make_grid

        return MeshDevices(make_grid(mesh, remat, cluster))
    return Replicas(_strategy(name, cluster))


def for_scoring(name):
    """The devices of this machine for networks that it holds whole, by the name that `make_devices` takes.

    What several hosts or a mesh have trained is scored on one host, by whatever it has.

    Returns:
        Devices.
    """
    return Replicas(_strategy("auto" if name in ("multi_worker", "dtensor") else name, None))


def check_batches(devices, batches, accumulate, groups):
    """The replicas divide what is split over them.

    Args:
        devices: Devices.
        batches: dict of flag name to global batch; each must divide by the replicas and their parts.
        accumulate: parts that each replica cuts its batch into.
        groups: of replicas that share batch-norm statistics (models.layers.BatchNorm).
    Raises:
        UsageError: a batch or groups that do not divide.
    """
    # Before any data is read: the number of replicas is known only now, the other checks came with the flags.
    count = devices.replicas
    for flag, batch in batches.items():
        if batch % (count * accumulate):
            raise UsageError(
                f"--{flag}: expected a multiple of {count} replicas x {accumulate} parts (--accumulate), got {batch}"
            )
    if count % groups:
        raise UsageError(f"--batch_norm_groups: expected a divisor of the {count} replicas, got {groups}")


def _strategy(name, cluster):
    """tf.distribute's strategy of that name, over the hosts of a cluster if there is one."""
    # The resolver of `_tpu` knows the cores of its own VM alone.
    tpu = name in ("auto", "tpu") and bool(tf.config.list_physical_devices("TPU"))
    if cluster and tpu:
        raise UsageError("--strategy: several TPU hosts (TF_CONFIG) train with --strategy=dtensor, got auto")
    if cluster:
        return _multi_worker(cluster)
    if tpu or name == "tpu":
        return _tpu()

    # By name also over the logical CPUs that tests and studies cut one processor into.
    gpus = tf.config.list_physical_devices("GPU")
    if name == "mirrored" or (name == "auto" and len(gpus) > 1):
        found = tf.config.list_logical_devices("GPU" if gpus else "CPU")
        return tf.distribute.MirroredStrategy([device.name for device in found])
    return tf.distribute.get_strategy()


def _multi_worker(cluster):
    """All devices of all hosts; says for whom it waits, as it waits for ever."""
    # Said before the strategy is made: until all have come, that call does not return.
    others = [address for number, address in enumerate(cluster.workers) if number != cluster.index]
    files = "this one writes the files" if cluster.index == 0 else f"{cluster.workers[0]} writes the files"
    print(f"worker {cluster.index} of {len(cluster.workers)}, {files}; waiting for {', '.join(others)}", flush=True)
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except tf.errors.OpError as error:
        raise Interrupted(f"TF_CONFIG: the workers did not meet ({reason(error)}); start all of them again") from error


def _tpu():
    """The cores of this TPU VM."""
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver.connect(tpu="local")
        return tf.distribute.TPUStrategy(resolver)
    except (ValueError, tf.errors.OpError) as error:
        raise UsageError(f"--strategy: tpu needs a TPU VM, found none ({str(error).splitlines()[0]})") from error
