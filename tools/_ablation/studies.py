"""The studies: rows of runs to set side by side, each a name and the flags that make it."""

import itertools

from mpl_tf.base import storage
from mpl_tf.base.errors import UsageError, did_you_mean
from mpl_tf.settings.catalogue import METHODS

from . import long_tail, photographs, recipes, study_file
from .control_names import CONTROLS
from .rows import CONTROL, EXACT, FORMS, MPL, Network

# For hundreds of runs on a few labels: half the width, 500 steps of 10 + 7 x 10 images, the schedule and views of
# flags/digits_50.flags on any data set. UDA's weight and threshold, one RandAugment operation and dropout are the best
# of the study `uda_settings`: UDA without feedback, ten labels, on images held out of the training set and on seeds
# that no table reports (docs/results/uda_settings: 71.6 %). Nothing was chosen for a form of feedback.
SHORT = [
    "--model=narrow_cnn",
    "--train_steps=500",
    "--labeled_batch=10",
    "--mu=7",
    "--teacher_passes=split",
    "--uda_threshold=0.6",
    "--randaugment_ops=1",
    "--dropout=0.2",
    "--finetune_steps=0",
    "--learning_rate_batch=0",
    "--teacher_warmup_steps=50",
    "--student_wait_steps=0",
    "--student_warmup_steps=50",
    "--uda_ramp_steps=100",
    "--ema_decay=0.99",
    "--label_smoothing=0",
    "--randaugment_magnitude=5",
    "--cutout=0.25",
    "--steps_per_epoch=50",
    "--steps_per_execution=50",
]
# What SHORT's settings of UDA are chosen from: a grid for UDA alone. --scored_on=validation scores images held out of
# the training set; --seeds=100-104 are reported nowhere.
UDA_SETTINGS = {
    f"weight {weight}, threshold {threshold}, {operations} operations, dropout {dropout}": [
        f"--uda_weight={weight}",
        f"--uda_threshold={threshold}",
        f"--randaugment_ops={operations}",
        f"--dropout={dropout}",
    ]
    for weight in (1, 4, 8)
    for threshold in (0.6, 0.9)
    for operations in (1, 2)
    for dropout in (0, 0.2)
}
BALANCE = (0.1, 0.3, 1, 3)  # Weights of class balance, which needs neither a student nor feedback.
# Does feedback add to class balance, and what of it is left with each control? Nothing here is chosen by a test score.
AGAINST_BALANCE = (
    {name: FORMS[name] for name in ("off, soft", "off, sampled")}
    | {f"balance {weight}": [*FORMS["off, soft"], f"--balance_weight={weight}"] for weight in BALANCE}
    | {"taylor, mean": FORMS["taylor, mean"], "exact": EXACT}
    | {f"exact, balance {weight}": [*EXACT, f"--balance_weight={weight}"] for weight in BALANCE}
    | {name.replace("_", " "): [*EXACT, f"{CONTROL}{name}"] for name in CONTROLS}
)
FEEDBACK_DIGITS = {
    f"feedback_digits_{labels}{suffix}": [f"--num_labels={labels}", f"--uda_weight={weight}"]
    for labels in (10, 50)
    for suffix, weight in (("", 1), ("_without_uda", 0))
}
FEEDBACK = {"feedback": 1, "feedback_without_uda": 0}  # Study to the weight of UDA in the teacher's objective.

# Of the paper's Table 9: all rows see flipped and shifted images alone, as supervised learning does; none is finetuned.
ALIKE = ["--randaugment_ops=0", "--cutout=0", "--finetune_steps=0"]
REGULARISER = ["--unlabeled_source=labeled", "--uda_weight=0"]

