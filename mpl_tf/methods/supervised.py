"""Supervised learning on the labeled data alone; also the finetuning phase (paper section 3.2).

Glossary: theta the network's weights, x_l and y_l the labeled batch.
"""

import tensorflow as tf

from mpl_tf.step import losses
from mpl_tf.step.fit import StepResult
from mpl_tf.step.gradients import logit_gradient
from mpl_tf.step.single_network import SingleNetwork


class Supervised(SingleNetwork):
    """theta' = theta - eta grad CE(y_l, f(x_l; theta)).

    Args:
        network: keras.Model of logits.
        **kwargs: ema_decay, seed and class_weights, as in Method.
    """

    role = "network"
    label_smoothing = 0.0
    image_key = "x_l"  # The view of the labeled examples that a subclass learns from.
    batch_keys = (image_key, "y_l")
    log_names = ("loss", "accuracy", "gradient_norm", "learning_rate")

    def step(self, batch):
        """One step; see Method.step."""
        student, y_l = self.student, batch["y_l"]
        theta, t = student.weights(), tf.convert_to_tensor(student.optimizer.iterations)
        with tf.GradientTape() as tape:
            tape.watch(theta)
            zs, state = student.forward(theta, [batch[self.image_key]])

        # theta' = theta - eta grad CE(y_l, f(x_l; theta)), and the average of the weights follows.
        g = student.backward(tape, zs, theta, logit_gradient(zs, lambda z: self._loss(y_l, z)))
        update = student.update(theta, g, state)
        assignments = update.assignments + self.average(update.weights, state, t)

        logs = {
            "loss": self._loss(y_l, zs[0]),
            "accuracy": losses.accuracy(y_l, zs[0]),
            "gradient_norm": update.gradient_norm,
            "learning_rate": student.optimizer.learning_rate,
        }
        return StepResult(assignments, logs, [update.gradient_norm])

    def _loss(self, y, z):
        return self.labeled_loss(y, z, self.label_smoothing)
