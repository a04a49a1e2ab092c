"""Batches as a pure function of the seed and the step, so that a run resumes at any step without replaying.

Example p of all that a run draws from a source of n examples is number index_shuffle(p mod n) of epoch p div n: every
example comes once an epoch (one that counts c times, c times), in an order that depends on (seed, epoch) alone. Views
take their randomness from (seed, step, replica, view), by stateless ops. Views of a streamed example are views of one
random crop of it.
"""

import dataclasses
import functools
from collections.abc import Callable

import tensorflow as tf

from mpl_tf.data import augment
from mpl_tf.data.source import PIPELINE_OPTIONS, Source, targets_at

# Streams of randomness, of views, of crops and of the data's order.
LABELED, WEAK, STRONG, LABELED_STRONG, WEAK_2, LABELED_CROP, CROP = range(7)
# Images of a batch: their view, and its stream.
VIEWS = {
    "x_l": ("weak", LABELED),
    "x_l_strong": ("strong", LABELED_STRONG),
    "x_u_weak": ("weak", WEAK),
    "x_u_weak_2": ("weak", WEAK_2),
    "x_u_strong": ("strong", STRONG),
}
LABELED_KEYS = {"x_l", "x_l_strong", "y_l"}


@dataclasses.dataclass(frozen=True)
class Views:
    """The weak and the strong view of a batch, and how it is normalised for the network.

    Each is a function of a batch as Source.images has it: weak and strong also take a stateless seed (int32 [2]);
    normalise returns float32.
    """

    weak: Callable
    strong: Callable
    normalise: Callable


def make_views(dataset, config):
    """The views of a data set: of points (2-D, noise) or of images (shift, flip, RandAugment, cutout)."""
    if len(dataset.shape) == 1:
        return Views(
            weak=lambda x, seed: x,
            strong=lambda x, seed: augment.noise_view(x, seed, stddev=config.noise),
            normalise=lambda x: x,
        )
    plain = {"flip": dataset.flip, "shift": round(config.shift * dataset.shape[0]), "fill": dataset.fill}
    strong = {"num_ops": config.randaugment_ops, "magnitude": config.randaugment_magnitude, "cutout": config.cutout}
    scale, offset = dataset.normalisation()
    return Views(
        weak=lambda x, seed: augment.weak_view(x, seed, **plain),
        strong=lambda x, seed: augment.strong_view(x, seed, **plain, **strong),
        normalise=lambda x: tf.cast(x, tf.float32) * scale + offset,
    )


