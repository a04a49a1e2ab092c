"""RandAugment (Cubuk et al. 2020; Meta Pseudo Labels, Figure 5): supervised learning on strong views.

Glossary: as in supervised.py; x_l^s the strong view of the labeled batch.

Deviation: the strong view is the data set's, the one that uda and mpl use: after RandAugment come cutout, flip and
shift, and points get noise (pipeline.py).
"""

from mpl_tf.methods.supervised import Supervised


class RandAugment(Supervised):
    """theta' = theta - eta grad CE(y_l, f(x_l^s; theta)); arguments as in Supervised."""

    image_key = "x_l_strong"
    batch_keys = (image_key, "y_l")
