"""The flags of labeled sets whose classes differ in size."""

import dataclasses

from mpl_tf.settings.catalogue import DATASETS, METHODS, takers
from mpl_tf.settings.fields import flag
from mpl_tf.settings.view_settings import LARGEST, ViewSettings

BALANCING = takers("balance_weight")
THINNED = ", ".join(row.name for row in DATASETS.values() if row.thins)
ALIKE = ", ".join(row.name for row in METHODS.values() if "balance_classes" in row.options)


@dataclasses.dataclass(frozen=True)
class ImbalanceSettings(ViewSettings):
    """What a run makes of classes with many and with few labeled examples; Config adds to these fields."""

    imbalance: float = flag(
        "ratio of the largest class to the smallest, made by leaving training images out: class c of C keeps a share "
        "of imbalance^(-c / (C - 1)) of its labeled and of its unlabeled images; 1: all are kept. Validation and test "
        f"images stay as they are. Goes with --dataset={THINNED}",
        low=1,
        limit=LARGEST,
        source="Cui et al. 2019, as in CIFAR-10-LT",
        topic="Classes of different size",
    )
    class_weights: str = flag(
        "of the labeled loss, also where feedback or a meta gradient is of it; balanced: n / (C n_c) for the n_c of n "
        "labeled examples of a class, 1 in the mean; none: 1",
        choices=("none", "balanced"),
        source="scikit-learn",
    )
    balanced_batches: bool = flag(
        "labeled batches draw all classes alike, the examples of each in turn; otherwise all examples alike"
    )
    class_prior: str = flag(
        "shares of the classes that pseudo labels are balanced to: labeled: those of the labeled examples; uniform. "
        f"Goes for --balance_weight ({BALANCING}) and --balance_classes ({ALIKE})",
        choices=("labeled", "uniform"),
    )
