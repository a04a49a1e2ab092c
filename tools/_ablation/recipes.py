"""What own photographs start with (flags/folder*.flags): recipes side by side, by labels, pretrained or not.

CIFAR-10 stands for them. Scored on images held out of the training set, on seeds that no table reports.
"""

from .photographs import CHOSEN, FROZEN

LABELS = (40, 250, 4000)
CHOOSING = ["--scored_on=validation", "--finetune_steps=0"]
# Name to the flags of the semi-supervised part: the released one, and those that 40 and 250 labels liked best
# (photographs.py), one of them between.
PARTS = {
    "supervised": ["--method=supervised"],
    "uda, weight 8, threshold 0.6": ["--method=uda", "--uda_weight=8", "--uda_threshold=0.6"],
    "uda, weight 1": ["--method=uda", "--uda_weight=1", "--uda_threshold=0"],
    "uda, weight 1, balance 1": ["--method=uda", "--uda_weight=1", "--uda_threshold=0", "--balance_weight=1"],
    "uda, weight 0.3, balance 3": ["--method=uda", "--uda_weight=0.3", "--uda_threshold=0", "--balance_weight=3"],
    "uda, weight 0.1, balance 3": ["--method=uda", "--uda_weight=0.1", "--uda_threshold=0", "--balance_weight=3"],
}


def _rows(flags):
    """dict of row name to flags: each part with each number of labels."""
    return {
        f"{labels} labels, {name}": [*flags, *CHOOSING, f"--num_labels={labels}", *part]
        for labels in LABELS
        for name, part in PARTS.items()
    }


# 400 steps from scratch, --scale=laptop as it was before it had a recipe for photographs.
FEW_STEPS = [
    *("--model=fast_resnet", "--train_steps=400", "--labeled_batch=16", "--mu=4", "--learning_rate_batch=0"),
    *("--randaugment_ops=1", "--randaugment_magnitude=5", "--cutout=0.25", "--label_smoothing=0", "--dropout=0"),
    *("--teacher_warmup_steps=0.1", "--student_wait_steps=0", "--student_warmup_steps=0.1", "--ema_decay=0.99"),
    *("--uda_threshold=0.9", "--uda_ramp_steps=0.1", "--steps_per_epoch=40", "--steps_per_execution=10"),
]
# The labels alone get as long as the recipe, as their steps are quicker, and a quarter of that.
LAPTOP = {
    "supervised": ["--method=supervised", "--train_steps=60000", "--steps_per_epoch=6000"],
    "supervised, 15,000 steps": ["--method=supervised", "--train_steps=15000", "--steps_per_epoch=1500"],
    "uda, 5,000 steps": ["--method=uda", "--train_steps=5000"],
    "uda, 7,500 steps": ["--method=uda", "--train_steps=7500"],
    "uda": ["--method=uda"],
    # The students of MPL see no labels before they are finetuned.
    "mpl, feedback off, 7,500 steps": ["--method=mpl", "--feedback=off", "--train_steps=7500", "--finetune_steps=20"],
    "mpl, exact, 7,500 steps": ["--method=mpl", "--feedback=exact", "--train_steps=7500", "--finetune_steps=20"],
}
BY_LABELS = {"recipes_pretrained": _rows([*FROZEN, *CHOSEN]), "recipes_scratch": _rows(FEW_STEPS)}
STUDIES = BY_LABELS | {
    "recipes_laptop": {name: ["--scale=laptop", "--finetune_steps=0", *own] for name, own in LAPTOP.items()}
}
REFERENCES = {
    study: {name: f"{name.partition(',')[0]}, supervised" for name in rows} for study, rows in BY_LABELS.items()
}
