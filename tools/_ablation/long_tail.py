"""The study of classes of different size: CIFAR-10 thinned to 20 : 1, as a frozen network shows it.

Labeled and unlabeled images alike: 100 labeled images of the largest class, 5 of the smallest, 341 in all, beside some
15,000 unlabeled ones. The test images stay balanced, so that top-1 is the mean of the classes' recalls. All settings
are those of photographs.py for 250 labels; none was chosen here.
"""

from .photographs import BALANCE, CHOSEN, EXACT_BESIDE, FINETUNED, FROZEN, KIN, UDA, finetuned
from .rows import EXACT_FORM, FORMS, MPL

ALIKE = 250  # Labels whose settings these rows take.
LABELS = 1000  # Before they are thinned.
TAIL = [*FROZEN, *CHOSEN, f"--num_labels={LABELS}", "--imbalance=20"]
BALANCED = f"--balance_weight={BALANCE[ALIKE]}"
# A remedy's name to its flags: the first two are of the labeled images, the others of what the network predicts.
REMEDIES = {
    "class weights": ["--class_weights=balanced"],
    "balanced batches": ["--balanced_batches"],
    "balance": [BALANCED],
    "balance to uniform": [BALANCED, "--class_prior=uniform"],
    "balanced batches, balance to uniform": ["--balanced_batches", BALANCED, "--class_prior=uniform"],
}


def _methods():
    """dict of a method's name to its flags without a remedy."""
    weight, threshold = UDA[ALIKE]
    uda, none = [*TAIL, f"--uda_weight={weight}", f"--uda_threshold={threshold}"], "--finetune_steps=0"
    mpl = [*MPL, *uda, *finetuned(ALIKE, FINETUNED[ALIKE])]
    return {
        "supervised": ["--method=supervised", *TAIL, none],
        "fixmatch": ["--method=fixmatch", *TAIL, f"--uda_weight={KIN['fixmatch'][ALIKE]}", none],
        "uda": ["--method=uda", *uda, none],
        "mpl, off": [*mpl, *FORMS["off, soft"]],
        "mpl, exact": [*mpl, *EXACT_FORM, f"--feedback_weight={EXACT_BESIDE[ALIKE]}"],
    }


def _rows():
    """dict of row name to flags: each method as it is and with each remedy that it takes."""
    found = {}
    for method, flags in _methods().items():
        found[method] = flags
        for remedy, more in REMEDIES.items():
            if BALANCED not in more or method != "supervised":
                found[f"{method}, {remedy}"] = [*flags, *more]
    return found


def _reference(name):
    """The row that a row is compared with: feedback with none, a remedy with the method as it is."""
    if name.startswith("mpl, exact"):
        return name.replace("mpl, exact", "mpl, off")
    return next((method for method in _methods() if name.startswith(f"{method}, ")), "supervised")


STUDIES = {"long_tail": _rows()}
REFERENCES = {"long_tail": {name: _reference(name) for name in _rows()}}
