"""What methods that train a single network share."""

from mpl_tf.step.method import Method
from mpl_tf.step.network import Learner


class SingleNetwork(Method):
    """A Method whose deployed network is the only one trained; subclasses define `step`.

    Args:
        network: keras.Model of logits.
        **kwargs: ema_decay and seed, as in Method.

    Class attributes:
        role: the network's name in checkpoints and results.
    """

    role = "student"

    def __init__(self, network, **kwargs):
        super().__init__(network, **kwargs)

    def make_learners(self, optimizer, **options):
        """The one Learner."""
        self.student = Learner(self.student_network, optimizer, **options)

    def learners(self):
        """The one Learner, by its role."""
        return {self.role: self.student}
