"""The flags of labeled sets whose classes differ in size."""

import dataclasses

from mpl_tf.settings.catalogue import METHODS, takers
from mpl_tf.settings.fields import flag
from mpl_tf.settings.view_settings import ViewSettings

BALANCING = takers("balance_weight")
ALIKE = ", ".join(row.name for row in METHODS.values() if "balance_classes" in row.options)


@dataclasses.dataclass(frozen=True)
class ImbalanceSettings(ViewSettings):
    """What a run makes of classes with many and with few labeled examples; Config adds to these fields."""

    class_weights: str = flag(
        "of the labeled loss, also where feedback or a meta gradient is of it; balanced: n / (C n_c) for the n_c of n "
        "labeled examples of a class, 1 in the mean; none: 1",
        choices=("none", "balanced"),
        source="scikit-learn",
        topic="Classes of different size",
    )
    balanced_batches: bool = flag(
        "labeled batches draw all classes alike, the examples of each in turn; otherwise all examples alike"
    )
    class_prior: str = flag(
        "shares of the classes that pseudo labels are balanced to: labeled: those of the labeled examples; uniform. "
        f"Goes for --balance_weight ({BALANCING}) and --balance_classes ({ALIKE})",
        choices=("labeled", "uniform"),
    )
