"""What one run of the filter does, with what, and where: the value that its steps share."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mpl_tf.filtering import settings


@dataclasses.dataclass(frozen=True, eq=False)
class Job:
    """A run in its folder.

    Attributes:
        scoring: settings.Scoring; None where an earlier run's scores are taken.
        selection: settings.Selection.
        record: dict of the scores' settings, as recording.of_model makes it.
        limits: int64 [C], images to keep of each class.
        output: Path of the results.
        scores: Path of the scores: OUTPUT/scores, or an earlier run's.
        beam_arguments: tuple of str, Beam's own flags.
        echo: what tells the user where things stand, a function of a str.
    """

    scoring: settings.Scoring | None
    selection: settings.Selection
    record: dict
    limits: np.ndarray
    output: Path
    scores: Path
    beam_arguments: tuple
    echo: Callable

    @property
    def work(self):
        """Path of what only the run itself needs; removed at its end."""
        return self.output / "work"

    @property
    def class_names(self):
        """The model's, or the classes' numbers."""
        return self.record["class_names"] or [str(number) for number in range(self.record["classes"])]

    @property
    def identity(self):
        """What OUTPUT/settings.json holds: what the results depend on, as JSON gives it back."""
        selection = json.loads(json.dumps(dataclasses.asdict(self.selection)))
        return self.record | {"selection": selection, "limits": self.limits.tolist()}
