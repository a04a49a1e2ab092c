"""Meta Pseudo Labels (Pham et al., CVPR 2021), Algorithm 1, with a teacher trained by UDA.

Glossary: theta_T, theta_S the weights of teacher and student; x_l, y_l the labeled batch; x_u^w, x_u^s the weak and the
strong view of the unlabeled batch; y_u the pseudo labels, q the teacher's distributions; h the feedback coefficient;
z_l, z_w, z_s the teacher's logits; eta_S the first-step coefficient of the student's optimizer.

Deviations from the released code: the feedback's target is the label the student was given, h is old minus new labeled
loss, and both losses come from passes of the labeled batch alone, so that they differ by the student's step and not by
the batch-norm statistics of other images. The student's moving statistics follow its pass on x_u.
"""

import tensorflow as tf

from mpl_tf.devices import distribute
from mpl_tf.methods import uda
from mpl_tf.step import any_optimizer, balance, checks, feedback, losses
from mpl_tf.step.fit import StepResult
from mpl_tf.step.gradients import logit_gradient, logit_gradients, norms, summed
from mpl_tf.step.network import Learner
from mpl_tf.step.targets import pseudo_targets

BASELINE_DECAY = 0.99  # As released: b <- 0.99 b + 0.01 h, from 0.


class MetaPseudoLabels(uda.UDA):
    """Teacher and student trained in turn; the student alone is deployed.

    Args:
        teacher, student: keras.Models of logits over the same classes.
        pseudo_labels: "sampled" from the teacher's distribution, its "argmax", or "soft", the distribution itself.
        label_view: "strong" or "weak": the view the teacher labels. The student always sees the strong one.
        feedback: "off", "taylor", "dot_product" (scalars h) or "exact" (per example and class); see feedback.py.
        feedback_scale: "mean" or "sum" over the batch; see feedback.scalar_loss.
        feedback_weight: factor of the feedback, >= 0.
        baseline: "none" or "moving_average", subtracted from a scalar h.
        **kwargs: as in uda.UDA; label_smoothing goes for the student's loss too, seed for the labels' sampling; the
            balance is that of the view the teacher labels.
    """

    log_names = (
        *uda.LOGS,
        "student_loss",
        "student_agreement",
        "student_gradient_norm",
        "student_learning_rate",
        "h",
        "baseline",
        "norm_feedback",
        "norm_supervised",
        "norm_uda",
        "feedback_share",
        *balance.LOGS,
    )

    teacher_options = {}  # Of the teacher's Learner, in place of both Learners'.

    def __init__(
        self,
        teacher,
        student,
        pseudo_labels="sampled",
        label_view="strong",
        feedback="taylor",
        feedback_scale="mean",
        feedback_weight=1.0,
        baseline="none",
        **kwargs,
    ):
        checks.same_classes(teacher, student)
        super().__init__(student, **kwargs)
        self.teacher_network = teacher
        self.pseudo_labels, self.label_view = pseudo_labels, label_view
        self.feedback, self.feedback_scale, self.feedback_weight = feedback, feedback_scale, feedback_weight
        self.baseline = self.new_state() if baseline == "moving_average" else None

    def compile(self, optimizer=None, teacher_optimizer=None, **kwargs):
        """Args: optimizer, teacher_optimizer: of student and teacher, as in Method; the others too.

        Raises:
            UsageError: see Method; exact and dot_product feedback with a student of another optimizer than SGD.
        """
        self.teacher_optimizer = any_optimizer.chosen(teacher_optimizer)
        super().compile(optimizer, **kwargs)

    def make_learners(self, optimizer, **options):
        """Teacher and student, the optimizer being the student's."""
        if self.feedback in ("exact", "dot_product"):
            any_optimizer.check_pure(optimizer, self.feedback)
        self.student_optimizer = optimizer  # Where save() finds it.
        super().make_learners(self.teacher_optimizer, **options | self.teacher_options)
        self.student = Learner(self.student_network, optimizer, **options)

    def learners(self):
        """Teacher and student."""
        return {"teacher": self.teacher, "student": self.student}

    def step(self, batch):
        """One step of Algorithm 1; see Method.step."""
        teacher, student = self.teacher, self.student
        theta_T, theta_S = teacher.weights(), student.weights()
        t = tf.convert_to_tensor(teacher.optimizer.iterations)

        # The teacher labels: y_u ~ P(. | x_u; theta_T). Its own step goes back through this pass.
        with tf.GradientTape() as teacher_tape:
            teacher_tape.watch(theta_T)
            zs, teacher_state = self.teacher_pass(theta_T, batch, teacher_tape)
        q = pseudo_targets(tf.nn.softmax(self.labeling(zs)), self.pseudo_labels, self.seed, t)

        # The student steps: theta_S' = theta_S - eta_S grad CE(y_u, S(x_u; theta_S)).
        with tf.GradientTape() as student_tape:
            student_tape.watch(theta_S)
            (z_S,), student_state = student.forward(theta_S, [batch["x_u_strong"]])
        at_logits = logit_gradient([z_S], lambda z: self._student_loss(q, z))
        g_S = student.backward(student_tape, [z_S], theta_S, at_logits)
        student_step = student.update(theta_S, g_S, student_state)

        # The student's feedback: h = CE(y_l, S(x_l; theta_S)) - CE(y_l, S(x_l; theta_S')), or another form of it.
        from_student = self._feedback(batch, q, theta_S, g_S, student_step)

        # The teacher steps: h grad CE(y_u, T(x_u)) + grad CE(y_l, T(x_l)) + lambda(t) grad UDA, joined at its logits.
        at_logits = logit_gradients(zs, lambda *zs: self.teacher_parts(zs, batch, t, from_student.loss))
        g_T = teacher.backward(teacher_tape, zs, theta_T, summed(at_logits))
        teacher_step = teacher.update(theta_T, g_T, teacher_state)

        # All new values together: both networks, the student's average, the baseline.
        assignments = student_step.assignments + teacher_step.assignments
        assignments += self.average(student_step.weights, student_state, t)
        balanced = self.balance.remembered(self.labeling(zs), t)
        assignments += balanced
        if self.baseline is not None:
            b, h = from_student.baseline, from_student.h
            assignments.append((self.baseline, BASELINE_DECAY * b + (1 - BASELINE_DECAY) * h))

        part_norms = _norm_logs(at_logits)
        logs = self.teacher_logs(zs, batch) | part_norms | self.balance.logs(balanced, part_norms)
        logs |= {
            "gradient_norm": teacher_step.gradient_norm,
            "learning_rate": teacher.optimizer.learning_rate,
            "h": from_student.h,
            "baseline": from_student.baseline,
            "student_loss": self._student_loss(q, z_S),
            "student_agreement": losses.accuracy(tf.argmax(q, -1, tf.int32), z_S),
            "student_gradient_norm": student_step.gradient_norm,
            "student_learning_rate": student.optimizer.learning_rate,
        }
        return StepResult(assignments, logs, [teacher_step.gradient_norm, student_step.gradient_norm])

    def teacher_pass(self, theta_T, batch, tape):
        """The teacher's pass, recorded by the tape: (its logits, new state); see TeacherObjective.forward."""
        return self.objective.forward(self.teacher, theta_T, batch, tape, weak_gradient=self.label_view == "weak")

    def labeling(self, zs):
        """Those of the teacher's logits that label x_u, float32 [b, C]."""
        views = uda.ViewLogits(*zs)
        return views.z_s if self.label_view == "strong" else views.z_w

    def teacher_parts(self, zs, batch, t, feedback_loss):
        """The parts of the teacher's loss, functions of its logits: dict of str to scalars."""
        labeling = self.labeling(zs)
        parts = self.objective.parts(*zs, batch["y_l"], t) | self.balance.parts(labeling, t)
        return parts | {"feedback": feedback_loss(labeling)}

    def teacher_logs(self, zs, batch):
        """What the teacher's own objective logs."""
        return self.objective.logs(*zs, batch["y_l"])

    def _student_loss(self, q, z):
        """Mean CE of the student's logits float32 [b, C] against its smoothed targets, a scalar."""
        return tf.reduce_mean(losses.soft_cross_entropy(losses.smooth(q, self.objective.label_smoothing), z))

    def told(self, table, z):
        """What the teacher is told of a table of exact feedback [b, C], its logits being z; a hook for controls."""
        return table

    def feedback_labels(self, y_l):
        """The labels of the loss that the feedback is of, int32 [b_l]; a hook for controls."""
        return y_l

    def _feedback(self, batch, q, theta_S, g_S, student_step):
        """The student's feedback in the form asked for, a feedback.Feedback.

        Args:
            batch: as in `step`.
            q: the targets that the student stepped on, float32 [b, C].
            theta_S: its weights before the step.
            g_S: its gradient on the targets over the global batch.
            student_step: its step, a network.Update.
        """
        baseline = tf.constant(0.0) if self.baseline is None else tf.convert_to_tensor(self.baseline)
        if self.feedback == "off":
            return feedback.Feedback(lambda z: tf.constant(0.0), tf.constant(0.0), baseline)
        student, new_S, eta_S = self.student, student_step.weights, student_step.first_step_coefficient
        x_l, x_u = batch["x_l"], batch["x_u_strong"]
        count = tf.cast(tf.shape(q)[0] * distribute.replicas(), tf.float32)
        weight, scale = self.feedback_weight, self.feedback_scale

        def labeled_loss(z):
            return self.labeled_loss(self.feedback_labels(batch["y_l"]), z)

        # One number for the batch.
        if self.feedback == "taylor":
            h = feedback.taylor(student, labeled_loss, x_l, theta_S, new_S)
        else:
            v = feedback.labeled_gradient(student, labeled_loss, x_l, new_S)
            h = feedback.dot_product(student.rated(v), g_S, eta_S)

        # A number for each example and class. Smoothing stands between q and the student's targets.
        if self.feedback == "exact":
            coefficient = eta_S * (1 - self.objective.label_smoothing)
            table = feedback.exact(student, student_step.pulled_back(v), x_u, theta_S, coefficient, count)

            def loss(z):
                return weight * feedback.table_loss(self.told(table, z), z, scale, count)

            return feedback.Feedback(loss, h, baseline)

        # The number multiplies grad CE(y_u, T(x_u)).
        y_u = tf.argmax(q, axis=-1, output_type=tf.int32)
        advantage = h - baseline
        return feedback.Feedback(lambda z: weight * feedback.scalar_loss(advantage, y_u, z, scale, count), h, baseline)


def _norm_logs(at_logits):
    """Norms of the parts of the teacher's gradient at its logits, and the feedback's share of their sum, in [0, 1]."""
    part_norms = norms(at_logits)
    total = tf.add_n(list(part_norms.values()))
    return part_norms | {"feedback_share": tf.math.divide_no_nan(part_norms["norm_feedback"], total)}
