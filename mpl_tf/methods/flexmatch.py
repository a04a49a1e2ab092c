"""FlexMatch (Zhang et al. 2021, Algorithm 1): FixMatch with a threshold a class, by how well the class is learned.

Glossary: as in fixmatch.py; N the number of unlabeled examples; u_hat [N] the class of the last prediction of each that
was sure (reached tau), -1 for none yet; sigma(c) how many examples have class c there, the learning status (equation
5); beta(c) the same as a share of the largest (equations 6 and 11); M(x) = x / (2 - x); T(c) = M(beta(c)) tau the
threshold of class c (equation 12).

A step takes T from u_hat as the steps before have left it, then writes the sure predictions of its own batch there.

Deviations: those of fixmatch.py, whose recipe this is. A confidence counts from its threshold on, as released (the
paper: above it). Of an example that comes more than once in a batch the last sure prediction stays; the paper leaves
this open. It does not run on a mesh: DTensor (TensorFlow 2.21) cannot lay out the maximum over segments that finds it.
"""

import tensorflow as tf

from mpl_tf.base.errors import UsageError
from mpl_tf.devices import distribute
from mpl_tf.methods import fixmatch, uda
from mpl_tf.step import losses

UNUSED = -1  # In u_hat.


class Objective(fixmatch.Objective):
    """CE(y_l, f(x_l)) + lambda_u [max f(x_u^w) >= T(y_u)] CE(y_u, f(x_u^s)), y_u = argmax f(x_u^w).

    Args:
        label_smoothing, weight, threshold (tau), ramp_steps, passes, class_weights: as in fixmatch.Objective.
        last_labels: variable with u_hat, int64 [N].
    """

    def __init__(self, label_smoothing, weight, threshold, ramp_steps, passes, class_weights, last_labels):
        super().__init__(label_smoothing, weight, threshold, ramp_steps, passes, class_weights)
        self.last_labels = last_labels

    def recall(self, batch, z_w):
        """(T, float32 [C], the update of u_hat); see uda.TeacherObjective.recall."""
        last_labels = tf.cast(self.last_labels, tf.int32)
        thresholds = self.threshold * mapped(learning_status(last_labels, z_w.shape[-1]))
        sure = losses.confident(z_w, self.threshold) > 0
        y_u = tf.where(sure, tf.argmax(z_w, axis=-1, output_type=tf.int32), UNUSED)
        # The replicas' examples in the order of the global batch, so that all of them remember the same.
        numbers, y_u = distribute.gather(batch["i_u"]), distribute.gather(y_u)
        return thresholds, [(self.last_labels, remembered(last_labels, numbers, y_u))]

    def unlabeled(self, z_w, z_s, thresholds):
        """(loss, mask) of each unlabeled example, by the threshold of its class; see losses.fixmatch."""
        return losses.fixmatch(z_w, z_s, tf.gather(thresholds, tf.argmax(z_w, axis=-1)))

    def logs(self, z_l, z_w, z_s, y_l, thresholds):
        """Those of FixMatch, and "threshold": the mean of T over the classes."""
        return super().logs(z_l, z_w, z_s, y_l, thresholds) | {"threshold": tf.reduce_mean(thresholds)}


class FlexMatch(uda.UDA):
    """theta' = theta - eta grad of the Objective.

    Args:
        network: keras.Model of logits.
        num_unlabeled: N, at least 1; a batch's `i_u` are numbers from 0 to N - 1.
        label_smoothing, uda_weight (lambda_u), uda_threshold (tau), uda_ramp_steps, teacher_passes: as in
            fixmatch.FixMatch; defaults are the paper's.
        **kwargs: balance_weight, balance_momentum, class_prior, ema_decay, seed and class_weights as in uda.UDA.
    Raises:
        UsageError: num_unlabeled is less than 1.
    """

    batch_keys = (*uda.UDA.batch_keys, "i_u")
    log_names = (*uda.UDA.log_names, "threshold")

    def __init__(
        self,
        network,
        num_unlabeled,
        label_smoothing=0.0,
        uda_weight=1.0,
        uda_threshold=0.95,
        uda_ramp_steps=0,
        teacher_passes="joint",
        **kwargs,
    ):
        if num_unlabeled < 1:
            raise UsageError(f"num_unlabeled: expected at least 1 unlabeled example, got {num_unlabeled}")
        super().__init__(network, **kwargs)
        last_labels = self.new_state((num_unlabeled,), "int64", UNUSED)
        self.objective = Objective(
            label_smoothing, uda_weight, uda_threshold, uda_ramp_steps, teacher_passes, self.class_weights, last_labels
        )


def learning_status(last_labels, num_classes):
    """beta, float32 [C] in [0, 1]: sigma(c) / max(max sigma, N - sum sigma) (equations 5 and 11).

    While more examples are unused than the best class has, their number stands in for it: the thresholds warm up.

    Args:
        last_labels: u_hat, int32 [N].
        num_classes: C.
    """
    sigma = tf.math.unsorted_segment_sum(tf.ones_like(last_labels), last_labels, num_classes)  # [C]; leaves -1 out.
    unused = tf.size(last_labels) - tf.reduce_sum(sigma)
    return tf.cast(sigma, tf.float32) / tf.cast(tf.maximum(tf.reduce_max(sigma), unused), tf.float32)


def mapped(beta):
    """M(beta) = beta / (2 - beta), convex: it grows slowly while a class is little learned (section 3.3)."""
    return beta / (2 - beta)


def remembered(last_labels, numbers, labels):
    """u_hat after a batch.

    Args:
        last_labels: u_hat before, int32 [N].
        numbers: of the batch's examples, int32 [b].
        labels: their classes, -1 where they are not sure, int32 [b].
    Returns:
        int32 [N]: the class of an example's last sure place in the batch, else what it was.
    """
    places = tf.where(labels == UNUSED, UNUSED, tf.range(tf.size(labels)))  # [b]
    last = tf.math.unsorted_segment_max(places, numbers, tf.size(last_labels))  # [N]; below 0 where it has none.
    return tf.where(last < 0, last_labels, tf.gather(labels, tf.maximum(last, 0)))
