"""Noisy Student (Xie et al. 2020, Algorithm 1): Pseudo Labels with a noised student, which becomes the next teacher.

Steps 1 and 2, the teacher and its labels on clean images, and step 4, the next generation, are teachers.py's; step 3 is
here: the student learns the labeled and the pseudo-labeled images together under noise. The noise is the student's
alone: strong views, dropout and stochastic depth.

Deviation: the paper's last generations have larger students; here --model is the student of each.
"""

from mpl_tf.methods.pseudo_labels import PseudoLabels


class NoisyStudent(PseudoLabels):
    """theta_S' = theta_S - eta grad of the mean of CE(y_l, S(x_l^s)) and CE(y_u, S(x_u^s)) over both batches.

    Args:
        network: the student, keras.Model of logits.
        **kwargs: as in PseudoLabels, without with_labels.
    """

    labeled_view, unlabeled_view = "x_l_strong", "x_u_strong"

    def __init__(self, network, **kwargs):
        super().__init__(network, with_labels=True, **kwargs)