def training_batches(dataset, config, keys, batch, start, steps, strategy):
    """Training batches from step `start` to step `steps`.

    Args:
        dataset: Dataset.
        config: Config; seed, mu and the views' settings are used.
        keys: which of x_l, x_l_strong, y_l, x_u_weak, x_u_weak_2, x_u_strong and q_u to make.
        batch: labeled examples a step over all replicas.
        start: first step.
        steps: step to stop before.
        strategy: tf.distribute.Strategy; each replica gets its own part of the step's examples.
    Returns:
        A tf.data.Dataset, or a distributed one, of dicts (per replica), with B = batch / replicas: x_l, x_l_strong
        float32 [B, ...], views of the same examples; y_l int32 [B]; x_u_weak, x_u_weak_2 and x_u_strong float32
        [mu * B, ...], views of the same examples; q_u float32 [mu * B, C], the fixed teacher's distributions on them.
    """
    replicas = strategy.num_replicas_in_sync
    views = make_views(dataset, config)
    draws = {"labeled": _Draw(dataset.labeled, config.seed, LABELED, LABELED_CROP, batch, replicas)}
    if not set(keys) <= LABELED_KEYS:
        draws["unlabeled"] = _Draw(dataset.unlabeled, config.seed, WEAK, CROP, config.mu * batch, replicas)
    in_memory = {name: _on_cpu(draw) for name, draw in draws.items() if isinstance(draw.source, Source)}
    streamed = {name: draw for name, draw in draws.items() if name not in in_memory}

    def make(counter, read):
        def view(key, x):
            kind, stream = VIEWS[key]
            return views.normalise(getattr(views, kind)(x, _seed(config.seed, stream, counter)))

        examples = {name: gather(counter) for name, gather in in_memory.items()} | read
        x, y, _ = examples["labeled"]
        result = {"y_l": y} | {key: view(key, x) for key in keys if key in LABELED_KEYS and key != "y_l"}
        if "unlabeled" in examples:
            x, _, q = examples["unlabeled"]
            result |= {"q_u": q} | {key: view(key, x) for key in keys if key in VIEWS and key not in LABELED_KEYS}
        return {key: result[key] for key in keys}

    def of_host(context):
        first = context.input_pipeline_id * context.num_replicas_in_sync // context.num_input_pipelines
        local = replicas // context.num_input_pipelines
        counters = tf.data.Dataset.range(start, steps).flat_map(
            lambda step: tf.data.Dataset.range(step * replicas + first, step * replicas + first + local)
        )
        arguments, function = counters, functools.partial(make, read={})
        if streamed:
            read = {
                name: draw.source.training_batches(counters.map(draw.index_and_crops))
                for name, draw in streamed.items()
            }
            arguments, function = tf.data.Dataset.zip((counters, read)), make
        # Without autograph, whose rewriting of the views takes most of the time to start and changes nothing in them.
        function = tf.autograph.experimental.do_not_convert(function)
        batches = arguments.map(function, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        return batches.prefetch(2 * local).with_options(PIPELINE_OPTIONS)

    if replicas == 1:
        return of_host(tf.distribute.InputContext())
    return strategy.distribute_datasets_from_function(of_host)


@dataclasses.dataclass(frozen=True)
class _Draw:
    """Which examples of a source a replica takes at a step, as a function of step * replicas + replica."""

    source: object
    seed: int
    stream: int
    crops: int
    batch: int
    replicas: int

    def index(self, counter):
        """Places in an epoch, int32 [b], b = batch / replicas."""
        step, replica = counter // self.replicas, counter % self.replicas
        return _draw(self.source.epoch, self.seed, self.stream, step, replica, self.batch, self.replicas)

    def index_and_crops(self, counter):
        """The same, and seeds of the examples' crops, int32 [b, 2]."""
        index = self.index(counter)
        return index, tf.random.stateless_uniform(
            [*index.shape, 2], _seed(self.seed, self.crops, counter), None, None, tf.int32
        )


def _on_cpu(draw):
    """A function of step * replicas + replica that gathers the draw's (images, labels or None, targets or None)."""
    source = draw.source
    with tf.device("CPU"):
        images = tf.constant(source.images)
        order = None if source.order is None else tf.constant(source.order)
        labels = None if source.labels is None else tf.constant(source.labels)

    def gather(counter):
        index = draw.index(counter)
        if order is not None:
            index = tf.gather(order, index)
        x, y, q = tf.gather(images, index), None, None
        if labels is not None:
            y = tf.gather(labels, index)
        if source.targets is not None:
            q = targets_at(source.targets, index)
        return x, y, q

    return gather


def _draw(size, seed, stream, step, replica, batch, replicas):
    """Numbers of the replica's part of a step's examples, of `size` in all: int32 [batch / replicas]."""
    part = batch // replicas
    position = step * batch + replica * part + tf.range(part, dtype=tf.int64)
    epoch = tf.cast(position // size, tf.int32)
    epochs = range(part // size + 2)  # All that the part can touch, from its first on.
    keys = tf.stack([_key(seed, stream, epoch[0] + e) for e in epochs])  # [epochs, 3]
    seeds = tf.gather(keys, epoch - epoch[0])  # [part, 3]
    # The public wrapper, tf.random.experimental.index_shuffle, takes a seed for all indices only.
    index = tf.raw_ops.RandomIndexShuffle(
        index=tf.cast(position % size, tf.int32), seed=seeds, max_index=size - 1, rounds=8
    )
    return tf.ensure_shape(index, [part])


def _seed(seed, stream, counter):
    """A stateless seed, int32 [2], for one stream of one step of one replica."""
    return tf.random.fold_in(tf.constant([seed, stream], tf.int32), tf.cast(counter, tf.int32))


def _key(seed, stream, epoch):
    """Three random int32: RandomIndexShuffle reads only the lowest bits of its seeds (8 up to 65,536 examples)."""
    seed = tf.random.fold_in(tf.constant([seed, stream], tf.int32), epoch)
    return tf.random.stateless_uniform([3], seed, minval=None, maxval=None, dtype=tf.int32)
