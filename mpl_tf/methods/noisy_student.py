"""Noisy Student (Xie et al. 2020, Algorithm 1): Pseudo Labels with a noised student, which becomes the next teacher.

Steps 1 and 2, the teacher and its labels on clean images, and step 4, the next generation, are fixed_teacher.py's; step
3 is here: the student learns the labeled and the pseudo-labeled images together under noise. The noise is the student's
alone: strong views, dropout and stochastic depth.

Glossary: as in pseudo_labels.py; w [b] how much each unlabeled example counts; n [C] the classes' shares of the
teacher's largest classes among all examples, those that do not count left out; pi [C] shares that are asked for.

The labels are soft and not smoothed. Section 3.1's filter and balance of the unlabeled images are weights: an example
counts where the teacher's confidence is above 0.3, and as often as makes its class as large as the others, 1 / (C n_c)
times, n being a moving mean over the steps: in the mean the weights are 1. With --class_prior=labeled classes are made
as large as they are among the labeled examples instead of alike, pi_c / n_c times.

Deviations: the paper chooses the images of its 130,000 a class once, for the whole set: of large classes the most
confident ones, those of small classes repeated. In a stream of batches each example stands for itself: those of large
classes all count, for less, and one of a small class counts more instead of coming more often, at most MOST times. The
program that chooses once is tools.filter_unlabeled. The paper's last generations have larger students; here --model is
the student of each.
"""

import tensorflow as tf

from mpl_tf.devices import distribute
from mpl_tf.methods.pseudo_labels import PseudoLabels
from mpl_tf.step.class_mean import ClassMean, shares_variable

MOST = 10.0  # Of a weight: a single example of a rare class would else make up a step.
MOMENTUM = 0.99  # Of n: some 100 batches, enough to know a class by.


class NoisyStudent(PseudoLabels):
    """theta_S' = theta_S - eta grad of the mean of CE(y_l, S(x_l^s)) and w CE(y_u, S(x_u^s)) over both batches.

    Args:
        network: the student, keras.Model of logits.
        pseudo_labels, label_smoothing: as in PseudoLabels.
        label_confidence: largest probability from which on a teacher's label counts, in [0, 1]; 0: all.
        balance_classes: whether w makes the classes alike, or as class_prior has them.
        class_prior: pi, C shares of sum 1; uniform if None.
        **kwargs: ema_decay, seed and class_weights, as in Method.
    """

    labeled_view, unlabeled_view = "x_l_strong", "x_u_strong"
    log_names = (*PseudoLabels.log_names, "selected")

    def __init__(
        self,
        network,
        pseudo_labels="soft",
        label_smoothing=0.0,
        label_confidence=0.3,
        balance_classes=True,
        class_prior=None,
        **kwargs,
    ):
        super().__init__(network, pseudo_labels, label_smoothing, with_labels=True, **kwargs)
        self.label_confidence, self.balance_classes = label_confidence, balance_classes
        self.shares = ClassMean(self, self.num_classes, MOMENTUM) if balance_classes else None
        self.prior = shares_variable(self, class_prior) if balance_classes and class_prior is not None else None

    def counted(self, q, t):
        """w, n's new value, and "selected": the share of x_u that is sure enough; see PseudoLabels.counted."""
        sure = tf.cast(tf.reduce_max(q, axis=-1) >= self.label_confidence, tf.float32)
        logs = {"selected": tf.reduce_mean(sure)}
        # A batch of the paper has none that do not count: those that do make up for them. None where none is sure.
        if self.shares is None:
            return tf.math.divide_no_nan(sure, distribute.batch_mean(sure)), [], logs
        # Of the steps' shares, not of the batch's own: batches that lack the rare classes would count for more.
        classes = sure[:, None] * tf.one_hot(tf.argmax(q, axis=-1), q.shape[-1])  # [b, C]; 0 where left out.
        n = self.shares.now(classes, t)
        wanted = 1.0 / q.shape[-1] if self.prior is None else tf.convert_to_tensor(self.prior)
        balanced = tf.minimum(wanted / n, MOST)  # [C]
        return tf.reduce_sum(classes * balanced, axis=-1), [(self.shares.variable, n)], logs
