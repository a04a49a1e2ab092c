"""Examples whose images are read and decoded when they are needed: what all kinds of them share.

Each example is known by its number, so that a run draws them in any order, as it does those in memory: step n needs no
step before it, and a host reads its own part alone.
"""

import tensorflow as tf

from mpl_tf.base.errors import RunError
from mpl_tf.data.source import PIPELINE_OPTIONS, Examples, targets_at


class FromFiles:
    """Examples in files, with random access.

    Subclasses have a length, `size`, `targets`, `order` and `labeled`, define `training_example` and `plain_example`,
    and note in the list `failures`, in a line, why an image could not be had.
    """

    ahead = None  # ahead.Ahead of the examples by their numbers, where their files are in a bucket.
    advice = "mend this file, then run the same command again"

    @property
    def shape(self):
        """Shape of one image."""
        return (self.size, self.size, 3)

    @property
    def epoch(self):
        """Examples that an epoch of training shows, as in Source."""
        return len(self) if self.order is None else len(self.order)

    def training_example(self, number, seed):
        """An example as training sees it, in a graph.

        Args:
            number: integer scalar, of the example.
            seed: int32 [2], of what is random in it.
        Returns:
            (image uint8 [S, S, 3], label int32 [], the number of the example that these are, int32 []).
        """
        raise NotImplementedError

    def plain_example(self, number):
        """(image uint8 [S, S, 3], label) of an example as it is scored, in a graph."""
        raise NotImplementedError

    def training_batches(self, draws):
        """Batches for training, their order that of the draws.

        Args:
            draws: tf.data.Dataset of (indices int32 [b], seeds int32 [b, 2]) in the order of an epoch.
        Returns:
            tf.data.Dataset of Examples, their images uint8 [b, S, S, 3].
        """
        (size,) = draws.element_spec[0].shape
        order = None if self.order is None else tf.constant(self.order)

        def one(index, seed):
            return self.training_example(index if order is None else order[index], seed)

        def whole(images, labels, numbers):
            targets = None if self.targets is None else targets_at(self.targets, numbers)
            return Examples(images, labels if self.labeled else None, targets, numbers)

        examples = draws.flat_map(lambda *draw: tf.data.Dataset.from_tensor_slices(draw))
        if self.ahead:
            examples = self.ahead.over(examples, lambda index, _: index if order is None else order[index])
        examples = examples.map(one, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        return examples.batch(size, drop_remainder=True).map(whole)

    def pieces(self, size, start=0):
        """The examples from `start` on, each once and in order, `size` at a time, as they are scored.

        Yields:
            (images, labels): uint8 [b, S, S, 3]; [b] int, or [b, classes] bool.
        Raises:
            RunError: a file that cannot be read or decoded.
        """
        numbers = tf.data.Dataset.range(start, len(self))
        if self.ahead:
            numbers = self.ahead.over(numbers)
        examples = numbers.map(self.plain_example, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        try:
            batches = examples.batch(size).prefetch(1).with_options(PIPELINE_OPTIONS)
            yield from batches.as_numpy_iterator()
        except tf.errors.OpError as error:
            raise self.failure(error) or error from error

    def note(self, line):
        """The RunError of why an image could not be had, which `failure` finds again."""
        self.failures.append(line)
        return RunError(line)

    def failure(self, error):
        """What a failed tf.data operation on these examples was: RunError that names the file, or None if not theirs.

        Args:
            error: tf.errors.OpError.
        """
        if not self.failures:
            return None
        return RunError(f"{self.failures[-1]}; {self.advice}")
