"""Controls of exact feedback: Meta Pseudo Labels whose teacher is told something else than its student's feedback.

What of the feedback's gain stays with them tells where it comes from: with rows shuffled no example is told its own
feedback, without the batch mean no class is raised in all, with shuffled labels the student's loss says nothing of its
classes. They are no flags of the program, as nobody would train by them; tools.sweep --control=NAME makes them.

Glossary: table float32 [b, C], dL_l(theta_S') / dq of each example and class (mpl_tf/step/feedback.py); z float32
[b, C], the teacher's logits on the same examples.

On several replicas rows and labels are shuffled within a replica's part of the batch.
"""

import tensorflow as tf

from mpl_tf.base.errors import UsageError
from mpl_tf.devices import distribute
from mpl_tf.methods.mpl import MetaPseudoLabels

STREAM = 7919  # Of the run's seed, apart from those of what the method itself draws.


class Control(MetaPseudoLabels):
    """MetaPseudoLabels with a hook changed; arguments as there.

    Raises:
        UsageError: feedback is not "exact".
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if self.feedback != "exact":
            raise UsageError(f"--control: controls are of --feedback=exact, got --feedback={self.feedback}")

    def draw_seed(self):
        """A seed of this step, int32 [2], the same whatever the method draws besides."""
        t = tf.convert_to_tensor(self.teacher.optimizer.iterations)
        return tf.random.fold_in(tf.stack([tf.convert_to_tensor(self.seed), STREAM]), tf.cast(t, tf.int32))

    def shuffled(self, values):
        """The values of the examples in a random order, [b, ...]."""
        draws = tf.random.stateless_uniform([tf.shape(values)[0]], self.draw_seed())
        return tf.gather(values, tf.argsort(draws))


class ShuffledRows(Control):
    """Each example is told the feedback of another one."""

    def told(self, table, z):
        """The table's rows in a random order."""
        return self.shuffled(table)


class MinusMean(Control):
    """What all examples of the batch are told in common is left out."""

    def told(self, table, z):
        """The table minus its mean over the examples of the whole batch."""
        return table - distribute.batch_mean(table)


class MinusMeanShuffled(MinusMean):
    """Neither what the examples have in common nor what is their own is left."""

    def told(self, table, z):
        """The rows of MinusMean in a random order."""
        return self.shuffled(super().told(table, z))


class BatchMean(Control):
    """All examples of the batch are told the same."""

    def told(self, table, z):
        """The table's mean over the examples of the whole batch, in each row."""
        return tf.zeros_like(table) + distribute.batch_mean(table)


class ShuffledLabels(Control):
    """The feedback is that of a labeled loss with wrong labels, of the right classes; all else has its own labels."""

    def feedback_labels(self, y_l):
        """The labels in a random order, int32 [b_l]."""
        return self.shuffled(y_l)


class RandomDirection(Control):
    """The teacher is pushed as hard as by its feedback, anywhere."""

    def told(self, table, z):
        """Normal noise, scaled so that its gradient at the logits has the norm of the table's over the whole batch."""
        noise = tf.random.stateless_normal(tf.shape(table), self.draw_seed())
        p = tf.nn.softmax(z)

        def size(rows):
            gradient = p * (rows - tf.reduce_sum(p * rows, axis=-1, keepdims=True))  # Of sum rows softmax(z) by z.
            return tf.sqrt(distribute.batch_mean(tf.reduce_sum(gradient**2, axis=-1)))

        return noise * tf.math.divide_no_nan(size(table), size(noise))


FORMS = {
    "shuffled_rows": ShuffledRows,
    "minus_mean": MinusMean,
    "minus_mean_shuffled": MinusMeanShuffled,
    "batch_mean": BatchMean,
    "shuffled_labels": ShuffledLabels,
    "random_direction": RandomDirection,
}
