"""Meta-Semi (Wang et al. 2020), Algorithm 1: an example counts if its gradient agrees with that of the labeled batch.

Glossary: theta the weights; x_l, y_l the labeled batch and x_u the weak view of the unlabeled one, mixed by MixUp (the
paper's X-tilde and U-tilde); y_hat the pseudo labels of x_u, by the average of theta; w_j the weight of an example.

Lines 6 to 10 take a virtual step with weights w, and the gradient by w of the labeled loss after it, at w = 0. There
the step goes nowhere, and the gradient is -alpha <grad of the labeled loss, grad of L_j>, both at theta. A directional
derivative gives these products for all j, of the very pass (batch-norm statistics, dropout) that the step learns from.

Deviations, and what Algorithm 1 leaves open:
- No labeled example stands in L_meta. Yet the ablation's row "Reweighting with the constant 1" (Table 5) would then see
  no label at all, and the whole algorithm stays at chance level on digits_50. With `with_labels`, as the flagfile has
  it, the mixed labeled batch is part of U-tilde; its examples get weights as all others do.
- The averaged network labels x_u before MixUp, in inference mode, its statistics averaged like its weights.
- MixUp is of each batch within itself, by Beta(mixup_alpha, mixup_alpha); mixup.py says who is mixed with whom.
- w is 0 where the meta gradient is 0, as in line 11; equation 9 has 1 there.
- Weights -1 and 1 (Table 5) are normalised by the sum of their absolute values, as their own sum may be 0.
- Weights of the classes, where they are asked for, are of the labeled loss, which is what the virtual step is to lower,
  and of the labeled batch's part in L_meta; of a mixed example the mean by its label.
- The virtual step is plain gradient descent, whatever the optimizer.
"""

from typing import NamedTuple

import tensorflow as tf

from mpl_tf.devices import distribute
from mpl_tf.step import feedback, losses, mixup
from mpl_tf.step.fit import StepResult
from mpl_tf.step.gradients import logit_gradient
from mpl_tf.step.single_network import SingleNetwork
from mpl_tf.step.targets import pseudo_targets


class Mixed(NamedTuple):
    """The batches that MixUp gives (line 4).

    Attributes:
        x_l, y_l: X-tilde and its labels, float [b_l, ...] and distributions float32 [b_l, C].
        x_u, y_hat: U-tilde and its pseudo labels, float [b, ...] and float32 [b, C]; its end is X-tilde where the
            labeled batch is part of it.
    """

    x_l: tf.Tensor
    y_l: tf.Tensor
    x_u: tf.Tensor
    y_hat: tf.Tensor


