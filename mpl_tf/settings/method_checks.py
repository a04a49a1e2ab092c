"""Checks of what single methods, and meshes, need of their flags; as those of checks.py, which lists them."""

from pathlib import Path

from mpl_tf.settings.catalogue import METHODS
from mpl_tf.settings.forms import MESH


def feedback(config):
    """The form of the feedback, in methods that have one, goes with the pseudo labels and the baseline."""
    if "feedback" not in METHODS[config.method].options:
        return
    if config.pseudo_labels == "soft" and config.feedback in ("taylor", "dot_product"):
        yield (
            f"--feedback: {config.feedback} with --pseudo_labels=soft has a gradient of exactly zero at the teacher; "
            "give --feedback=exact or --pseudo_labels=sampled"
        )
    if config.feedback in ("exact", "off") and config.baseline != "none":
        yield (
            f"--baseline: expected none with --feedback={config.feedback}, which has no scalar h to "
            f"subtract it from, got {config.baseline}"
        )


def models(config):
    """Models that are given are there."""
    student = "the student.keras of a finished run"
    for name in ("init_from", "init_teacher_from", "teacher"):
        given = getattr(config, name)
        if given and not Path(given).is_file():
            yield f"--{name}: expected {'' if name == 'teacher' else 'a Keras model, such as '}{student}, got {given}"


def starts(config):
    """The method has a network that takes the weights to start from."""
    row = METHODS[config.method]
    for name in ("init_from", "init_teacher_from"):
        given = getattr(config, name)
        if given and config.pretrained != "none":
            yield f"--{name}: goes without --pretrained, got --pretrained={config.pretrained}; leave one of them out"
    if config.init_teacher_from and not (len(row.networks) > 1 or row.fixed_teacher):
        takers = ", ".join(row.name for row in METHODS.values() if len(row.networks) > 1 or row.fixed_teacher)
        yield f"--init_teacher_from: goes with {takers}, got --method={config.method}"
    if config.init_teacher_from and config.teacher:
        yield f"--init_teacher_from: no teacher is trained where --teacher={config.teacher} is given; leave one out"


def mesh(config):
    """What goes with --strategy=dtensor, and with it alone."""
    if config.strategy != "dtensor":
        for flag in (name for name in ("mesh", "remat") if getattr(config, name)):
            yield f"--{flag}: goes with --strategy=dtensor, got --strategy={config.strategy}"
        return
    if not config.mesh:
        yield f"--mesh: expected {MESH.words} with --strategy=dtensor, got nothing"
    if not METHODS[config.method].mesh:
        able = ", ".join(row.name for row in METHODS.values() if row.mesh)
        yield f"--method: expected one of {able} with --strategy=dtensor, got {config.method}"
    for name, expected in (("accumulate", 1), ("batch_norm_groups", 1), ("jit_compile", False)):
        given = getattr(config, name)
        if given != expected:
            yield f"--{name}: expected {expected} with --strategy=dtensor, got {given}"
    if config.remat and config.feedback == "exact" and "feedback" in METHODS[config.method].options:
        yield (
            "--remat: a second derivative does not go through what is computed again, expected false with "
            "--feedback=exact, got true; leave it out or give --feedback=taylor"
        )


def methods(config):
    """What single methods need of their flags."""
    row = METHODS[config.method]
    for name in ("teacher", "store"):
        if getattr(config, name) and not row.fixed_teacher:
            *takers, last = (row.name for row in METHODS.values() if row.fixed_teacher)
            yield f"--{name}: goes with {', '.join(takers)} and {last}, got --method={config.method}"
    if config.store and config.generations > 1:
        yield (
            "--store: one file cannot hold the labels of several teachers, got --generations="
            f"{config.generations}; leave --store out"
        )
    if row.generations and config.generations < 1:
        yield (
            f"--generations: {row.name} needs at least 1 generation of students, got {config.generations}; "
            "give 1 or more, or --method=supervised for the teacher alone"
        )
    if config.method == "label_smoothing" and not config.label_smoothing:
        yield (
            "--label_smoothing: label_smoothing needs more than 0, got 0; give --label_smoothing=0.15, "
            "or --method=supervised"
        )
    if config.method == "mean_teacher" and not config.ema_decay:
        yield (
            "--ema_decay: mean_teacher's teacher is the average of the weights, expected more than 0, got 0; "
            "give --ema_decay=0.99"
        )
    if config.method == "meta_semi" and config.reweighting == "constant" and not config.with_labels:
        yield (
            "--with_labels: meta_semi with --reweighting=constant sees labels in its loss alone, expected true, "
            "got false; give --with_labels, or --reweighting=sign"
        )
