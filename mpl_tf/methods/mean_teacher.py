"""Mean Teacher (Tarvainen and Valpola 2017, section 2): a student agrees with the average of its own past weights.

Glossary: theta_S the student's weights; theta_T their exponential moving average, the teacher's; x_l, y_l the labeled
batch; x_u^w, x_u^v two weak views of the unlabeled batch, of the student and of the teacher; z_l, z_u, z_v the logits
on them; w(t) the ramped weight.

Both networks run in training mode: batch statistics, dropout masks of their own. The squared error is the mean over the
classes, as in the authors' code.

Deviations: agreement counts on the unlabeled images alone (theirs: on all); the decay has the released warm-up of MPL
(moving_average; theirs: min(decay, 1 - 1 / (t + 1)), or 0.99 and then 0.999); the moving statistics of the average are
the average of the student's.
"""

import tensorflow as tf

from mpl_tf.base.errors import UsageError
from mpl_tf.step import losses
from mpl_tf.step.fit import StepResult
from mpl_tf.step.gradients import logit_gradients, norms, summed
from mpl_tf.step.single_network import SingleNetwork


class MeanTeacher(SingleNetwork):
    """theta_S' = theta_S - eta grad (CE(y_l, S(x_l)) + w(t) |S(x_u^w) - T(x_u^v)|^2 / C); theta_T is deployed.

    Args:
        network: the student, keras.Model of logits.
        uda_weight: w after its ramp, >= 0.
        uda_ramp_steps: length of the ramp, steps; see losses.sigmoid_ramp.
        ema_decay: of theta_T, in (0, 1).
    Raises:
        UsageError: ema_decay is 0.
    """

    batch_keys = ("x_l", "y_l", "x_u_weak", "x_u_weak_2")
    log_names = (
        "loss",
        "consistency_loss",
        "teacher_agreement",
        "accuracy",
        "gradient_norm",
        "learning_rate",
        "norm_supervised",
        "norm_consistency",
    )

    def __init__(self, network, uda_weight=50.0, uda_ramp_steps=5000, ema_decay=0.999, **kwargs):
        if not ema_decay:
            raise UsageError("ema_decay: expected more than 0, got 0; the average of the weights is the teacher")
        super().__init__(network, ema_decay=ema_decay, **kwargs)
        self.weight, self.ramp_steps = uda_weight, uda_ramp_steps

    def step(self, batch):
        """One step; see Method.step."""
        student, y_l = self.student, batch["y_l"]
        theta_S, t = student.weights(), tf.convert_to_tensor(student.optimizer.iterations)
        theta_T = [tf.convert_to_tensor(variable) for variable in self.averaged.trainable_variables]

        # The student learns from its labels and answers on its view of x_u, the teacher on another one.
        with tf.GradientTape() as tape:
            tape.watch(theta_S)
            (z_l, z_u), state = student.forward(theta_S, [batch["x_l"], batch["x_u_weak"]])
        # From the student's new state, whose random generators have moved on: the teacher's dropout is its own.
        (z_v,), _ = student.forward(theta_T, [batch["x_u_weak_2"]], state)
        q = tf.nn.softmax(z_v)

        # theta_S' = theta_S - eta grad (CE(y_l, S(x_l)) + w(t) |S(x_u^w) - T(x_u^v)|^2 / C).
        w = self.weight * losses.sigmoid_ramp(t, self.ramp_steps)
        at_logits = logit_gradients(
            [z_l, z_u],
            lambda z_l, z_u: {"supervised": self.labeled_loss(y_l, z_l), "consistency": w * _consistency(q, z_u)},
        )
        g_S = student.backward(tape, [z_l, z_u], theta_S, summed(at_logits))
        update = student.update(theta_S, g_S, state)

        # theta_T follows theta_S'.
        assignments = update.assignments + self.average(update.weights, state, t)

        logs = norms(at_logits) | {
            "loss": self.labeled_loss(y_l, z_l),
            "consistency_loss": _consistency(q, z_u),
            "teacher_agreement": losses.accuracy(tf.argmax(q, -1, tf.int32), z_u),
            "accuracy": losses.accuracy(y_l, z_l),
            "gradient_norm": update.gradient_norm,
            "learning_rate": student.optimizer.learning_rate,
        }
        return StepResult(assignments, logs, [update.gradient_norm])


def _consistency(q, z):
    """Mean squared error of softmax(z) against distributions q [b, C], a scalar."""
    return tf.reduce_mean(losses.squared_error(q, z))
