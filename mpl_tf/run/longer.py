"""A run that is made longer, by the same command with more --train_steps: what is recorded of it and what follows.

Its stretches are pairs (first step, last step): (0, N0) of its first start, then one for each time it was made longer,
from the newest checkpoint that there was. identity.json and config.json hold them both, so that either may be damaged.

- Waits, warm-ups and ramps that are shares of the run stay shares of N0. A fixed teacher's training and the generations
  before the last keep their lengths: the main phase alone gets longer.
- A constant rate goes on. A cosine has come to its end, or is on its way to it: --extend starts another one.
- Finetuning starts from the weights at the end, so that it is done again.
"""

import shutil

from mpl_tf.base import files, storage
from mpl_tf.base.errors import UsageError
from mpl_tf.run.checkpoint_files import listed, newest

RECORDS = ("identity.json", "config.json")
AGAIN = ("checkpoints/finetune", "tensorboard/finetune")  # Folders of what is done again.


def recorded(folder):
    """The stretches of the run in a folder, tuple of (int, int); None where no record of them can be read."""
    found = []
    for name in RECORDS:
        try:
            found.append(files.read_json(storage.path(folder) / name))
        except (OSError, ValueError):
            continue
    # Records of earlier versions have none: their runs were never made longer.
    for record in found:
        if "stretches" in record:
            return tuple((first, last) for first, last in record["stretches"])
    return next((((0, record["flags"]["train_steps"]),) for record in found if "data" not in record), None)


def check(config, before):
    """Refuse what would go on with another schedule than the one that was begun, unless that is asked for.

    Args:
        config: Config of the run in its workdir, its train_steps at least as many as before.
        before: --train_steps of the run so far.
    Raises:
        UsageError: a cosine schedule that would have to begin again.
    """
    begun = newest(config.workdir) is not None
    if begun and config.train_steps > before and config.schedule == "cosine" and not config.extend:
        raise UsageError(
            f"--train_steps: the run in {config.workdir} was begun with {before}, where its cosine schedule ends, got "
            f"{config.train_steps}; add --extend to start another cosine at step {_trained(config)}, from the peak "
            "rate to 0 over the steps that are left, or give another --workdir"
        )


def stretches(config):
    """The stretches of a run that now is to have config.train_steps, tuple of (int, int).

    Args:
        config: Config of the run in its workdir, its train_steps at least as many as before.
    """
    # Where nothing has been trained the run begins now, with its new length.
    before = recorded(config.workdir)
    if before is None or newest(config.workdir) is None:
        return ((0, config.train_steps),)
    return before if config.train_steps <= before[-1][1] else (*before, (_trained(config), config.train_steps))


def _trained(config):
    """Steps of the main phase's newest checkpoint, 0 without one."""
    return next(iter(listed(storage.path(config.workdir) / "checkpoints" / "train")), 0)


def first(config, stretches):
    """The Config as the run began, by which its teachers are trained."""
    return config.replace(train_steps=stretches[0][1])


def told(config, stretches):
    """How the run was made longer, as results.json holds it: list of dicts, empty where it was not."""
    how = "cosine restarted" if config.schedule == "cosine" else config.schedule
    return [{"from_step": start, "to_step": end, "schedule": how} for start, end in stretches[1:]]


def clear(folder):
    """Remove the finetuning of a run's earlier end; its student and results stay until the new ones replace them."""
    for name in AGAIN:
        shutil.rmtree(storage.path(folder) / name, ignore_errors=True)
    (storage.path(folder) / "finetune.csv").unlink(missing_ok=True)
