"""What rows of several studies are made of."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Network:
    """A row that needs no runs: another network of the runs of the row `of`, by its role in results.json."""

    of: str
    role: str


MPL = ["--method=mpl"]
EXACT_FORM = ["--feedback=exact", "--feedback_scale=sum", "--pseudo_labels=soft"]
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
} | {f"exact, weight {weight}": [*EXACT_FORM, f"--feedback_weight={weight}"] for weight in (1, 3, 10, 30)}
EXACT = FORMS["exact, weight 1"]
CONTROL = "--control="  # In a row: tools.sweep makes this control of mpl (controls.py) with the row's other flags.
