"""The flags of what is done with a trained network."""

import dataclasses
from typing import ClassVar

from mpl_tf.settings.fields import flag
from mpl_tf.settings.forms import EXPORTS, FORMATS
from mpl_tf.settings.frozen_settings import FrozenSettings


@dataclasses.dataclass(frozen=True)
class UseSettings(FrozenSettings):
    """What a finished run is used for; Config adds to these fields."""

    # Modes that take the flags of the run in WORKDIR.
    FINISHED: ClassVar = ("evaluate", "predict", "export")

    export: str = flag(
        "formats in which the student is exported too, separated by commas: " + ", ".join(EXPORTS) + "; empty: none",
        form=FORMATS,
        topic="Use of the result",
        identity=False,
    )
    images: str = flag(
        "--mode=predict: images to label: a folder, at any depth, one image, a tar, zip or Parquet file of images, or "
        "a CSV file whose column path has them, absolute or relative to that file; --mode=export: those to check by, "
        "where the run's own are gone",
        identity=False,
    )
    top_k: int = flag(
        "--mode=predict: the most probable classes of each image that predictions.csv has", low=1, identity=False
    )
    all_probabilities: bool = flag(
        "--mode=predict: predictions.csv has the probability of each class too", identity=False
    )

    def exports(self):
        """The formats of --export, each once: tuple of str."""
        return tuple(dict.fromkeys(filter(None, self.export.split(","))))
