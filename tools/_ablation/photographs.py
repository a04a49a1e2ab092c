"""The studies of real photographs: CIFAR-10 as a frozen network shows it, a linear classifier trained by each method.

Data, weights and features are given by --extra: --data_dir, --weights (EfficientNet-Lite0 of ImageNet) and
--feature_store (docs/results/README.md has the commands). The settings below were chosen by the studies
`photographs_rates`, `photographs_uda` and `photographs_feedback`, one after the other, on images held out of the
training set and on seeds that no table reports; docs/results/photographs/settings has their tables.
"""

from .control_names import CONTROLS
from .rows import CONTROL, EXACT_FORM, FORMS, MPL, Network

# 400 steps of 32 labeled and 7 x 32 unlabeled images; views and features of one store.
FROZEN = [
    "--model=efficientnet_lite0",
    "--freeze=backbone",
    "--backbone_size=96",
    "--feature_views=2,8",
    "--train_steps=400",
    "--labeled_batch=32",
    "--mu=7",
    "--learning_rate_batch=0",
    "--teacher_warmup_steps=20",
    "--student_wait_steps=0",
    "--student_warmup_steps=20",
    "--uda_ramp_steps=80",
    "--ema_decay=0.99",
    "--label_smoothing=0",
    "--dropout=0",
    "--steps_per_epoch=100",
    "--steps_per_execution=100",
]
UNTUNED = [*FROZEN, "--scored_on=validation", "--finetune_steps=0"]


def rates(rate):
    """Flags of one learning rate for teacher and student."""
    return [f"--teacher_learning_rate={rate}", f"--student_learning_rate={rate}"]


# First: rate and decay, for supervised learning; all rows take them.
RATES = {
    f"rate {rate}, decay {decay}": ["--method=supervised", *UNTUNED, *rates(rate), f"--weight_decay={decay}"]
    for rate in (0.01, 0.03, 0.1)
    for decay in (5e-4, 0.1)
}
CHOSEN = [*rates(0.03), "--weight_decay=0.1"]
# Second: the weight of what is learned from the unlabeled images, and UDA's threshold; FixMatch's and its kin's stay.
UDA_GRID = {
    f"uda, weight {weight}, threshold {threshold}": [
        "--method=uda",
        *UNTUNED,
        *CHOSEN,
        f"--uda_weight={weight}",
        f"--uda_threshold={threshold}",
    ]
    for weight in (0.1, 0.3, 1)
    for threshold in (0, 0.9)
} | {
    f"{method}, weight {weight}": [f"--method={method}", *UNTUNED, *CHOSEN, f"--uda_weight={weight}"]
    for method in ("fixmatch", "flexmatch", "freematch")
    for weight in (0.1, 0.3, 1)
}
# Labels to what the second grid chose: UDA's weight and threshold, the others' weights; and the third, BALANCE to RATE.
UDA = {40: (0.1, 0), 250: (1, 0), 4000: (1, 0)}
KIN = {
    "fixmatch": {40: 0.1, 250: 1, 4000: 1},
    "flexmatch": {40: 0.1, 250: 1, 4000: 1},
    "freematch": {40: 0.1, 250: 1, 4000: 1},
}
BALANCE = {40: 3, 250: 1, 4000: 1}
EXACT_WEIGHT = {40: 0.3, 250: 0.3, 4000: 0.3}
EXACT_BESIDE = {40: 0.03, 250: 0.1, 4000: 0.1}  # Its weight beside balance.
TAYLOR_WEIGHT = {40: 1, 250: 0.03, 4000: 0.03}
FINETUNED = {40: 1e-3, 250: 1e-2, 4000: 1e-2}  # Rate of the student's 50 steps on the labels.


def of_uda(labels):
    """UDA's flags, which MPL's teacher takes too."""
    weight, threshold = UDA[labels]
    return [*FROZEN, *CHOSEN, f"--num_labels={labels}", f"--uda_weight={weight}", f"--uda_threshold={threshold}"]


def finetuned(labels, rate):
    """The last steps of MPL's student."""
    return ["--finetune_steps=50", f"--finetune_batch={min(labels, 250)}", f"--finetune_learning_rate={rate}"]


