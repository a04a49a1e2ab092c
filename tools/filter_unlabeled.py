"""Choose unlabeled images for training: the most probable of each class by a model, none that overlaps a test set.

    python -m tools.filter_unlabeled --images='photos/**/*.jpg' --model=RUN/student.keras --per_class=12800 \\
        --exclude=val/ --output=OUT
    python -m tools.filter_unlabeled --scores=OUT/scores --per_class=1000 --exclude=val/ --output=OUT2
    python -m mpl_tf.main --dataset=folder --unlabeled_dir=OUT --labeled_dir=L --test_dir=T

(Pham et al. 2021, section 3.3; Xie et al. 2020 for --min_probability and --upsample.) Images are scored once, into
OUT/scores; the same command goes on where it was cut off. OUT gets the kept images as TFRecord shards, kept.parquet,
rejected.parquet, problems.parquet, report.html and summary.json. Flags of Apache Beam may follow (--runner=...).
"""

import dataclasses
import importlib.util
import sys

from mpl_tf.base import quiet
from mpl_tf.base.errors import UsageError
from mpl_tf.filtering.settings import Scoring, Selection
from mpl_tf.settings.fields import flag

from . import _command

NEEDED = ("apache_beam", "pyarrow")


@dataclasses.dataclass(frozen=True)
class Places:
    """Where results are, this run's and another's."""

    output: str = flag("folder of the results", topic="Places")
    scores: str = flag("OUT/scores of an earlier run: select again, without a model; empty: score --images", "")


COMMAND = _command.Command(
    "filter_unlabeled",
    __doc__,
    (Places, Scoring, Selection),
    others=_command.Others.BEAM,
    urls=("output", "scores", "images", "model", "exclude", "per_class", "data_dir"),
    stopped="the same command goes on from the chunks that are done",
)


def main(argv=None):
    """Filter; returns the exit status."""
    return COMMAND.run(argv, _filter)


def _filter(places, scoring, selection, beam_arguments):
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(f"this tool needs {missing[0]}, which is not installed: pip install -e '.[filter]'")
    if places.scores:
        _refuse_scoring(scoring, places.scores)
        scoring = None
    quiet.import_tensorflow()
    from mpl_tf.filtering import run

    run.run(scoring, selection, places.output, places.scores or None, beam_arguments)


def _refuse_scoring(scoring, scores):
    """Refuse flags that decide the scores (Scoring), where these are there: they would change nothing.

    Those of the pace may stay, which change nothing anyway.
    """
    shared = {field.name for field in dataclasses.fields(Selection)} | {"batch", "chunk"}
    for field in dataclasses.fields(Scoring):
        if field.name not in shared and getattr(scoring, field.name) != field.default:
            raise UsageError(f"--{field.name}: the images in --scores={scores} are scored; leave it out")


if __name__ == "__main__":
    sys.exit(main())
