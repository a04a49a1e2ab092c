"""What methods that train a single network share."""

from mpl_tf.step.method import Method
from mpl_tf.step.network import Learner
from mpl_tf.step.optimizer import default_sgd


class SingleNetwork(Method):
    """A Method whose deployed network is the only one trained; subclasses define `step`.

    Args:
        network: keras.Model of logits.
        ema_decay: decay of the deployed average of the weights; 0 for none.

    Class attributes:
        role: the network's name in checkpoints and results.
    """

    role = "student"

    def __init__(self, network, ema_decay=0.0, **kwargs):
        super().__init__(network, ema_decay, **kwargs)

    def compile(self, optimizer=None, weight_decay=0.0, clip_norm=0.0, accumulate=1, **kwargs):
        """Args: optimizer: a step.optimizer.SGD, see default_sgd; the others as in Learner."""
        optimizer = optimizer or default_sgd()
        self.student = Learner(self.student_network, optimizer, weight_decay, clip_norm, accumulate)
        super().compile(optimizer, **kwargs)

    def learners(self):
        """The one network."""
        return {self.role: self.student}