def forms(labels, balance, exact, beside, taylor):
    """MPL by form of feedback: dict of row name to flags; the arguments are weights."""
    mpl, balanced = [*MPL, *of_uda(labels)], f"--balance_weight={balance}"
    return {
        "off, sampled": [*mpl, *FORMS["off, sampled"]],
        "off": [*mpl, *FORMS["off, soft"]],
        "off, balance": [*mpl, *FORMS["off, soft"], balanced],
        "taylor": [*mpl, *FORMS["taylor, mean"], f"--feedback_weight={taylor}"],
        "exact": [*mpl, *EXACT_FORM, f"--feedback_weight={exact}"],
        "exact, balance": [*mpl, *EXACT_FORM, f"--feedback_weight={beside}", balanced],
    }


# Third, given these: the weight of balance without feedback, those of the feedback, and the rate of finetuning.
def feedback_grid(labels):
    """Rows of MPL to choose from."""
    last, asked = ["--scored_on=validation", "--finetune_steps=0"], ("exact", "exact, balance", "taylor")
    grid = {}
    for weight in (0.3, 1, 3, 10):
        grid[f"off, balance {weight}"] = [*forms(labels, weight, 1, 1, 1)["off, balance"], *last]
    for weight in (0.03, 0.1, 0.3, 1):
        made = forms(labels, BALANCE[labels], weight, weight, weight)
        grid |= {f"{name}, weight {weight}": [*made[name], *last] for name in asked}
    for rate in (1e-4, 1e-3, 1e-2):
        row = forms(labels, BALANCE[labels], 1, 1, 1)["off, balance"]
        grid[f"off, balance, finetuned at {rate}"] = [*row, "--scored_on=validation", *finetuned(labels, rate)]
    return grid


def methods(labels):
    """The rows of a table: dict of row name to flags or Network."""
    alone = [*FROZEN, *CHOSEN, f"--num_labels={labels}", "--finetune_steps=0"]
    uda = ["--method=uda", *of_uda(labels), "--finetune_steps=0"]
    kin = {name: [f"--method={name}", *alone, f"--uda_weight={weight[labels]}"] for name, weight in KIN.items()}
    weights = (row[labels] for row in (BALANCE, EXACT_WEIGHT, EXACT_BESIDE, TAYLOR_WEIGHT))
    mpl = forms(labels, *weights)
    networks = {
        f"{name}, {role.replace('_', ' ')}": Network(name, role)
        for name in mpl
        if name != "off, sampled"
        for role in ("teacher", "before_finetune")
    }
    controls = {name.replace("_", " "): [*mpl["exact"], f"{CONTROL}{name}"] for name in CONTROLS if labels == 40}
    return (
        {name: [f"--method={name}", *alone] for name in ("supervised", "randaugment")}
        | kin
        | {"uda": uda, "uda, balance": [*uda, f"--balance_weight={BALANCE[labels]}"]}
        | {name: [*row, *finetuned(labels, FINETUNED[labels])] for name, row in (mpl | controls).items()}
        | networks
    )


# A feedback is compared with none, the teacher's labels being made in the same way; a balanced row with a balanced one;
# a student before finetuning with itself after it, a teacher with one that has no feedback, that one with UDA.
REFERENCE = {
    "uda, balance": "uda",
    "off": "uda",
    "off, sampled": "uda",
    "off, balance": "off",
    "taylor": "off, sampled",
    "exact": "off",
    "exact, balance": "off, balance",
    "off, teacher": "uda",
    "off, balance, teacher": "uda, balance",
    "taylor, teacher": "off, teacher",
    "exact, teacher": "off, teacher",
    "exact, balance, teacher": "off, balance, teacher",
} | {name.replace("_", " "): "off" for name in CONTROLS}
LABELS = (40, 250, 4000)
STUDIES = (
    {"photographs_rates": RATES, "photographs_uda": UDA_GRID}
    | {f"photographs_feedback_{labels}": feedback_grid(labels) for labels in LABELS}
    | {f"photographs_{labels}": methods(labels) for labels in LABELS}
    | {  # Fixed before any of their runs: 60 seeds, two comparisons.
        "photographs_deciding": {name: methods(40)[name] for name in ("exact, balance", "off, balance", "uda, balance")}
    }
)
REFERENCES = {
    f"photographs_{labels}": {
        name: REFERENCE.get(name, name.removesuffix(", before finetune") if "before" in name else "supervised")
        for name in methods(labels)
    }
    for labels in LABELS
}
