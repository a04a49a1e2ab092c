"""Reduced Meta Pseudo Labels (paper section 4 and appendix E): MPL with one large network in memory.

A large teacher is trained first and its distributions q(x_u) are stored (run/teacher_labels.py). A reduced teacher T',
a small MLP, turns them into the distributions that the student learns, and is trained by the student's feedback alone.

Glossary: as in mpl.py; q the large teacher's distributions, T'(q) = softmax(log q + MLP(q)).

Deviation: the appendix does not state the MLP. Its last layer starts at 0, so that T' starts as the identity, and
weight decay draws it back there.
"""

import keras
import tensorflow as tf

from mpl_tf.methods.mpl import MetaPseudoLabels
from mpl_tf.step import balance, checks

HIDDEN = 64  # Small beside any student; one layer calibrates each class by all the others.
SMALLEST = 1e-7  # Probability that log takes for 0, near float32's resolution at 1.


def reduced_teacher(num_classes):
    """T', keras.Model: distributions float32 [B, C] -> logits float32 [B, C], at first log q."""
    q = keras.Input((num_classes,))
    x = keras.layers.Dense(HIDDEN, "relu", dtype="float32")(q)
    x = keras.layers.Dense(num_classes, kernel_initializer="zeros", dtype="float32")(x)
    log_q = keras.ops.log(keras.ops.maximum(q, SMALLEST))
    return keras.Model(q, keras.layers.Add(dtype="float32")([x, log_q]), name="reduced_teacher")


class ReducedMPL(MetaPseudoLabels):
    """MPL's step with T' in the teacher's place; the student alone is deployed.

    Args:
        student: keras.Model of logits.
        **kwargs: pseudo_labels, feedback, feedback_scale, feedback_weight, baseline, label_smoothing, balance_weight,
            balance_momentum, class_prior, ema_decay, seed and class_weights as in MetaPseudoLabels.
    """

    batch_keys = ("x_l", "y_l", "x_u_strong", "q_u")
    teacher_options = {"backbone_rate": 1.0}  # T' has no backbone.
    log_names = (
        "student_loss",
        "student_agreement",
        "student_gradient_norm",
        "student_learning_rate",
        "teacher_shift",
        "gradient_norm",
        "learning_rate",
        "h",
        "baseline",
        "norm_feedback",
        *balance.LOGS,
    )

    def __init__(self, student, **kwargs):
        super().__init__(reduced_teacher(checks.classes(student, "student")), student, **kwargs)

    def scored_learners(self):
        """The student alone: T' takes distributions, which may have the very shape of the data set's examples."""
        return {"student": self.learners()["student"]}

    def teacher_pass(self, theta_T, batch, tape):
        """T' on the stored distributions: ([its logits], its new state)."""
        return self.teacher.forward(theta_T, [batch["q_u"]])

    def labeling(self, zs):
        """Its only logits label."""
        return zs[0]

    def teacher_parts(self, zs, batch, t, feedback_loss):
        """The feedback and, where asked for, the balance; see MetaPseudoLabels.teacher_parts."""
        return {"feedback": feedback_loss(self.labeling(zs))} | self.balance.parts(self.labeling(zs), t)

    def teacher_logs(self, zs, batch):
        """teacher_shift: how far T' has moved the distributions, the mean total variation, in [0, 1]."""
        moved = tf.abs(tf.nn.softmax(zs[0]) - batch["q_u"])
        return {"teacher_shift": tf.reduce_mean(tf.reduce_sum(moved, axis=-1)) / 2}
