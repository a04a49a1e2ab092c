"""FixMatch (Sohn et al. 2020, Algorithm 1): UDA with hard pseudo labels.

Glossary: as in uda.py; tau the smallest confidence that counts; lambda_u the weight of the unlabeled loss.

Deviations: the views, the batches, the learning rate (the paper's cosine ends at 7/16 pi) and the average's decay are
the data set's. The paper has no ramp: --uda_ramp_steps=0. The logs are UDA's, where "uda" is the unlabeled loss.
"""

from mpl_tf.methods import uda
from mpl_tf.step import losses


class Objective(uda.TeacherObjective):
    """CE(y_l, f(x_l)) + lambda_u [max f(x_u^w) >= tau] CE(argmax f(x_u^w), f(x_u^s)); arguments as there."""

    def __init__(self, label_smoothing, weight, threshold, ramp_steps, passes, class_weights=None):
        # Hard: no temperature.
        super().__init__(label_smoothing, weight, None, threshold, ramp_steps, passes, class_weights)

    def unlabeled(self, z_w, z_s, memory):
        """(loss, mask) of each unlabeled example; see losses.fixmatch."""
        return losses.fixmatch(z_w, z_s, self.threshold)


class FixMatch(uda.UDA):
    """theta' = theta - eta grad of the Objective.

    Args:
        network: keras.Model of logits.
        label_smoothing, uda_weight (lambda_u), uda_threshold (tau), uda_ramp_steps, teacher_passes: as in
            uda.TeacherObjective; defaults are the paper's.
        **kwargs: balance_weight, balance_momentum, class_prior, ema_decay, seed and class_weights as in uda.UDA.
    """

    def __init__(
        self,
        network,
        label_smoothing=0.0,
        uda_weight=1.0,
        uda_threshold=0.95,
        uda_ramp_steps=0,
        teacher_passes="joint",
        **kwargs,
    ):
        super().__init__(network, **kwargs)
        self.objective = Objective(
            label_smoothing, uda_weight, uda_threshold, uda_ramp_steps, teacher_passes, self.class_weights
        )
