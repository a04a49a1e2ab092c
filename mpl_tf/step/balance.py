"""Class balance: predictions on unlabeled data are, in the mean over the steps, of the labeled data's classes.

A term of the teacher's objective that needs no student and no feedback: what feedback adds is measured against it.

Glossary: pi [C] the labeled set's class shares; m [C] the moving mean of the predictions on x_u, the present batch
included (class_mean.py); z the logits on x_u; lambda_b the weight.
"""

import tensorflow as tf

from mpl_tf.step.class_mean import ClassMean, shares_variable

LOGS = ("balance_loss", "norm_balance")  # Columns of the methods that have it.


class Balance:
    """lambda_b KL(pi || m) = lambda_b sum_c pi_c log(pi_c / m_c), 0 where m is pi.

    Its gradient goes through the batch's part in m: a class that is predicted less than it should be is raised in all
    examples, by (1 - momentum) of what the batch's mean alone would give.

    Args:
        method: Method that is being made; its checkpoints hold m and pi.
        classes: C.
        weight: lambda_b, >= 0; 0: none, and nothing is remembered.
        momentum: of m, in [0, 1); at 0 m is the batch's own mean.
        prior: pi, C shares of sum 1; uniform if None.
    Raises:
        UsageError: pi has another length, a negative share or another sum.
    """

    def __init__(self, method, classes, weight, momentum, prior=None):
        self.weight, self.mean, self.prior = weight, None, None
        if not weight:
            return
        self.mean = ClassMean(method, classes, momentum)
        self.prior = shares_variable(method, [1 / classes] * classes if prior is None else prior)

    def loss(self, z, t):
        """KL(pi || m) over the whole batch, a float32 scalar, equal on all replicas; gradients as ClassMean's.

        Args:
            z: float32 [b, C] of this replica.
            t: the step, from 0.
        """
        return self._divergence(self.mean.now(tf.nn.softmax(z), t))

    def _divergence(self, m):
        """KL(pi || m), a scalar."""
        prior = tf.convert_to_tensor(self.prior)
        # A class without labels has no part: 0 log 0 = 0.
        prior_log, m_log = (tf.math.log(tf.where(prior > 0, shares, 1.0)) for shares in (prior, m))
        return tf.reduce_sum(prior * (prior_log - m_log))

    def parts(self, z, t):
        """The part of the objective: {"balance": lambda_b KL}, or {} without it."""
        return {"balance": self.weight * self.loss(z, t)} if self.weight else {}

    def remembered(self, z, t):
        """m's new value: [(variable, float32 [C])], or []."""
        if not self.weight:
            return []
        return [(self.mean.variable, self.mean.now(tf.nn.softmax(tf.stop_gradient(z)), t))]

    def logs(self, remembered, norms):
        """LOGS, both 0 without it.

        Args:
            remembered: what the method of that name returned for the step.
            norms: those of the objective's parts, as gradients.norms gives them.
        """
        loss = self._divergence(remembered[0][1]) if self.weight else tf.constant(0.0)
        return {"balance_loss": loss, "norm_balance": norms.get("norm_balance", tf.constant(0.0))}
