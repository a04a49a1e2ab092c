"""The TwoMoon experiment (paper section 3.1): who finds the right classifier from 6 labels, and what helps.

    python -m tools.two_moons --num_datasets=20 --seed=0 --output=docs/results/two_moons

Trains each method on data sets generated from the seeds SEED, SEED + 1 and so on, those of
`python -m mpl_tf.main --dataset=two_moons --seed=K`, with the settings of flags/two_moons.flags; flags of mpl_tf.main
may follow (--train_steps=50000). A method that is done with a data set in the same settings is not run on it again, so
a run that was cut off goes on. Writes into OUTPUT: success.md and success.json (who succeeded how often), runs.csv (a
row a method and data set), figure2.png and figure2.svg (decisions on one data set), and a file a run under runs/.
"""

import dataclasses
import os
import sys
import time
from pathlib import Path

from mpl_tf.base import quiet
from mpl_tf.base.errors import UsageError
from mpl_tf.settings import flags as program_flags
from mpl_tf.settings.config import Config
from mpl_tf.settings.fields import flag, like

from . import _command

# Flags that a run here has from the recipe alone: they choose what the study itself chooses, or parts it does not have.
FIXED = (
    *("dataset", "method", "scale", "mode", "workdir", "strategy"),
    *("precision", "accumulate", "ema_decay", "finetune_steps"),
)


@dataclasses.dataclass(frozen=True)
class Flags:
    """Flags of the study itself."""

    num_datasets: int = flag("data sets to generate", 20, low=1)
    seed: int = like(Config, "seed", 0, text="seed of the first data set; those of the others follow")
    output: str = flag("folder of the results", "docs/results/two_moons")


COMMAND = _command.Command(
    "two_moons",
    __doc__,
    (Flags,),
    others=_command.Others.TRAINER,
    stopped="the same command goes on from the runs that are done",
)


def main(argv=None):
    """Run the study; returns the exit status."""
    return COMMAND.run(argv, _study)


def _study(values, extra):
    """Run what has not been run and write the report; `extra` are flags of mpl_tf.main."""
    started = time.perf_counter()
    output, seeds = Path(values.output), range(values.seed, values.seed + values.num_datasets)
    config = read_config(extra, seeds)
    _make_folder(output)
    if "tensorflow" not in sys.modules:
        os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")  # The trainings side by side take the cores.
    quiet.import_tensorflow()
    from ._two_moons import report, study

    trainings = study.Study(config, seeds, output / "runs")
    trainings.run()
    command = " ".join(
        ["python -m tools.two_moons", f"--num_datasets={len(seeds)}", f"--seed={seeds[0]}", f"--output={output}"]
        + extra
    )
    made_now = sum(map(len, trainings.missing.values()))
    report.write(trainings.runs, config, command, output, (made_now, started))


def read_config(extra, seeds):
    """The recipe with the flags that follow the study's own.

    Args:
        extra: list of str.
        seeds: range of the data sets' seeds.
    Returns:
        The Config of mpl, its seed the last one.
    Raises:
        UsageError: a flag that mpl_tf.main refuses, or that this study does not have.
    """
    recipe, config = (
        program_flags.parse(["--dataset=two_moons", *more, f"--seed={seeds[-1]}"]) for more in ([], extra)
    )
    for name in FIXED:
        expected, got = getattr(recipe, name), getattr(config, name)
        if got != expected:
            raise UsageError(f"--{name}: this study has its own, {expected}, got {got}; leave it out")
    if config.labeled_batch != config.num_labels:
        raise UsageError(
            f"--labeled_batch: expected all labeled points in each batch, --num_labels={config.num_labels}, "
            f"got {config.labeled_batch}"
        )
    return config


def _make_folder(output):
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"--output: expected a folder, or a place for a new one, got {output} ({error.strerror}); give another"
        ) from error


if __name__ == "__main__":
    sys.exit(main())
