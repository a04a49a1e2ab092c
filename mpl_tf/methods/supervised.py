"""Supervised learning on the labeled data alone; also the finetuning phase (paper section 3.2).

Glossary: theta the network's weights, x_l and y_l the labeled batch.
"""

import tensorflow as tf

from mpl_tf.step import losses
from mpl_tf.step.method import logit_gradients, summed
from mpl_tf.step.single_network import SingleNetwork


class Supervised(SingleNetwork):
    """theta' = theta - eta grad CE(y_l, f(x_l; theta)).

    Args:
        network: keras.Model of logits.
        ema_decay: decay of the deployed average of the weights; 0 for none.
    """

    role = "network"
    image_key = "x_l"  # The view of the labeled examples that a subclass learns from.
    batch_keys = (image_key, "y_l")
    log_names = ("loss", "accuracy", "gradient_norm", "learning_rate")

    def step(self, batch):
        """One step; see Method.step."""
        network = self.student
        theta = network.weights()
        with tf.GradientTape() as tape:
            tape.watch(theta)
            zs, state = network.forward(theta, [batch[self.image_key]])
        at_logits = logit_gradients(zs, lambda z: {"supervised": self.labeled_loss(batch["y_l"], z)})
        gradients = network.backward(tape, zs, theta, summed(at_logits))
        new, updates, norm, _ = network.update(theta, gradients, state)
        updates += self.average(new, state, network.optimizer.iterations)
        return (
            updates,
            {
                "loss": self.labeled_loss(batch["y_l"], zs[0]),
                "accuracy": losses.accuracy(batch["y_l"], zs[0]),
                "gradient_norm": norm,
                "learning_rate": network.optimizer.learning_rate,
            },
            [norm],
        )

    def labeled_loss(self, y, z):
        """Mean CE of logits float32 [B, C] against labels int32 [B], a scalar."""
        return tf.reduce_mean(losses.cross_entropy(y, z))
