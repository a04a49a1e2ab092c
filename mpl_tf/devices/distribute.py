"""tf.distribute: the strategy of a run, its workers, and sums and assignments inside its replicas."""

import contextlib

import tensorflow as tf

from mpl_tf.base.errors import Interrupted, UsageError, reason
from mpl_tf.devices import cluster as clusters
from mpl_tf.devices import mesh as sharding

# What the workers that are left see when another one ends.
LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
)


def make_strategy(name, batches, accumulate=1, groups=1, mesh="", remat=False):
    """The strategy of that name; where it is multi_worker, TensorFlow must not have started its devices yet.

    Args:
        name: "one" device; "mirrored" over all GPUs (or all logical CPU devices) of this machine; "multi_worker" over
            those of all machines in TF_CONFIG; "tpu"; "dtensor" over a mesh; or "auto": multi_worker where TF_CONFIG
            names several workers, a TPU if there is one, else mirrored where there are several GPUs, else one.
        batches: dict of flag name to global batch; each must divide by the replicas and their parts.
        accumulate: parts that each replica cuts its batch into.
        groups: of replicas that share batch-norm statistics (models.layers.BatchNorm).
        mesh, remat: of "dtensor"; see sharding.make_grid.
    Returns:
        tf.distribute.Strategy, or sharding.Grid, which stands in for one.
    Raises:
        UsageError: no such device, TF_CONFIG malformed, a batch or groups that do not divide.
    """
    cluster = clusters.wanted(name)
    tpu = name in ("auto", "tpu") and bool(tf.config.list_physical_devices("TPU"))
    if cluster and tpu:
        raise UsageError("--strategy: several TPU hosts (TF_CONFIG) train with --strategy=dtensor, got auto")
    gpus = [] if cluster or tpu else tf.config.list_physical_devices("GPU")
    if name == "dtensor":
        strategy = sharding.make_grid(mesh, remat, cluster)
    elif cluster:
        strategy = _multi_worker(cluster)
    elif tpu or name == "tpu":
        strategy = _tpu()
    elif name == "mirrored" or (name == "auto" and len(gpus) > 1):
        devices = tf.config.list_logical_devices("GPU" if gpus else "CPU")
        strategy = tf.distribute.MirroredStrategy([device.name for device in devices])
    else:
        strategy = tf.distribute.get_strategy()
    count = strategy.num_replicas_in_sync
    for flag, batch in batches.items():
        if batch % (count * accumulate):
            raise UsageError(
                f"--{flag}: expected a multiple of {count} replicas x {accumulate} parts (--accumulate), got {batch}"
            )
    if count % groups:
        raise UsageError(f"--batch_norm_groups: expected a divisor of the {count} replicas, got {groups}")
    return strategy


def _multi_worker(cluster):
    others = [address for number, address in enumerate(cluster.workers) if number != cluster.index]
    files = "this one writes the files" if cluster.index == 0 else f"{cluster.workers[0]} writes the files"
    print(f"worker {cluster.index} of {len(cluster.workers)}, {files}; waiting for {', '.join(others)}", flush=True)
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except tf.errors.OpError as error:
        raise Interrupted(f"TF_CONFIG: the workers did not meet ({reason(error)}); start all of them again") from error


def _tpu():
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver.connect(tpu="local")
        return tf.distribute.TPUStrategy(resolver)
    except (ValueError, tf.errors.OpError) as error:
        raise UsageError(f"--strategy: tpu needs a TPU VM, found none ({str(error).splitlines()[0]})") from error


def writes(strategy):
    """Whether this process writes the run's files: the only one, or the chief of several workers."""
    return strategy.client == 0 if isinstance(strategy, sharding.Grid) else strategy.extended.should_checkpoint


def meet(strategy):
    """Wait until all workers have come here; nothing where there is one process."""
    same(strategy, 0)


def same(strategy, value):
    """Whether all workers come here with the same integer; each waits for the others."""
    if isinstance(strategy, sharding.Grid):
        return strategy.same(value)
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return True
    values = strategy.experimental_distribute_values_from_function(lambda _: tf.constant([value], tf.int64))
    return len(set(strategy.gather(values, axis=0).numpy().tolist())) == 1


