"""Replicas by tf.distribute: one device, all of a machine, those of several hosts, or the cores of a TPU."""

import contextlib

import tensorflow as tf

from mpl_tf.devices.interface import Devices, assignments

AHEAD = 2  # Batches copied to a GPU before its steps ask for them.


def ahead(batches, gpus):
    """A tf.data.Dataset whose elements are on the first of some devices, a few ahead of whoever reads them.

    Args:
        batches: tf.data.Dataset on the host.
        gpus: list of tf.config.LogicalDevice; empty: it stays as it is.
    """
    return batches.apply(tf.data.experimental.prefetch_to_device(gpus[0].name, AHEAD)) if gpus else batches


class Replicas(Devices):
    """The devices of a strategy of tf.distribute; each replica holds whole networks and runs a copy of the step.

    Args:
        strategy: tf.distribute.Strategy.
    """

    layers = None
    loops = True

    def __init__(self, strategy):
        self.strategy = strategy

    @property
    def replicas(self):
        """Replicas of all hosts."""
        return self.strategy.num_replicas_in_sync

    @property
    def copies(self):
        """One a replica."""
        return self.replicas

    @property
    def hosts(self):
        """Workers of TF_CONFIG; 1 where the strategy is of one machine."""
        if not isinstance(self.strategy, tf.distribute.MultiWorkerMirroredStrategy):
            return 1
        # Of a resolver without a cluster, as TF_CONFIG may be unset, there is this process alone.
        jobs = self.strategy.cluster_resolver.cluster_spec().as_dict()
        return max(1, sum(map(len, jobs.values())))

    @property
    def writes(self):
        """Whether this is the chief."""
        return self.strategy.extended.should_checkpoint

    def entered(self):
        """The strategy's own scope."""
        return self.strategy.scope()

    def scoring(self):
        """The strategy's own scope, so that all devices of a host score; of several hosts only one does, alone."""
        return super().scoring() if self.hosts > 1 else self.strategy.scope()

    def place(self, method):
        """The strategy's scope has put its variables in their places."""
        return method

    def whole(self, network):
        """It is."""
        return network

    def whole_shape(self, variable):
        """Its own."""
        return tuple(variable.shape)

    def gathered(self, method):
        """They are whole."""
        return contextlib.nullcontext()

    def distribute(self, of_host):
        """A tf.data.Dataset for one replica, the strategy's distributed one for several."""
        if self.replicas == 1:
            return ahead(of_host([0]), tf.config.list_logical_devices("GPU"))

        # The strategy copies batches to its devices ahead by itself.
        def of_pipeline(context):
            local = context.num_replicas_in_sync // context.num_input_pipelines
            first = context.input_pipeline_id * local
            return of_host(list(range(first, first + local)))

        return self.strategy.distribute_datasets_from_function(of_pipeline)

    def train_function(self, step, names, count):
        """A compiled loop where several replicas train.

        Keras' own (3.15) fails there on loops of several steps ("You must feed a value for placeholder tensor"), and
        with several workers on any.
        """
        if self.replicas == 1:
            return None

        # Logs are equal on all replicas: the first one's are as good as any.
        def once(iterator):
            logs = self.strategy.run(step, args=(next(iterator),))
            return {name: self.strategy.experimental_local_results(logs[name])[0] for name in names}

        # Autograph would rewrite every line of the step to find no Python loop or condition on a tensor in it.
        @tf.function(reduce_retracing=True, autograph=False)
        def steps(iterator):
            if count == 1:
                return once(iterator)
            # A loop inside the graph, as a call from Python costs as much as a small step.
            start = tf.constant(0), {name: tf.constant(0.0) for name in names}
            _, logs = tf.while_loop(lambda i, _: i < count, lambda i, _: (i + 1, once(iterator)), start)
            return logs

        return steps

    def spread(self, function, values):
        """Each replica of a single host on its own; of several hosts the one that asks computes by itself."""
        if self.replicas == 1 or self.hosts > 1:
            return super().spread(function, values)
        each = self.strategy.experimental_distribute_values_from_function(
            lambda context: values[context.replica_id_in_sync_group]
        )
        return list(self.strategy.experimental_local_results(self.strategy.run(function, args=(each,))))

    def everywhere(self, number):
        """By a collective of the workers."""
        if self.hosts == 1:
            return [number]
        # One number a replica, gathered on every worker: whoever is late is waited for.
        numbers = self.strategy.experimental_distribute_values_from_function(lambda _: tf.constant([number], tf.int64))
        return self.strategy.gather(numbers, axis=0).numpy().tolist()

    def replica_id(self):
        """As tf.distribute numbers its replicas."""
        return tf.distribute.get_replica_context().replica_id_in_sync_group

    def mean(self, values):
        """An all-reduce."""
        if self.copies == 1:
            return values
        return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, values)

    def gather(self, values):
        """All replicas' one after the other: a sum, each having zeros in the others' places.

        tf.distribute's all_gather (2.21) fails where a worker has one replica ("destinations can not be empty").
        """
        if self.copies == 1:
            return values
        own = tf.one_hot(self.replica_id(), self.copies, dtype=values.dtype)
        placed = own[:, None] * values[None]  # [copies, b]
        everywhere = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, placed)
        return tf.reshape(everywhere, [-1])  # [copies * b]

    def dot(self, a, b):
        """Of this replica's values, which are the same on all."""
        return tf.add_n([tf.reduce_sum(x * y) for x, y in zip(a, b, strict=True)])

    def join(self, batches):
        """One after the other."""
        return tf.concat(batches, axis=0)

    def cut(self, values, count):
        """One after the other."""
        return tf.split(values, count)

    def uncut(self, parts):
        """One after the other."""
        return tf.concat(parts, axis=0)

    def split(self, logits, batches):
        """At the batches' ends."""
        return tf.split(logits, tf.stack([tf.shape(x)[0] for x in batches]), num=len(batches))

    def assign(self, updates):
        """From inside a replica, all replicas meeting here: each assigns its own copy of a variable."""
        if self.copies == 1:
            super().assign(updates)
            return
        # Variables have a copy on each replica and are assigned from outside of them, where these are at hand.
        variables, values = zip(*assignments(updates), strict=True)

        def update(strategy, values):
            for variable, value in zip(variables, values, strict=True):
                strategy.extended.update(variable, lambda v, new: v.assign(new), args=(value,))

        tf.distribute.get_replica_context().merge_call(update, args=(values,))
