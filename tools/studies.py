"""The studies: rows of runs to set side by side, each a name and the flags that make it."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Network:
    """A row that needs no runs: another network of the runs of the row `of`, by its role in results.json."""

    of: str
    role: str


MPL = ["--method=mpl"]
# For hundreds of runs on a few labels: half the width, 500 steps of 10 + 7 x 10 images. UDA's weight and threshold, one
# RandAugment operation and no dropout are what a trial over three seeds found to raise UDA above supervised learning.
SHORT = [
    "--model=narrow_cnn",
    "--train_steps=500",
    "--labeled_batch=10",
    "--mu=7",
    "--teacher_passes=split",
    "--uda_threshold=0.9",
    "--randaugment_ops=1",
    "--dropout=0",
    "--finetune_steps=0",
    "--steps_per_epoch=50",
    "--steps_per_execution=50",
]
# The paper's form is the batch mean without a baseline. The sum, whose noise is larger, gets the released baseline.
FORMS = {
    "off, sampled": ["--feedback=off", "--pseudo_labels=sampled"],
    "off, soft": ["--feedback=off", "--pseudo_labels=soft"],
    "taylor, mean": ["--feedback=taylor", "--feedback_scale=mean", "--pseudo_labels=sampled"],
    "taylor, sum": [
        "--feedback=taylor",
        "--feedback_scale=sum",
        "--pseudo_labels=sampled",
        "--baseline=moving_average",
    ],
    "dot_product, mean": ["--feedback=dot_product", "--feedback_scale=mean", "--pseudo_labels=sampled"],
} | {
    f"exact, weight {weight}": [
        "--feedback=exact",
        "--feedback_scale=sum",
        "--pseudo_labels=soft",
        f"--feedback_weight={weight}",
    ]
    for weight in (1, 3, 10, 30)
}
UDA = {"": ["--uda_weight=1"], ", no UDA": ["--uda_weight=0"]}

# A study is a dict of row name to the flags that make it.
STUDIES = {
    "feedback": {
        f"{name}{end}": [*MPL, *SHORT, *form, *uda] for end, uda in UDA.items() for name, form in FORMS.items()
    },
    "speed": {
        "mpl": MPL,
        "split passes": [*MPL, "--teacher_passes=split"],
        "mixed_bfloat16": [*MPL, "--precision=mixed_bfloat16"],
    },
    "methods": {
        "supervised": ["--method=supervised"],
        "uda": ["--method=uda"],
        "mpl, feedback off": [*MPL, "--feedback=off"],
        "mpl": MPL,
    },
}
# What a row is compared with; the study's first row where none is given. Feedback is compared with no feedback to a
# teacher that labels in the same way.
REFERENCES = {
    "feedback": {
        f"{name}{end}": f"off, {'soft' if '--pseudo_labels=soft' in form else 'sampled'}{end}"
        for end in UDA
        for name, form in FORMS.items()
    },
}


def common(study):
    """Flags that all rows of a study have, in their order."""
    first, *others = (set_ for set_ in STUDIES[study].values() if not isinstance(set_, Network))
    return [flag for flag in first if all(flag in other for other in others)]


def reference(study, row):
    """Name of the row that `row` is compared with; its own where it is such a one."""
    return REFERENCES.get(study, {}).get(row, next(iter(STUDIES[study])))
