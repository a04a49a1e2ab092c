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


STUDIES = {
    "recipes_pretrained": _rows([*FROZEN, *CHOSEN]),
    "recipes_scratch": _rows(["--scale=laptop", "--model=fast_resnet", "--uda_ramp_steps=0.1"]),
}
REFERENCES = {
    study: {name: f"{name.partition(',')[0]}, supervised" for name in rows} for study, rows in STUDIES.items()
}
