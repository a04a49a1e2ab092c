"""A moving mean of class distributions over the steps, in which the present batch has its part."""

import tensorflow as tf

from mpl_tf.devices import distribute
from mpl_tf.step.optimizer import warmed_up


class ClassMean:
    """m <- momentum m + (1 - momentum) times the mean of a batch's distributions; uniform at first.

    Args:
        method: Method that is being made; its checkpoints hold m.
        classes: C.
        momentum: in [0, 1); at 0 m is the batch's own mean.
    """

    def __init__(self, method, classes, momentum):
        self.variable = method.new_state((classes,), value=1 / classes)
        self.momentum = momentum

    def now(self, p, step):
        """m with the present batch in it, float32 [C], equal on all replicas.

        Args:
            p: distributions of this replica's examples, float32 [b, C]; the gradient goes through them, (1 - momentum)
                of that of their mean.
            step: from 0, integer scalar; the momentum is below its value at first, as optimizer.warmed_up has it.
        """
        past, momentum = tf.convert_to_tensor(self.variable), warmed_up(self.momentum, step)
        return momentum * past + (1 - momentum) * distribute.batch_mean(p)
