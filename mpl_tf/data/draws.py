"""Which examples a replica draws at a step, as a pure function of the seed and the step.

Example p of all that a run draws from a source of n examples is number index_shuffle(p mod n) of epoch p div n: every
example comes once an epoch (one that counts c times, c times), in an order that depends on (seed, epoch) alone.

With --balanced_batches, of C classes: draws p to p + C - 1 from a multiple of C on are one of each class, in a shuffled
order, so that all classes have the same chance; each class has epochs of its own, in which each of its examples comes
once.
"""

import dataclasses
import functools

import numpy as np
import tensorflow as tf

CLASSES = 2**32  # In the place of a class, for the order of the classes themselves.


@dataclasses.dataclass(frozen=True)
class Draw:
    """Which examples of a source a replica takes at a step, as a function of step * replicas + replica.

    Args:
        source: Source or Streamed.
        seed: of the run.
        stream: of randomness, of the order; a number.
        crops: of randomness, of the crops of streamed examples.
        batch: examples a step over all replicas.
        replicas: their number.
        even: whether all classes have the same chance; the source's labels are known then.
    """

    source: object
    seed: int
    stream: int
    crops: int
    batch: int
    replicas: int
    even: bool = False

    def index(self, counter):
        """Places in an epoch, int32 [b], b = batch / replicas."""
        step, replica = counter // self.replicas, counter % self.replicas
        part = self.batch // self.replicas
        position = step * self.batch + replica * part + tf.range(part, dtype=tf.int64)
        if self.even:
            index = tf.numpy_function(self._classes.at, [position], tf.int32, stateful=False)
        else:
            index = self._plain(position, part)
        return tf.ensure_shape(index, [part])

    def index_and_crops(self, counter):
        """The same, and seeds of the examples' crops, int32 [b, 2]."""
        index = self.index(counter)
        crops = seed_of(self.seed, self.crops, counter)
        return index, tf.random.stateless_uniform([*index.shape, 2], crops, None, None, tf.int32)

    def _plain(self, position, part):
        """Of each position, int64 [b], the place in its epoch."""
        size = self.source.epoch
        epoch = tf.cast(position // size, tf.int32)
        epochs = range(part // size + 2)  # All that the part can touch, from its first on.
        keys = tf.stack([_key(self.seed, self.stream, epoch[0] + e) for e in epochs])  # [epochs, 3]
        # The public wrapper, tf.random.experimental.index_shuffle, takes a seed for all indices only.
        return tf.raw_ops.RandomIndexShuffle(
            index=tf.cast(position % size, tf.int32),
            seed=tf.gather(keys, epoch - epoch[0]),  # [part, 3]
            max_index=size - 1,
            rounds=8,
        )

    @functools.cached_property
    def _classes(self):
        return Classes(self.source.labels, self.seed, self.stream)


class Classes:
    """Draws in which all classes have the same chance.

    Args:
        labels: int [N]; classes that none of them has are never drawn.
        seed, stream: as in Draw.
    """

    def __init__(self, labels, seed, stream):
        self._key = (seed, stream)
        self._members = [np.flatnonzero(labels == label).astype(np.int32) for label in np.unique(labels)]
        # A class's order lasts as long as its epoch, that of the classes for one round: few are in use at a time.
        self._order = functools.lru_cache(maxsize=2 * len(self._members) + 2)(self._new_order)

    def at(self, positions):
        """The examples of these positions among all draws (int64 [b]): int32 [b], of 0..N - 1."""
        classes = len(self._members)
        drawn = np.empty([len(positions)], np.int32)
        for place, (round_, slot) in enumerate(zip(*np.divmod(positions, classes), strict=True)):
            # In each round each class has one turn, so that the round's number counts a class's turns.
            label = self._order(CLASSES, int(round_), classes)[slot]
            members = self._members[label]
            epoch, turn = divmod(int(round_), len(members))
            drawn[place] = members[self._order(int(label), epoch, len(members))[turn]]
        return drawn

    def _new_order(self, label, number, size):
        """A random order of 0..size - 1, the same for the same numbers."""
        return np.random.default_rng([*self._key, label, number]).permutation(size)


def seed_of(seed, stream, counter):
    """A stateless seed, int32 [2], for one stream of one step of one replica."""
    return tf.random.fold_in(tf.constant([seed, stream], tf.int32), tf.cast(counter, tf.int32))


def _key(seed, stream, epoch):
    """Three random int32: RandomIndexShuffle reads only the lowest bits of its seeds (8 up to 65,536 examples)."""
    seed = tf.random.fold_in(tf.constant([seed, stream], tf.int32), epoch)
    return tf.random.stateless_uniform([3], seed, minval=None, maxval=None, dtype=tf.int32)
