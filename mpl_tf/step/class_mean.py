"""Shares of the classes: a moving mean of distributions, in which the present batch has its part, and given ones."""

import tensorflow as tf

from mpl_tf.base.errors import UsageError
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


def shares_variable(method, shares):
    """A variable of a method with shares of its classes.

    Not a constant of the graph: runs that share a traced step may have other labeled sets.

    Args:
        method: Method that is being made.
        shares: C floats >= 0 of sum 1.
    Returns:
        Variable float32 [C].
    Raises:
        UsageError: another length, a negative share or another sum.
    """
    shares, classes = [float(share) for share in shares], method.num_classes
    if len(shares) != classes or min(shares) < 0 or abs(sum(shares) - 1) > 1e-3:
        raise UsageError(f"class_prior: expected {classes} shares of sum 1, got {shares}")
    variable = method.new_state((classes,))
    variable.assign(shares)
    return variable
