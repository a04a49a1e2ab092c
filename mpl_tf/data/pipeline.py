"""Batches as a pure function of the seed and the step, so that a run resumes at any step without replaying.

Which examples a step draws is said in draws.py. Views take their randomness from (seed, step, replica, view), by
stateless ops. Views of a streamed example are views of one random crop of it.
"""

import dataclasses
import functools
from collections.abc import Callable

import tensorflow as tf

from mpl_tf.data import augment, operations
from mpl_tf.data.draws import Draw, seed_of
from mpl_tf.data.source import PIPELINE_OPTIONS, Examples, Source, targets_at
from mpl_tf.data.stored import Stored

# Streams of randomness, of views, of crops and of the data's order.
LABELED, WEAK, STRONG, LABELED_STRONG, WEAK_2, LABELED_CROP, CROP = range(7)
# Keys of a batch. Images: their source, their view and its stream.
VIEWS = {
    "x_l": ("labeled", "weak", LABELED),
    "x_l_strong": ("labeled", "strong", LABELED_STRONG),
    "x_u_weak": ("unlabeled", "weak", WEAK),
    "x_u_weak_2": ("unlabeled", "weak", WEAK_2),
    "x_u_strong": ("unlabeled", "strong", STRONG),
}
# What is known of the examples: their source, and the field of Examples.
FIELDS = {
    "y_l": ("labeled", "labels"),
    "i_l": ("labeled", "numbers"),
    "q_u": ("unlabeled", "targets"),
    "i_u": ("unlabeled", "numbers"),
}
COUNTER = "counter"  # Of a batch whose views are made on the device: step * replicas + replica.
LABELED_KEYS = {key for key, (source, *_) in (VIEWS | FIELDS).items() if source == "labeled"}


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
    """The views of a data set: of points (2-D, noise), of images (shift, flip, RandAugment, cutout) or stored ones."""
    if isinstance(dataset.labeled, Stored):
        pick = dataset.labeled.pick
        return Views(functools.partial(pick, kind="weak"), functools.partial(pick, kind="strong"), lambda x: x)
    if len(dataset.shape) == 1:
        return Views(
            weak=lambda x, seed: x,
            strong=lambda x, seed: augment.noise_view(x, seed, stddev=config.noise),
            normalise=lambda x: x,
        )
    plain = {"flip": dataset.flip, "shift": round(config.shift * dataset.shape[0]), "fill": dataset.fill}
    strong = {"num_ops": config.randaugment_ops, "magnitude": config.randaugment_magnitude, "cutout": config.cutout}
    without = config.randaugment_without.split(",")
    strong["operations"] = operations.chosen(config.randaugment_translate, config.randaugment_cutout, without)
    scale, offset = dataset.normalisation()
    return Views(
        weak=lambda x, seed: augment.weak_view(x, seed, **plain),
        strong=lambda x, seed: augment.strong_view(x, seed, **plain, **strong),
        normalise=lambda x: tf.cast(x, tf.float32) * scale + offset,
    )


def training_batches(dataset, config, keys, batch, start, steps, devices):
    """Training batches from step `start` to step `steps`.

    Args:
        dataset: Dataset.
        config: Config; seed, mu, balanced_batches and the views' settings are used.
        keys: those of VIEWS and FIELDS to make.
        batch: labeled examples a step over all replicas.
        start: first step.
        steps: step to stop before.
        devices: Devices (mpl_tf/devices); each replica gets its own part of the step's examples.
    Returns:
        What devices.distribute makes of Datasets of dicts (per replica), of which `arrival` makes, with B = batch /
        replicas: x_l, x_l_strong float32 [B, ...], views of the same examples; y_l int32 [B], their labels; i_l int32
        [B], their numbers in dataset.labeled; x_u_weak, x_u_weak_2 and x_u_strong float32 [mu * B, ...], views of the
        same examples; q_u float32 [mu * B, C], the fixed teacher's distributions on them; i_u int32 [mu * B], their
        numbers in dataset.unlabeled, from 0 on: an example that counts several times in an epoch has one number.
        Images travel as uint8, a quarter of the bytes: with --views=host as these views, not normalised yet; with
        --views=device as images_labeled uint8 [B, ...] and images_unlabeled uint8 [mu * B, ...], once for all views,
        beside counter int64 scalar, from which the views have their seeds.
    """
    replicas = devices.replicas
    even = config.balanced_batches
    raw = config.views == "device" and not isinstance(dataset.labeled, Stored)  # Stored views are read, not made.
    draws = {"labeled": Draw(dataset.labeled, config.seed, LABELED, LABELED_CROP, batch, replicas, even)}
    if not set(keys) <= LABELED_KEYS:
        draws["unlabeled"] = Draw(dataset.unlabeled, config.seed, WEAK, CROP, config.mu * batch, replicas)
    in_memory = {name: _InMemory(draw) for name, draw in draws.items() if isinstance(draw.source, Source)}
    streamed = {name: draw for name, draw in draws.items() if name not in in_memory}
    batches = _Batches(tuple(keys), make_views(dataset, config), config.seed, in_memory, streamed, raw)
    of_host = functools.partial(batches.of_host, replicas=replicas, start=start, steps=steps)
    return devices.distribute(of_host)


