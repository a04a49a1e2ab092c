"""The flags that say how much of a pretrained network is trained; of training on a frozen one's features."""

import dataclasses

from mpl_tf.settings.fields import flag
from mpl_tf.settings.forms import VIEWS
from mpl_tf.settings.imbalance_settings import ImbalanceSettings
from mpl_tf.settings.view_settings import LARGEST


def own_start(values, given):
    """Values of flagfiles where the command line gives other weights to start from: these take their place.

    Args:
        values: dict of flag name to value, the flagfiles'.
        given: dict of flag name to value, the command line's.
    Returns:
        dict like `values`.
    """
    replaced = (given.get("weights") or given.get("init_from")) and "pretrained" not in given
    return values | {"pretrained": "none"} if replaced else values


@dataclasses.dataclass(frozen=True)
class FrozenSettings(ImbalanceSettings):
    """What a run has that trains a head on the features of --model; Config adds to these fields."""

    freeze: str = flag(
        "backbone: train a classifier of the features of --model, which keeps its --weights or --pretrained; "
        "batch_norm: train all but the batch norms of networks that start from weights, which keep their statistics; "
        "none: train the whole network",
        choices=("none", "batch_norm", "backbone"),
        topic="A pretrained network, frozen or in part",
    )
    backbone_rate: float = flag(
        "factor of the learning rates of all weights below a network's classifier; 1: all learn alike",
        low=0,
        limit=LARGEST,
    )
    head_units: int = flag("units of the classifier's hidden layer; 0: it is linear", low=0, limit=2**16)
    backbone_size: int = flag(
        "side to which images are resized for the frozen network, after their views were made; 0: their own",
        unit="pixels",
        low=0,
        limit=2**14,
    )
    feature_views: str = flag(
        "W,S: weak and strong views of an image whose features are computed once; a step picks among them; 0,0: views "
        "are made anew, and pass the network, in each step",
        form=VIEWS,
    )
    feature_seed: int = flag(
        "seed of the stored views; --seed is that of the picks, so that runs of all seeds share one store",
        low=0,
        high=2**31 - 1,
    )
    feature_store: str = flag(
        "folder of the features, shared by all runs that are given it; empty: WORKDIR/features", identity=False
    )

    @property
    def frozen_backbone(self):
        """Whether --freeze=backbone, so that networks are heads of features."""
        return self.freeze == "backbone"

    def view_counts(self):
        """(W, S) of --feature_views, int."""
        return tuple(int(count) for count in VIEWS.read("feature_views", self.feature_views))
