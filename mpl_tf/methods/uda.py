"""Unsupervised data augmentation (Xie et al. 2020), which is also the objective of MPL's teacher.

Glossary: theta_T the network's weights; x_l, y_l the labeled batch; x_u^w, x_u^s the weak and the strong view of the
unlabeled batch; z_l, z_w, z_s the logits on them; lambda(t) the ramped weight.

As released, one pass takes labeled, weak and strong images together, so that they share batch-norm statistics.
"""

import tensorflow as tf

from mpl_tf import distribute, losses, optim
from mpl_tf.methods.base import Method, Trained, logit_gradients, norms
from mpl_tf.methods.supervised import accuracy

LOGS = ("loss", "uda_loss", "uda_mask", "accuracy", "gradient_norm", "learning_rate")


class TeacherObjective:
    """CE(y_l, T(x_l)) + lambda(t) UDA(T; x_u^w, x_u^s), as a function of the teacher's logits.

    Args:
        label_smoothing: of the supervised part, in [0, 1].
        weight: lambda after its ramp, >= 0.
        temperature: of the weak view's distribution, > 0.
        threshold: smallest confidence that counts, in [0, 1].
        ramp_steps: length of the linear ramp of lambda, steps.
    """

    def __init__(self, label_smoothing, weight, temperature, threshold, ramp_steps):
        self.label_smoothing, self.weight = label_smoothing, weight
        self.temperature, self.threshold, self.ramp_steps = temperature, threshold, ramp_steps

    def parts(self, z_l, z_w, z_s, y_l, step):
        """The two losses, scalars: {"supervised": ..., "uda": lambda(t) times the UDA loss}."""
        consistency, _ = losses.uda(z_w, z_s, self.temperature, self.threshold)
        factor = self.weight * losses.ramp(step, self.ramp_steps)
        return {
            "supervised": tf.reduce_mean(losses.cross_entropy(y_l, z_l, self.label_smoothing)),
            "uda": factor * tf.reduce_mean(consistency),
        }

    def logs(self, z_l, z_w, z_s, y_l):
        """The objective's logged quantities, without weight and ramp; "uda_mask" is the share of x_u that counts."""
        consistency, mask = losses.uda(z_w, z_s, self.temperature, self.threshold)
        return {
            "loss": tf.reduce_mean(losses.cross_entropy(y_l, z_l, self.label_smoothing)),
            "uda_loss": tf.reduce_mean(consistency),
            "uda_mask": tf.reduce_mean(mask),
            "accuracy": accuracy(y_l, z_l),
        }


def all_views(batch):
    """Labeled, weak and strong examples in one batch, and their sizes."""
    xs = [batch["x_l"], batch["x_u_weak"], batch["x_u_strong"]]
    return tf.concat(xs, axis=0), [x.shape[0] or tf.shape(x)[0] for x in xs]  # [(1 + 2 mu) B, ...]


class UDA(Method):
    """theta_T' = theta_T - eta grad (CE(y_l, T(x_l)) + lambda(t) UDA(T; x_u^w, x_u^s)).

    Args:
        network: keras.Model of logits.
        label_smoothing, uda_weight, uda_temperature, uda_threshold, uda_ramp_steps: as in TeacherObjective; defaults
            are the released CIFAR-10-4K values.
        ema_decay: decay of the deployed average of the weights; 0 for none.
    """

    batch_keys = ("x_l", "y_l", "x_u_weak", "x_u_strong")
    log_names = (*LOGS, "norm_supervised", "norm_uda")

    def __init__(
        self,
        network,
        label_smoothing=0.15,
        uda_weight=8.0,
        uda_temperature=0.7,
        uda_threshold=0.6,
        uda_ramp_steps=5000,
        ema_decay=0.0,
        **kwargs,
    ):
        super().__init__(network, ema_decay, **kwargs)
        self.objective = TeacherObjective(label_smoothing, uda_weight, uda_temperature, uda_threshold, uda_ramp_steps)

    def compile(self, optimizer=None, weight_decay=0.0, clip_norm=0.0, **kwargs):
        """Args: optimizer: mpl_tf.optim.SGD, at 0.1 by default; weight_decay, clip_norm: as in Trained."""
        optimizer = optimizer or optim.SGD(0.1, momentum=0.9, nesterov=True)
        self.teacher = Trained(self.trained, optimizer, weight_decay, clip_norm)
        super().compile(optimizer, **kwargs)

    def networks(self):
        """The one network, in the teacher's role."""
        return {"teacher": self.teacher}

    def step(self, batch):
        """One step; see Method.step."""
        teacher, y_l = self.teacher, batch["y_l"]
        theta_T, t = teacher.weights(), tf.convert_to_tensor(teacher.optimizer.iterations)
        x, sizes = all_views(batch)
        with tf.GradientTape() as tape:
            tape.watch(theta_T)
            z, state = teacher.forward(theta_T, x)
        at_logits = logit_gradients(z, lambda z: self.objective.parts(*tf.split(z, sizes), y_l, t))
        gradients = distribute.mean(tape.gradient(z, theta_T, output_gradients=sum(at_logits.values())))
        new, updates, norm, _ = teacher.update(theta_T, gradients, state)
        updates += self.average(new, state, t)
        part_norms = {f"norm_{name}": value for name, value in norms(at_logits).items()}
        logs = self.objective.logs(*tf.split(z, sizes), y_l) | part_norms
        return updates, logs | {"gradient_norm": norm, "learning_rate": teacher.optimizer.learning_rate}, [norm]