def arrival(dataset, config, keys):
    """What a step does first with a replica's batch of `training_batches`, where it has arrived on its device.

    Args:
        dataset, config, keys: as `training_batches` got them.
    Returns:
        Function of the dict that travelled -> the dict of `keys`, its images float32 and normalised. It makes views
        where they have not been made, by the functions and seeds that make them on the host: with the same bits on a
        CPU.
    """
    views, wanted = make_views(dataset, config), [key for key in keys if key in VIEWS]

    def arrived(batch):
        batch = dict(batch)
        if COUNTER in batch:
            images = {name: batch.pop(f"images_{name}") for name in {VIEWS[key][0] for key in wanted}}
            batch |= _viewed(views, wanted, images, config.seed, batch.pop(COUNTER))
        return batch | {key: views.normalise(batch[key]) for key in wanted}

    return arrived


def _viewed(views, keys, images, seed, counter):
    """The views of images: dict of those of `keys` that are views to uint8 [b, ...].

    images: dict of source name to what Source.images has of a batch.
    """
    made = {}
    for key in (key for key in keys if key in VIEWS):
        source, view, stream = VIEWS[key]
        made[key] = getattr(views, view)(images[source], seed_of(seed, stream, counter))
    return made


@dataclasses.dataclass(frozen=True)
class _Batches:
    """The batches of a run, each a function of its counter, which is step * replicas + replica.

    Attributes:
        keys: of VIEWS and FIELDS.
        views: Views.
        seed: of the run.
        in_memory: dict of source name ("labeled", "unlabeled") to _InMemory.
        streamed: dict of source name to the Draw from a Streamed.
        raw: whether images travel as they are, for their views to be made on the device.
    """

    keys: tuple
    views: Views
    seed: int
    in_memory: dict
    streamed: dict
    raw: bool

    def of_host(self, own, replicas, start, steps):
        """The tf.data.Dataset of a host: the batches of its replicas in turn, of steps start..steps - 1.

        Args:
            own: the numbers of the host's replicas, list of int.
            replicas: of all hosts.
        """
        counters = _counters(own, replicas, start, steps)
        arguments, function = counters, functools.partial(self.of_replica, read={})
        if self.streamed:  # Their examples come from pipelines of their own, which read files in the same order.
            read = {
                name: draw.source.training_batches(counters.map(draw.index_and_crops))
                for name, draw in self.streamed.items()
            }
            arguments, function = tf.data.Dataset.zip((counters, read)), self.of_replica
        # Without autograph, whose rewriting of the views takes most of the time to start and changes nothing in them.
        function = tf.autograph.experimental.do_not_convert(function)
        batches = arguments.map(function, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        return batches.prefetch(2 * len(own)).with_options(PIPELINE_OPTIONS)

    def of_replica(self, counter, read):
        """A replica's batch, dict of the keys to tensors; `read`: the streamed sources' Examples by name."""
        examples = {name: source.examples(counter) for name, source in self.in_memory.items()} | read
        batch = {key: getattr(examples[FIELDS[key][0]], FIELDS[key][1]) for key in self.keys if key in FIELDS}
        images = {VIEWS[key][0]: examples[VIEWS[key][0]].images for key in self.keys if key in VIEWS}
        if self.raw:
            return batch | {f"images_{name}": x for name, x in images.items()} | {COUNTER: counter}
        return batch | _viewed(self.views, self.keys, images, self.seed, counter)


def _counters(own, replicas, start, steps):
    """The tf.data.Dataset of step * replicas + replica (int64) over the steps and a host's replicas, in this order."""
    own = tf.constant(own, tf.int64)
    return tf.data.Dataset.range(start, steps).flat_map(
        lambda step: tf.data.Dataset.from_tensor_slices(step * replicas + own)
    )


class _InMemory:
    """A draw from a Source, whose arrays are constants on the CPU.

    Args:
        draw: Draw.
    """

    def __init__(self, draw):
        self.draw, source = draw, draw.source
        self.targets = source.targets  # Stay in their file.
        with tf.device("CPU"):
            self.images = tf.constant(source.images)
            self.order = None if source.order is None else tf.constant(source.order)
            self.labels = None if source.labels is None else tf.constant(source.labels)

    def examples(self, counter):
        """The Examples of a replica at a step."""
        numbers = self.draw.index(counter)
        if self.order is not None:
            numbers = tf.gather(self.order, numbers)
        labels = None if self.labels is None else tf.gather(self.labels, numbers)
        targets = None if self.targets is None else targets_at(self.targets, numbers)
        return Examples(tf.gather(self.images, numbers), labels, targets, numbers)
