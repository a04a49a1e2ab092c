"""tf.distribute: the strategy of a run, and sums and assignments inside its replicas."""

import tensorflow as tf

from mpl_tf.errors import UsageError


def make_strategy(name, batches, accumulate=1):
    """The strategy of that name.

    Args:
        name: "one" device; "mirrored" over all GPUs (or all logical CPU devices); "tpu"; or "auto": a TPU if there is
            one, else mirrored where there are several GPUs, else one.
        batches: dict of flag name to global batch; each must divide by the replicas and their parts.
        accumulate: parts that each replica cuts its batch into.
    Returns:
        tf.distribute.Strategy.
    Raises:
        UsageError: no such device, or a batch that does not divide.
    """
    gpus = tf.config.list_logical_devices("GPU")
    if name == "auto":
        name = "tpu" if tf.config.list_physical_devices("TPU") else "mirrored" if len(gpus) > 1 else "one"
    if name == "tpu":
        strategy = _tpu()
    elif name == "mirrored":
        devices = [device.name for device in gpus or tf.config.list_logical_devices("CPU")]
        strategy = tf.distribute.MirroredStrategy(devices)
    else:
        strategy = tf.distribute.get_strategy()
    count = strategy.num_replicas_in_sync
    for flag, batch in batches.items():
        if batch % (count * accumulate):
            raise UsageError(
                f"--{flag}: expected a multiple of {count} replicas x {accumulate} parts (--accumulate), got {batch}"
            )
    return strategy


def _tpu():
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver.connect(tpu="local")
        return tf.distribute.TPUStrategy(resolver)
    except (ValueError, tf.errors.OpError) as error:
        raise UsageError(f"--strategy: tpu needs a TPU VM, found none ({str(error).splitlines()[0]})") from error


def has_accelerator():
    """Whether TensorFlow sees a GPU or a TPU."""
    return bool(tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("TPU"))


def steps_per_execution(asked):
    """Steps in one call of the compiled loop under the present strategy: `asked`, or 1 under MirroredStrategy.

    TensorFlow 2.21 fails on Keras' loop of several steps over several devices ("You must feed a value for placeholder
    tensor"); the TPU strategy places the loop on the device itself.
    """
    return 1 if isinstance(tf.distribute.get_strategy(), tf.distribute.MirroredStrategy) else asked


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
