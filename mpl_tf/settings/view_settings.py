"""The part of a run's configuration that makes the views of its examples."""

import dataclasses

from mpl_tf.settings.fields import flag
from mpl_tf.settings.forms import OPERATIONS
from mpl_tf.settings.run_settings import RELEASED
from mpl_tf.settings.validation_settings import ValidationSettings

LARGEST = 1e3  # Of rates, weights and noise; float32 overflows in the squares of far larger ones.


@dataclasses.dataclass(frozen=True)
class ViewSettings(ValidationSettings):
    """ValidationSettings and the views; Config adds what a run learns by."""

    views: str = flag(
        "where views are made: host: by the input pipeline on the CPU, beside the steps; device: in the step, by what "
        "trains, with the same bits on a CPU; which is quicker on a GPU is not known",
        choices=("host", "device"),
        topic="Views",
        identity=False,
    )
    randaugment_ops: int = flag("RandAugment operations an image", low=0, limit=100, source=f"{RELEASED}: 2")
    randaugment_magnitude: float = flag(
        "RandAugment magnitude, 10 = full range", low=0, high=30, source=f"{RELEASED}: 16"
    )
    randaugment_translate: float = flag(
        "length of RandAugment's translations at magnitude 10 as a fraction of the side",
        low=0,
        high=1,
        source="released: CIFAR 0.125, ImageNet 100 of 224 pixels",
    )
    randaugment_cutout: float = flag(
        "half the side of RandAugment's cutouts at magnitude 10 as a fraction of the image's",
        low=0,
        high=1,
        source="released: CIFAR 0.125, ImageNet 40 of 224 pixels",
    )
    randaugment_without: str = flag(
        "operations that RandAugment leaves out, separated by commas; empty: none",
        form=OPERATIONS,
        source="the paper's appendix, from memory, for SVHN: Rotate,TranslateX",
    )
    cutout: float = flag(
        "side of the strong view's cutout as a fraction of the image's", low=0, high=1, source=f"{RELEASED}: 0.5"
    )
    shift: float = flag("largest random shift as a fraction of the side", low=0, high=0.5, source=f"{RELEASED}: 0.125")
    noise: float = flag(
        "strong view of points: standard deviation of the added noise", unit="that of the data", low=0, limit=LARGEST
    )
