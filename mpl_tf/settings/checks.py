"""Checks of a configuration's values, alone and in combination; each raises UsageError in one line."""

from pathlib import Path

from mpl_tf.base.errors import UsageError
from mpl_tf.settings.catalogue import DATASETS, METHODS
from mpl_tf.settings.forms import MESH


def steps(config):
    """The compiled loop divides epochs and phases; the parts of accumulation divide the batches."""
    names = ("steps_per_epoch", "train_steps", "teacher_steps")
    lengths = {name: getattr(config, name) for name in names if getattr(config, name)}
    if any(length % config.steps_per_execution for length in lengths.values()):
        asked = ", ".join(f"--{name} ({length})" for name, length in lengths.items())
        raise UsageError(
            f"--steps_per_execution: expected a divisor of {asked}, got {config.steps_per_execution}; 1 always works"
        )
    for name, batch in config.labeled_batches().items():
        if batch % config.accumulate:
            raise UsageError(f"--accumulate: expected a divisor of --{name} ({batch}), got {config.accumulate}")


def workdir(config):
    """The workdir is on a disk: most of what is written there cannot be written to a bucket."""
    if "://" in config.workdir:
        raise UsageError(
            f"--workdir: expected a folder on a disk, got {config.workdir}; tpu/launch.sh --bucket keeps a copy in a "
            "bucket and goes on from it"
        )


def feedback(config):
    """The form of the feedback goes with the pseudo labels and the baseline."""
    if config.pseudo_labels == "soft" and config.feedback in ("taylor", "dot_product"):
        raise UsageError(
            f"--feedback: {config.feedback} with --pseudo_labels=soft has a gradient of exactly zero at the teacher; "
            "give --feedback=exact or --pseudo_labels=sampled"
        )
    if config.feedback in ("exact", "off") and config.baseline != "none":
        raise UsageError(
            f"--baseline: expected none with --feedback={config.feedback}, which has no scalar h to "
            f"subtract it from, got {config.baseline}"
        )


def mesh(config):
    """What goes with --strategy=dtensor, and with it alone."""
    if config.strategy != "dtensor":
        if config.mesh or config.remat:
            flag = "mesh" if config.mesh else "remat"
            raise UsageError(f"--{flag}: goes with --strategy=dtensor, got --strategy={config.strategy}")
        return
    MESH.read("mesh", config.mesh)
    if not METHODS[config.method].mesh:
        able = ", ".join(row.name for row in METHODS.values() if row.mesh)
        raise UsageError(f"--method: expected one of {able} with --strategy=dtensor, got {config.method}")
    for name, expected in (("accumulate", 1), ("batch_norm_groups", 1), ("jit_compile", False)):
        given = getattr(config, name)
        if given != expected:
            raise UsageError(f"--{name}: expected {expected} with --strategy=dtensor, got {given}")
    if config.remat and config.feedback == "exact" and config.method == "mpl":
        raise UsageError(
            "--remat: a second derivative does not go through what is computed again, expected false with "
            "--feedback=exact, got true; leave it out or give --feedback=taylor"
        )


def methods(config):
    """What single methods need of their flags."""
    row = METHODS[config.method]
    for name in ("teacher", "store"):
        if getattr(config, name) and not row.fixed_teacher:
            *takers, last = (row.name for row in METHODS.values() if row.fixed_teacher)
            raise UsageError(f"--{name}: goes with {', '.join(takers)} and {last}, got --method={config.method}")
    if config.teacher and not Path(config.teacher).is_file():
        raise UsageError(f"--teacher: expected the student.keras of a finished run, got {config.teacher}")
    if config.store and config.generations > 1:
        raise UsageError(
            "--store: one file cannot hold the labels of several teachers, got --generations="
            f"{config.generations}; leave --store out"
        )
    if row.generations and config.generations < 1:
        raise UsageError(
            f"--generations: {row.name} needs at least 1 generation of students, got {config.generations}; "
            "give 1 or more, or --method=supervised for the teacher alone"
        )
    if config.method == "label_smoothing" and not config.label_smoothing:
        raise UsageError(
            "--label_smoothing: label_smoothing needs more than 0, got 0; give --label_smoothing=0.15, "
            "or --method=supervised"
        )
    if config.method == "mean_teacher" and not config.ema_decay:
        raise UsageError(
            "--ema_decay: mean_teacher's teacher is the average of the weights, expected more than 0, got 0; "
            "give --ema_decay=0.99"
        )
    if config.method == "meta_semi" and config.reweighting == "constant" and not config.with_labels:
        raise UsageError(
            "--with_labels: meta_semi with --reweighting=constant sees labels in its loss alone, expected true, "
            "got false; give --with_labels, or --reweighting=sign"
        )


def folders(config):
    """The folders that the data set takes exist, and no others are given."""
    row = DATASETS[config.dataset]
    labeled_alone = not METHODS[config.method].unlabeled or config.unlabeled_source == "labeled"
    optional = (*row.optional, "unlabeled_dir") if labeled_alone else row.optional
    for name in ("labeled_dir", "unlabeled_dir", "test_dir"):
        given = getattr(config, name)
        if given and name not in row.folders:
            takers = " or ".join(row.name for row in DATASETS.values() if name in row.folders)
            raise UsageError(f"--{name}: goes with --dataset={takers}, got --dataset={config.dataset}")
        if name in row.folders and (given or name not in optional):
            folder(name, given)
    if config.skip_bad_images and row.streamed:
        raise UsageError(
            f"--skip_bad_images: {config.dataset} reads its images while it trains and cannot leave any out; mend "
            "those that are named"
        )


def folder(name, given):
    """A flag names an existing folder of images."""
    if not given or not Path(given).is_dir():
        raise UsageError(f"--{name}: expected an existing folder of images, got {given or 'nothing'}")
