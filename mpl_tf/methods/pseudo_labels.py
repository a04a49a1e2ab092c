"""Pseudo Labels (Lee 2013; paper section 2, equation 1): a student learns what a fixed teacher says of unlabeled data.

Glossary: theta_S the student's weights; x_u^w the weak view of the unlabeled batch; q the fixed teacher's distributions
on its images, as they are, in inference mode; y_u the targets made of q; x_l, y_l the labeled batch.

Lee's labels are the largest class, without smoothing, as flags/method_pseudo_labels.flags has them; Meta Pseudo Labels'
own (sampled, smoothing 0.15) are --pseudo_labels=sampled --label_smoothing=0.15.

Deviations from Lee: the teacher is fixed, as in equation 1 of Meta Pseudo Labels (his network labels for itself, anew
in each step); so the unlabeled loss has no ramp, and the labeled images take part on request alone (--with_labels).
"""

import tensorflow as tf

from mpl_tf.step import losses
from mpl_tf.step.fit import StepResult
from mpl_tf.step.gradients import logit_gradient
from mpl_tf.step.single_network import SingleNetwork
from mpl_tf.step.targets import pseudo_targets


class PseudoLabels(SingleNetwork):
    """theta_S' = theta_S - eta grad CE(y_u, S(x_u^w; theta_S)); with the labels, of the mean over both batches.

    Args:
        network: the student, keras.Model of logits.
        pseudo_labels: "soft", "argmax" or "sampled"; see step.targets.
        label_smoothing: of all targets, in [0, 1].
        with_labels: whether the student learns from the labeled batch too, in one pass with the unlabeled one.
        **kwargs: ema_decay, seed and class_weights, as in Method; with the labels these count in the step's loss too.
    """

    log_names = ("loss", "student_loss", "student_agreement", "accuracy", "gradient_norm", "learning_rate")
    labeled_view, unlabeled_view = "x_l", "x_u_weak"

    def __init__(self, network, pseudo_labels="argmax", label_smoothing=0.0, with_labels=False, **kwargs):
        super().__init__(network, **kwargs)
        self.pseudo_labels, self.label_smoothing, self.with_labels = pseudo_labels, label_smoothing, with_labels
        self.batch_keys = (self.labeled_view, "y_l", self.unlabeled_view, "q_u")

    def step(self, batch):
        """One step; see Method.step."""
        student, y_l = self.student, batch["y_l"]
        theta_S, t = student.weights(), tf.convert_to_tensor(student.optimizer.iterations)
        x_u, x_l = batch[self.unlabeled_view], batch[self.labeled_view]
        # The fixed teacher's word, as targets: y_u of q. With the labels, both batches are one.
        y_u = pseudo_targets(batch["q_u"], self.pseudo_labels, self.seed, t)
        targets = tf.concat([y_u, tf.one_hot(y_l, y_u.shape[-1])], axis=0) if self.with_labels else y_u  # [b, C]
        w, remembered, told = self.counted(batch["q_u"], t)
        counts = self._with_labeled(w, y_u, y_l) if self.with_labels else w
        with tf.GradientTape() as tape:
            tape.watch(theta_S)
            zs, state = student.forward(theta_S, [x_u, x_l] if self.with_labels else [x_u])

        # theta_S' = theta_S - eta grad CE(targets, S), and the average of the weights follows.
        at_logits = logit_gradient(zs, lambda *zs: self._loss(targets, tf.concat(zs, axis=0), counts))  # [b, C]
        g_S = student.backward(tape, zs, theta_S, at_logits)
        update = student.update(theta_S, g_S, state)
        assignments = update.assignments + self.average(update.weights, state, t) + remembered

        # A student that sees no labels is asked about them all the same, for the logs alone.
        z_u = zs[0]
        z_l = zs[1] if self.with_labels else student.forward(theta_S, [x_l])[0][0]
        logs = told | {
            "loss": self.labeled_loss(y_l, z_l),
            "student_loss": self._loss(y_u, z_u, w),
            "student_agreement": losses.accuracy(tf.argmax(y_u, -1, tf.int32), z_u),
            "accuracy": losses.accuracy(y_l, z_l),
            "gradient_norm": update.gradient_norm,
            "learning_rate": student.optimizer.learning_rate,
        }
        return StepResult(assignments, logs, [update.gradient_norm])

    def counted(self, q, t):
        """How much each unlabeled example counts; here all do alike.

        Args:
            q: float32 [b, C].
            t: the step, from 0.
        Returns:
            (w, remembered, logs): float32 [b], 1 in the mean, or None for ones; [(variable, new
            value)] of what the method remembers; quantities of `log_names` that the method adds.
        """
        return None, [], {}

    def _with_labeled(self, w, y_u, y_l):
        """w (as `counted` has it) and after it how much the labeled examples count: float32 [b], or None for ones."""
        if w is None and self.class_weights is None:
            return None
        unlabeled = tf.ones_like(y_u[:, 0]) if w is None else w
        labeled = 1.0 if self.class_weights is None else losses.of_classes(self.class_weights, y_l)
        return tf.concat([unlabeled, labeled * tf.ones_like(y_l, tf.float32)], axis=0)  # [b]

    def _loss(self, targets, z, w):
        """Mean CE of logits float32 [b, C] against smoothed distributions [b, C], each times its w ([b]), a scalar."""
        each = losses.soft_cross_entropy(losses.smooth(targets, self.label_smoothing), z)
        return tf.reduce_mean(each if w is None else w * each)