# A study is a dict of row name to the flags that make it.
STUDIES = (
    {
        study: {name: [*MPL, *SHORT, *form, f"--uda_weight={weight}"] for name, form in FORMS.items()}
        for study, weight in FEEDBACK.items()
    }
    | {
        study: {name: [*MPL, *SHORT, *form, *flags] for name, form in AGAINST_BALANCE.items()}
        for study, flags in FEEDBACK_DIGITS.items()
    }
    | {
        "uda_settings": {
            name: ["--method=uda", *SHORT, "--scored_on=validation", *flags] for name, flags in UDA_SETTINGS.items()
        },
        "speed": {
            "mpl": MPL,
            "split passes": [*MPL, "--teacher_passes=split"],
            "mixed_bfloat16": [*MPL, "--precision=mixed_bfloat16"],
            "mixed_float16": [*MPL, "--precision=mixed_float16"],
            "2 parts": [*MPL, "--accumulate=2"],
        },
        "methods": {name: [f"--method={name}"] for name in METHODS} | {"mpl, feedback off": [*MPL, "--feedback=off"]},
        "breakdown": {  # Paper, Figure 3; its teacher and student also make Figure 4.
            "supervised": ["--method=supervised"],
            "randaugment": ["--method=randaugment"],
            "uda": ["--method=uda"],
            "mpl before finetuning": Network("mpl, finetuned", "before_finetune"),
            "mpl, finetuned": MPL,
        },
        "regulariser": {  # Paper, Table 9: no data but the labeled; the teacher without UDA.
            "supervised": ["--method=supervised", *ALIKE],
            "label_smoothing": ["--method=label_smoothing", *ALIKE],
            "mpl, feedback off": [*MPL, *REGULARISER, "--feedback=off", *ALIKE],
            "mpl": [*MPL, *REGULARISER, *ALIKE],
        },
        "labels": {  # Paper, Figure 5.
            f"{method}, {count} labels": [f"--method={method}", *SHORT, "--uda_weight=1", f"--num_labels={count}"]
            for count in (10, 20, 50, 100, 200)
            for method in ("supervised", "randaugment", "mpl")
        },
    }
    | photographs.STUDIES
    | long_tail.STUDIES
    | recipes.STUDIES
)
# What a row is compared with; the study's first row where none is given. Feedback is compared with no feedback to a
# teacher that labels in the same way, and each component of the breakdown with the one before it.
REFERENCES = (
    {
        study: {name: f"off, {'soft' if '--pseudo_labels=soft' in form else 'sampled'}" for name, form in FORMS.items()}
        for study in FEEDBACK
    }
    | {
        study: dict.fromkeys(("off, sampled", "taylor, mean"), "off, sampled")
        | {f"exact, balance {weight}": f"balance {weight}" for weight in BALANCE}
        for study in FEEDBACK_DIGITS
    }
    | {
        "breakdown": dict(itertools.pairwise(reversed(STUDIES["breakdown"]))),
        "labels": {name: f"supervised, {name.rpartition(', ')[2]}" for name in STUDIES["labels"]},
    }
    | photographs.REFERENCES
    | long_tail.REFERENCES
    | recipes.REFERENCES
)
# Quantities of metrics.csv to draw over the steps: legend to row and column. The student of mpl never sees labels: what
# it is trained to predict are the pseudo labels.
CURVES = {
    "breakdown": {
        "supervised": ("supervised", "accuracy"),
        "mpl's teacher": ("mpl, finetuned", "accuracy"),
        "mpl's student, on its pseudo labels": ("mpl, finetuned", "student_agreement"),
    },
}


def rows(study):
    """dict of row name to the flags that make it, or to a Network.

    Args:
        study: name in STUDIES, or path of a study_file.
    Raises:
        UsageError: neither.
    """
    if study in STUDIES:
        return STUDIES[study]
    if not storage.is_file(study):
        choices = f"{', '.join(STUDIES)}, or a file like {study_file.EXAMPLE}"
        raise UsageError(f"--study: expected one of {choices}, got {study or 'nothing'}{did_you_mean(study, STUDIES)}")
    return study_file.read(study).rows


def common(study):
    """Flags that all rows of a study have, in their order; of one that is given twice the last counts."""
    first, *others = (_last(flags) for flags in rows(study).values() if not isinstance(flags, Network))
    return [flag for name, flag in first.items() if all(other.get(name) == flag for other in others)]


def _last(flags):
    """dict of a flag's name to the flag as it was given last."""
    return {flag.partition("=")[0]: flag for flag in flags}


def reference(study, row):
    """Name of the row that `row` is compared with; its own where it is such a one."""
    references = REFERENCES.get(study, {}) if study in STUDIES else study_file.read(study).references
    return references.get(row, next(iter(rows(study))))
