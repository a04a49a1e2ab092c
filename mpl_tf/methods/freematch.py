"""FreeMatch (Wang et al. 2023, equations 5 to 12): thresholds that follow the network's own confidence, and fairness.

Glossary: as in fixmatch.py; q_b, Q_b the distributions on the weak and the strong view of an unlabeled example.
Averages over steps, all 1/C at first: tau_t of the largest probability of q_b (equation 5), p~_t [C] of q_b (equation
6) and h~_t [C] of the histogram of argmax q_b (equation 10); lambda their decay. tau_t(c) the threshold of class c
(equation 7); p-bar [C] the mean of Q_b and h-bar [C] the histogram of argmax Q_b, both over the examples that count
(equation 9); w_u and w_f the weights of the unlabeled and of the fairness loss (equation 12).

A step brings the averages up to its own batch first and uses them at once. The batch is that of all replicas.

Deviations: those of fixmatch.py. A confidence counts from its threshold on, in equation 8 as in equation 9. A class
that no counted strong view is given has h-bar = 0, by which equation 11 divides: it is left out there (the released
code adds a constant for it; the gradient is the same). tau_t is not clipped (the paper: it is, for SVHN).
"""

from typing import NamedTuple

import tensorflow as tf

from mpl_tf.devices import distribute
from mpl_tf.methods import fixmatch, uda
from mpl_tf.step import losses


class Averages(NamedTuple):
    """tau_t, p~_t and h~_t: float32 scalar, [C] and [C]; their variables or their values."""

    confidence: object
    probability: object
    histogram: object


class Objective(fixmatch.Objective):
    """CE(y_l, f(x_l)) + w_u [max q_b >= tau_t(y_u)] CE(y_u, Q_b) + w_f L_f, y_u = argmax q_b.

    Args:
        label_smoothing, weight (w_u), ramp_steps, passes, class_weights: as in fixmatch.Objective.
        fairness_weight: w_f, >= 0.
        decay: lambda, in [0, 1].
        averages: Averages, the variables.
    """

    def __init__(self, label_smoothing, weight, ramp_steps, passes, class_weights, fairness_weight, decay, averages):
        # The thresholds are remembered.
        super().__init__(label_smoothing, weight, None, ramp_steps, passes, class_weights)
        self.fairness_weight, self.decay, self.averages = fairness_weight, decay, averages

    def recall(self, batch, z_w):
        """(Averages, the values after this batch; their updates); see uda.TeacherObjective.recall."""
        # What equations 5, 6 and 10 average, of the whole batch; each moves its average by 1 - lambda.
        q = tf.nn.softmax(tf.stop_gradient(z_w))
        of_batch = distribute.mean(
            [
                tf.reduce_mean(tf.reduce_max(q, axis=-1)),
                tf.reduce_mean(q, axis=0),
                tf.reduce_mean(tf.one_hot(tf.argmax(q, axis=-1), q.shape[-1]), axis=0),
            ]
        )
        new = Averages(
            *(
                self.decay * tf.convert_to_tensor(variable) + (1 - self.decay) * value
                for variable, value in zip(self.averages, of_batch, strict=True)
            )
        )
        return new, list(zip(self.averages, new, strict=True))

    def unlabeled(self, z_w, z_s, averages):
        """(loss, mask) of each unlabeled example, by the threshold of its class (equation 8); see losses.fixmatch."""
        return losses.fixmatch(z_w, z_s, tf.gather(thresholds(averages), tf.argmax(z_w, axis=-1)))

    def fairness(self, z_w, z_s, averages):
        """L_f of the global batch, a scalar; its gradients at the logits are those of a replica's mean loss."""
        _, mask = self.unlabeled(z_w, z_s, averages)
        Q = tf.nn.softmax(z_s)
        counted = tf.reduce_mean(mask[:, None] * Q, axis=0)  # [C]
        labels = tf.one_hot(tf.argmax(z_s, axis=-1), z_s.shape[-1])
        # The value is that of the whole batch, the gradient that of this replica's examples.
        p_bar, h_bar = distribute.mean([tf.stop_gradient(counted), tf.reduce_mean(mask[:, None] * labels, axis=0)])
        return fairness(averages, counted + tf.stop_gradient(p_bar - counted), h_bar)

    def parts(self, z_l, z_w, z_s, y_l, step, averages):
        """Those of FixMatch, and "fairness": w_f L_f."""
        parts = super().parts(z_l, z_w, z_s, y_l, step, averages)
        return parts | {"fairness": self.fairness_weight * self.fairness(z_w, z_s, averages)}

    def logs(self, z_l, z_w, z_s, y_l, averages):
        """Those of FixMatch, "fairness_loss" without its weight, and "threshold": the mean of tau_t(c) over classes."""
        return super().logs(z_l, z_w, z_s, y_l, averages) | {
            "fairness_loss": self.fairness(z_w, z_s, averages),
            "threshold": tf.reduce_mean(thresholds(averages)),
        }


class FreeMatch(uda.UDA):
    """theta' = theta - eta grad of the Objective.

    Args:
        network: keras.Model of logits.
        label_smoothing, uda_weight (w_u), uda_ramp_steps, teacher_passes: as in fixmatch.FixMatch.
        fairness_weight: w_f, >= 0; as released for CIFAR-10.
        threshold_decay: lambda, in [0, 1]; the paper's.
        **kwargs: balance_weight, balance_momentum, class_prior, ema_decay, seed and class_weights as in uda.UDA.
    """

    log_names = (*uda.UDA.log_names, "norm_fairness", "fairness_loss", "threshold")

    def __init__(
        self,
        network,
        label_smoothing=0.0,
        uda_weight=1.0,
        uda_ramp_steps=0,
        teacher_passes="joint",
        fairness_weight=0.01,
        threshold_decay=0.999,
        **kwargs,
    ):
        super().__init__(network, **kwargs)
        classes = network.output_shape[-1]
        averages = Averages(*(self.new_state(shape, value=1 / classes) for shape in ((), (classes,), (classes,))))
        self.objective = Objective(
            label_smoothing,
            uda_weight,
            uda_ramp_steps,
            teacher_passes,
            self.class_weights,
            fairness_weight,
            threshold_decay,
            averages,
        )


def thresholds(averages):
    """tau_t(c) = tau_t p~_t(c) / max p~_t, float32 [C] (equation 7)."""
    return averages.confidence * averages.probability / tf.reduce_max(averages.probability)


def fairness(averages, p_bar, h_bar):
    """L_f = sum_c a_c log b_c, a = SumNorm(p~_t / h~_t) and b = SumNorm(p-bar / h-bar) (equation 11).

    It is minus a cross entropy: lower where b is further from a, that is where the strong views' classes make up for
    those that the averages favour.

    Args:
        averages: Averages, values.
        p_bar, h_bar: float32 [C]; no gradient goes through h-bar.
    Returns:
        A float32 scalar <= 0; 0 where no example counts.
    """
    a = _sum_norm(tf.math.divide_no_nan(averages.probability, averages.histogram))
    b = _sum_norm(tf.math.divide_no_nan(p_bar, h_bar))
    # A class that no counted view is given has no part in the sum.
    return tf.reduce_sum(a * tf.math.log(tf.where(h_bar > 0, b, 1.0)))


def _sum_norm(x):
    """x over its sum, float32 [C]; zeros where the sum is 0."""
    return tf.math.divide_no_nan(x, tf.reduce_sum(x))
