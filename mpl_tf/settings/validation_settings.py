"""The flags of validation: which labeled examples no training sees, and what their scores decide."""

import dataclasses

from mpl_tf.settings.catalogue import DATASETS
from mpl_tf.settings.fields import flag
from mpl_tf.settings.run_settings import RunSettings

HOLDING_OUT = ", ".join(row.name for row in DATASETS.values() if row.validates)


@dataclasses.dataclass(frozen=True)
class ValidationSettings(RunSettings):
    """RunSettings and validation; Config adds to these fields."""

    validation_dir: str = flag(
        "own validation images: the class folders of --labeled_dir", identity=False, topic="Validation"
    )
    validation_fraction: float = flag(
        "share of the labeled examples of each class, drawn by --seed, that is kept from training for validation; "
        "0: none",
        low=0,
        high=0.9,
    )
    validate_on: str = flag(
        "held_out: the images that the data set holds out of its training set are the validation images; goes with "
        f"{HOLDING_OUT}; none: there are those of --validation_dir or --validation_fraction, or none",
        choices=("none", "held_out"),
    )
    scored_on: str = flag(
        "test: the test images, at the end; validation: the validation images in their place, for choosing settings: "
        f"where no other flag gives any, those held out by {HOLDING_OUT}",
        choices=("test", "validation"),
    )

    keep: str = flag(
        "the step whose weights student.keras has: last; or best, the epoch's end with the best validation accuracy, "
        "the first of equals, from which the finetuning starts",
        choices=("last", "best"),
    )
    patience: int = flag(
        "epochs of --steps_per_epoch without a better validation accuracy after which the training ends; 0: it goes to "
        "its last step",
        unit="epochs",
        low=0,
        limit=10**6,
    )

    def validated_by(self):
        """The flags that give the run validation images, as they are written: list of str, empty where it has none."""
        none = {"validation_dir": "", "validation_fraction": 0, "validate_on": "none"}
        given = [f"--{name}={getattr(self, name)}" for name in none if getattr(self, name) != none[name]]
        return given or ["--scored_on=validation"] * (self.scored_on == "validation")

    @property
    def holds_out(self):
        """Whether the validation images are those that the data set holds out of its training set."""
        return self.validate_on == "held_out" or self.validated_by() == ["--scored_on=validation"]