@contextlib.contextmanager
def peers(strategy):
    """Inside it, the loss of another worker ends this one with Interrupted: all are to be started again.

    Raises:
        Interrupted: another worker has ended.
    """
    try:
        yield
    except LOST as error:
        if not isinstance(strategy, (tf.distribute.MultiWorkerMirroredStrategy, sharding.Grid)):
            raise
        kind = type(error).__name__
        raise Interrupted(
            f"another worker has ended ({kind}); start all workers again, they go on from the last checkpoint"
        ) from error


def has_accelerator():
    """Whether TensorFlow sees a GPU or a TPU."""
    return bool(tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("TPU"))


def jit_compile(asked):
    """Whether XLA compiles the step under the present strategy: as asked on one device, never over several.

    TensorFlow refuses mirrored variables inside an XLA program, and a TPU compiles everything by itself.
    """
    return asked and replicas() == 1


def train_function(strategy, step, names, count):
    """What fit() calls where several replicas train: `count` steps in one call of a compiled loop.

    Keras' own (3.15) fails there on loops of several steps ("You must feed a value for placeholder tensor"), and with
    several workers on any.

    Args:
        strategy: tf.distribute.Strategy.
        step: function of a replica's batch -> dict of str to float32 scalars, equal on all replicas.
        names: keys of that dict.
        count: steps in one call.
    Returns:
        Function of an iterator over the strategy's batches -> that dict, of the last step.
    """

    def once(iterator):
        logs = strategy.run(step, args=(next(iterator),))
        return {name: strategy.experimental_local_results(logs[name])[0] for name in names}

    @tf.function(reduce_retracing=True, autograph=False)
    def steps(iterator):
        if count == 1:
            return once(iterator)
        start = tf.constant(0), {name: tf.constant(0.0) for name in names}
        _, logs = tf.while_loop(lambda i, _: i < count, lambda i, _: (i + 1, once(iterator)), start)
        return logs

    return steps


def replicas():
    """Number of replicas that train together."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def replica_id():
    """Number of the calling replica, an int32 scalar or 0."""
    return tf.distribute.get_replica_context().replica_id_in_sync_group


def mean(values):
    """Mean of a nest of tensors over the replicas, on each of them."""
    if replicas() == 1:
        return values
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, values)


def gather(values):
    """A replica's values [b, ...] with those of all others, [replicas * b, ...] in the order of the global batch."""
    if replicas() == 1:
        return values
    return tf.distribute.get_replica_context().all_gather(values, axis=0)


def dot(a, b):
    """Sum of the products of two lists of tensors of a network's weights, a float32 scalar, the same on all devices."""
    grid = sharding.current()
    products = [tf.reduce_sum(x * y) for x, y in zip(a, b, strict=True)]
    return tf.add_n(products if grid is None else [grid.pin(product) for product in products])


def join(xs):
    """Batches [B_i, ...] as one, to pass a network together; on a grid in an order of its own."""
    grid = sharding.current()
    return tf.concat(xs, axis=0) if grid is None else grid.join(xs)


def part(z, xs):
    """The logits [B, C] of joined batches as those of each, list of [B_i, C]."""
    grid = sharding.current()
    if grid is not None:
        return grid.part(z, [x.shape[0] for x in xs])
    return tf.split(z, tf.stack([tf.shape(x)[0] for x in xs]), num=len(xs))


def assign(updates):
    """Assign a list of (variable, new value) from inside a replica, each replica having computed the same values."""
    variables = [getattr(variable, "value", variable) for variable, _ in updates]
    values = [tf.cast(value, variable.dtype) for variable, (_, value) in zip(variables, updates, strict=True)]
    if replicas() == 1:
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        return

    def update(strategy, values):
        for variable, value in zip(variables, values, strict=True):
            strategy.extended.update(variable, lambda v, new: v.assign(new), args=(value,))

    tf.distribute.get_replica_context().merge_call(update, args=(values,))
