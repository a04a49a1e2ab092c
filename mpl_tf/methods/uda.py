"""Unsupervised data augmentation (Xie et al. 2020), which is also the objective of MPL's teacher.

Glossary: theta_T the network's weights; x_l, y_l the labeled batch; x_u^w, x_u^s the weak and the strong view of the
unlabeled batch; z_l, z_w, z_s the logits on them; lambda(t) the ramped weight.

Deviations from UDA's paper, as released with Meta Pseudo Labels, whose hyper-parameters these are: an example counts
where the largest probability of the sharpened target, softmax(z_w / temperature), reaches the threshold (the paper: of
softmax(z_w)); the weight has a ramp; no training signal annealing (the released program computes it and never uses it).
"""

import contextlib
from typing import NamedTuple

import tensorflow as tf

from mpl_tf.step import balance, losses
from mpl_tf.step.fit import StepResult
from mpl_tf.step.gradients import logit_gradients, norms, summed
from mpl_tf.step.method import Method
from mpl_tf.step.network import Learner

LOGS = ("loss", "uda_loss", "uda_mask", "accuracy", "gradient_norm", "learning_rate")


class ViewLogits(NamedTuple):
    """The logits on the three images of a step: z_l float32 [b_l, C], z_w and z_s float32 [b_u, C]."""

    z_l: tf.Tensor
    z_w: tf.Tensor
    z_s: tf.Tensor


class TeacherObjective:
    """CE(y_l, T(x_l)) + lambda(t) UDA(T; x_u^w, x_u^s), as a function of the teacher's logits.

    Args:
        label_smoothing: of the supervised part, in [0, 1].
        weight: lambda after its ramp, >= 0.
        temperature: of the weak view's distribution, > 0.
        threshold: smallest confidence that counts, in [0, 1]; of the sharpened distribution.
        ramp_steps: length of the linear ramp of lambda, steps.
        passes: "joint": labeled, weak and strong images in one pass, which share its batch-norm statistics, as
            released; "split": the weak view in a pass of its own with its own statistics, which costs no backward
            pass, then labeled and strong together. The moving statistics follow all passes, one after the other.
        class_weights: of the supervised part, float32 [C] or None; see losses.labeled.
    """

    def __init__(self, label_smoothing, weight, temperature, threshold, ramp_steps, passes, class_weights=None):
        self.label_smoothing, self.weight, self.passes = label_smoothing, weight, passes
        self.temperature, self.threshold, self.ramp_steps = temperature, threshold, ramp_steps
        self.class_weights = class_weights

    def forward(self, teacher, theta_T, batch, tape, weak_gradient=False):
        """The teacher's logits on the labeled batch and both views.

        Args:
            teacher: Learner.
            theta_T: its weights.
            batch: dict with x_l, x_u_weak and x_u_strong.
            tape: the GradientTape that records; not the weak view's pass where that is split off.
            weak_gradient: whether a gradient through the weak view's logits is wanted all the same.
        Returns:
            (ViewLogits, new state).
        """
        x_l, x_w, x_s = batch["x_l"], batch["x_u_weak"], batch["x_u_strong"]
        # As released: the batch-norm statistics are those of all images of the step.
        if self.passes == "joint":
            zs, state = teacher.forward(theta_T, [x_l, x_w, x_s])
            return ViewLogits(*zs), state
        # The weak view's logits are targets: where they need no gradient, the tape keeps no activations of its pass.
        with contextlib.nullcontext() if weak_gradient else tape.stop_recording():
            (z_w,), state = teacher.forward(theta_T, [x_w])
        (z_l, z_s), state = teacher.forward(theta_T, [x_l, x_s], state)
        return ViewLogits(z_l, z_w, z_s), state

    def recall(self, batch, z_w):
        """What the unlabeled loss knows of the steps before, for objectives that remember; here nothing.

        Args:
            batch: dict, as Method.step has it.
            z_w: float32 [B, C], the weak view's logits; no gradient goes through what is remembered.
        Returns:
            (memory, assignments): what `unlabeled` takes beside the logits; [(variable, new value)] of what is
            remembered, equal on all replicas, the variables made by the method (Method.new_state).
        """
        return None, []

    def unlabeled(self, z_w, z_s, memory):
        """(loss, mask) of each unlabeled example, float32 [B]; see losses.uda, and `recall` for the memory."""
        return losses.uda(z_w, z_s, self.temperature, self.threshold)

    def parts(self, z_l, z_w, z_s, y_l, step, memory=None):
        """The two losses, scalars: {"supervised": ..., "uda": lambda(t) times the UDA loss}."""
        # An example that is masked out counts as 0: the mean is over all of x_u.
        consistency, _ = self.unlabeled(z_w, z_s, memory)
        factor = self.weight * losses.ramp(step, self.ramp_steps)
        return {
            "supervised": losses.labeled(y_l, z_l, self.label_smoothing, self.class_weights),
            "uda": factor * tf.reduce_mean(consistency),
        }

    def logs(self, z_l, z_w, z_s, y_l, memory=None):
        """The objective's logged quantities, without weight and ramp; "uda_mask" is the share of x_u that counts."""
        consistency, mask = self.unlabeled(z_w, z_s, memory)
        return {
            "loss": losses.labeled(y_l, z_l, self.label_smoothing, self.class_weights),
            "uda_loss": tf.reduce_mean(consistency),
            "uda_mask": tf.reduce_mean(mask),
            "accuracy": losses.accuracy(y_l, z_l),
        }


