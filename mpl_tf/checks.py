"""Checks of a configuration's values, alone and in combination; each raises UsageError in one line."""

import math
from pathlib import Path

from mpl_tf.errors import UsageError

LABELED_ONLY = ("supervised", "label_smoothing", "randaugment")  # Methods that see no unlabeled examples.

FIXED_TEACHER = ("pseudo_labels", "noisy_student", "reduced_mpl")  # Methods that learn from a teacher trained before.


def value(field, given):
    """A value of a Config field lies among its choices or in its range."""
    choices, low, high = (field.metadata[key] for key in ("choices", "low", "high"))
    if choices and given not in choices:
        raise UsageError(f"--{field.name}: expected one of {', '.join(choices)}, got {given!r}")
    below, above = low is not None and given < low, high is not None and given > high
    if below or above or (isinstance(given, float) and not math.isfinite(given)):
        bounds = f"at least {low}" if high is None else f"{low} to {high}"
        raise UsageError(f"--{field.name}: expected {bounds}, got {given}")


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


def methods(config):
    """What single methods need of their flags."""
    for name in ("teacher", "store"):
        if getattr(config, name) and config.method not in FIXED_TEACHER:
            raise UsageError(
                f"--{name}: goes with {', '.join(FIXED_TEACHER[:-1])} and {FIXED_TEACHER[-1]}, "
                f"got --method={config.method}"
            )
    if config.teacher and not Path(config.teacher).is_file():
        raise UsageError(f"--teacher: expected the student.keras of a finished run, got {config.teacher}")
    if config.store and config.generations > 1:
        raise UsageError(
            "--store: one file cannot hold the labels of several teachers, got --generations="
            f"{config.generations}; leave --store out"
        )
    if config.method == "noisy_student" and config.generations < 1:
        raise UsageError(
            f"--generations: noisy_student needs at least 1 generation of students, got {config.generations}; "
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
    """The folders of --dataset=folder exist, and no other data set is given any."""
    labeled_alone = config.method in LABELED_ONLY or config.unlabeled_source == "labeled"
    optional = ("unlabeled_dir",) if labeled_alone else ()
    for name in ("labeled_dir", "unlabeled_dir", "test_dir"):
        given = getattr(config, name)
        if config.dataset != "folder" and given:
            raise UsageError(f"--{name}: goes with --dataset=folder, got --dataset={config.dataset}")
        if config.dataset == "folder" and (given or name not in optional):
            folder(name, given)


def folder(name, given):
    """A flag names an existing folder of images."""
    if not given or not Path(given).is_dir():
        raise UsageError(f"--{name}: expected an existing folder of images, got {given or 'nothing'}")