class MetaSemi(SingleNetwork):
    """theta' = theta - eta grad of sum_j w_j CE(y_hat_j, S(x_u_j; theta)) / sum_j w_j.

    Args:
        network: keras.Model of logits.
        pseudo_labels: "soft", "argmax" or "sampled"; see step.targets.
        reweighting: "sign": w_j is 1 where the two gradients' product is positive, else 0; "constant": 1; "signed": 1
            or -1, the sign of the product.
        mixup: which batches are mixed: "both", "labeled", "unlabeled" or "none".
        mixup_alpha: both parameters of MixUp's Beta distribution, > 0.
        with_labels: whether the labeled batch is part of U-tilde.
        **kwargs: ema_decay, seed and class_weights, as in Method. The average labels and is deployed; without one the
            network does both.
    """

    batch_keys = ("x_l", "y_l", "x_u_weak")
    log_names = (
        "loss",
        "student_loss",
        "student_agreement",
        "selected",
        "similarity",
        "gradient_norm",
        "learning_rate",
    )

    def __init__(
        self,
        network,
        pseudo_labels="soft",
        reweighting="sign",
        mixup="both",
        mixup_alpha=1.0,
        with_labels=True,
        **kwargs,
    ):
        super().__init__(network, **kwargs)
        self.pseudo_labels, self.reweighting, self.with_labels = pseudo_labels, reweighting, with_labels
        self.mixup, self.mixup_alpha = mixup, mixup_alpha

    def step(self, batch):
        """One step of Algorithm 1; see Method.step."""
        student = self.student
        theta, t = student.weights(), tf.convert_to_tensor(student.optimizer.iterations)

        # The average labels x_u; both batches are mixed (line 4).
        y_hat = pseudo_targets(tf.nn.softmax(self(batch["x_u_weak"])), self.pseudo_labels, self.seed, t)
        mixed = self._mixed(batch, y_hat, t)

        # An example counts whose gradient agrees with that of the labeled batch (lines 6 to 11).
        w, similarity = self._weights(mixed, theta)
        if self.with_labels and self.class_weights is not None:  # The end of U-tilde is the labeled batch.
            ones = tf.ones_like(w[: -tf.shape(mixed.y_l)[0]])
            w *= tf.concat([ones, self._counts(mixed.y_l)], axis=0)  # [b]
        total = distribute.mean(tf.reduce_sum(tf.abs(w)))  # Of one replica's share; the step averages over replicas.

        def meta_loss(z):
            return tf.math.divide_no_nan(tf.reduce_sum(w * losses.soft_cross_entropy(mixed.y_hat, z)), total)

        # theta' = theta - eta grad L_meta (lines 12 and 13), and the average follows.
        with tf.GradientTape() as tape:
            tape.watch(theta)
            (z_u,), state = student.forward(theta, [mixed.x_u])
        g = student.backward(tape, [z_u], theta, logit_gradient([z_u], meta_loss))
        update = student.update(theta, g, state)
        assignments = update.assignments + self.average(update.weights, state, t)

        # The labeled loss is logged alone where the labeled batch takes no part.
        labeled = tf.shape(mixed.x_l)[0]
        z_l = z_u[-labeled:] if self.with_labels else student.forward(theta, [mixed.x_l])[0][0]  # [b_l, C]
        logs = {
            "loss": self._labeled_loss(mixed, z_l),
            "student_loss": meta_loss(z_u),
            "student_agreement": losses.accuracy(tf.argmax(mixed.y_hat, -1, tf.int32), z_u),
            "selected": tf.reduce_mean(tf.cast(w > 0, tf.float32)),
            "similarity": tf.reduce_mean(similarity),
            "gradient_norm": update.gradient_norm,
            "learning_rate": student.optimizer.learning_rate,
        }
        return StepResult(assignments, logs, [update.gradient_norm])

    def _mixed(self, batch, y_hat, t):
        """The batches, mixed where asked for, a Mixed; y_hat are the pseudo labels of x_u, float32 [b_u, C]."""
        x_l, y_l = batch["x_l"], tf.one_hot(batch["y_l"], y_hat.shape[-1])
        x_u = batch["x_u_weak"]
        seeds = tf.random.split(tf.stack([tf.convert_to_tensor(self.seed), tf.cast(t, tf.int32)]), 2)
        if self.mixup in ("both", "labeled"):
            x_l, y_l = mixup.mix(x_l, y_l, self.mixup_alpha, seeds[0])
        if self.mixup in ("both", "unlabeled"):
            x_u, y_hat = mixup.mix(x_u, y_hat, self.mixup_alpha, seeds[1])
        # The labeled batch in U-tilde: its examples have to earn their weights as all others do.
        if self.with_labels:
            x_u, y_hat = tf.concat([x_u, x_l], axis=0), tf.concat([y_hat, y_l], axis=0)  # [b_u + b_l, ...]
        return Mixed(x_l, y_l, x_u, y_hat)

    def _weights(self, mixed, theta):
        """(w, the gradients' products) of the examples of U-tilde (lines 6 to 11), float32 [b] each."""
        if self.reweighting == "constant":
            return tf.ones_like(mixed.y_hat[:, 0]), tf.zeros_like(mixed.y_hat[:, 0])

        # The virtual step's gradient by w_j is minus its rate times this product: only its sign matters.
        similarity = feedback.similarities(
            self.student, lambda z: self._labeled_loss(mixed, z), mixed.x_l, mixed.x_u, mixed.y_hat, theta
        )
        w = tf.sign(similarity)
        return ((w + tf.abs(w)) / 2 if self.reweighting == "sign" else w), similarity  # NaN stays NaN: no step.

    def _labeled_loss(self, mixed, z):
        """Mean CE of logits [b_l, C] on X-tilde against its labels, by the classes' weights: a scalar."""
        each = losses.soft_cross_entropy(mixed.y_l, z)
        return tf.reduce_mean(each if self.class_weights is None else self._counts(mixed.y_l) * each)

    def _counts(self, y):
        """The classes' weights in the mean by distributions [b, C]: float32 [b]."""
        return tf.linalg.matvec(y, tf.convert_to_tensor(self.class_weights))