class UDA(Method):
    """theta_T' = theta_T - eta grad (CE(y_l, T(x_l)) + lambda(t) UDA(T; x_u^w, x_u^s) + lambda_b balance).

    Args:
        network: keras.Model of logits.
        label_smoothing, uda_weight, uda_temperature, uda_threshold, uda_ramp_steps, teacher_passes: as in
            TeacherObjective; defaults are the released CIFAR-10-4K values.
        balance_weight, balance_momentum, class_prior: weight, momentum and prior of step.balance.Balance, on the strong
            view; no part of the released program.
        **kwargs: ema_decay, seed and class_weights, as in Method.
    """

    batch_keys = ("x_l", "y_l", "x_u_weak", "x_u_strong")
    log_names = (*LOGS, "norm_supervised", "norm_uda", *balance.LOGS)

    def __init__(
        self,
        network,
        label_smoothing=0.15,
        uda_weight=8.0,
        uda_temperature=0.7,
        uda_threshold=0.6,
        uda_ramp_steps=5000,
        teacher_passes="joint",
        balance_weight=0.0,
        balance_momentum=0.9,
        class_prior=None,
        **kwargs,
    ):
        super().__init__(network, **kwargs)
        self.balance = balance.Balance(self, self.num_classes, balance_weight, balance_momentum, class_prior)
        self.teacher_network = network  # The network is its own teacher: its weak views teach its strong ones.
        self.objective = TeacherObjective(
            label_smoothing,
            uda_weight,
            uda_temperature,
            uda_threshold,
            uda_ramp_steps,
            teacher_passes,
            self.class_weights,
        )

    def make_learners(self, optimizer, **options):
        """The teacher."""
        self.teacher = Learner(self.teacher_network, optimizer, **options)

    def learners(self):
        """The one Learner, in the teacher's role."""
        return {"teacher": self.teacher}

    def step(self, batch):
        """One step; see Method.step."""
        teacher, y_l = self.teacher, batch["y_l"]
        theta_T, t = teacher.weights(), tf.convert_to_tensor(teacher.optimizer.iterations)
        with tf.GradientTape() as tape:
            tape.watch(theta_T)
            zs, state = self.objective.forward(teacher, theta_T, batch, tape)

        # What the unlabeled loss remembers of the steps before, and will of this one.
        memory, remembered = self.objective.recall(batch, zs.z_w)
        balanced = self.balance.remembered(zs.z_s, t)
        remembered = remembered + balanced

        # theta_T' = theta_T - eta grad of the objective, and the average of the weights follows.
        def parts(z_l, z_w, z_s):
            return self.objective.parts(z_l, z_w, z_s, y_l, t, memory) | self.balance.parts(z_s, t)

        at_logits = logit_gradients(zs, parts)
        g_T = teacher.backward(tape, zs, theta_T, summed(at_logits))
        update = teacher.update(theta_T, g_T, state)
        assignments = update.assignments + self.average(update.weights, state, t) + remembered

        part_norms = norms(at_logits)
        logs = self.objective.logs(*zs, y_l, memory) | part_norms | self.balance.logs(balanced, part_norms)
        logs |= {"gradient_norm": update.gradient_norm, "learning_rate": teacher.optimizer.learning_rate}
        # What is remembered for good must be finite too, or the step is refused.
        to_be_finite = [tf.reduce_sum(value) for _, value in remembered if value.dtype.is_floating]
        return StepResult(assignments, logs, [update.gradient_norm, *to_be_finite])
