"""Label smoothing (Szegedy et al. 2016, section 7; Meta Pseudo Labels, Table 9): supervised learning, softened labels.

Glossary: as in supervised.py; epsilon the smoothing; C the number of classes.
"""

from mpl_tf.methods.supervised import Supervised


class LabelSmoothing(Supervised):
    """theta' = theta - eta grad CE((1 - epsilon) one_hot(y_l) + epsilon / C, f(x_l; theta)).

    Args:
        network: keras.Model of logits.
        label_smoothing: epsilon in [0, 1]; the released value by default.
        **kwargs: as in Supervised.
    """

    def __init__(self, network, label_smoothing=0.15, **kwargs):
        super().__init__(network, **kwargs)
        self.label_smoothing = label_smoothing
