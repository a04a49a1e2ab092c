"""The passes of a step that each method's algorithm asks for: which network, how many images, how far back.

Those that are there for the logs alone are none of them: pseudo_labels' and meta_semi's of the labeled batch where the
student does not learn from it.
"""

import dataclasses

# Products that a layer computes in a pass; one fewer where nothing before it has weights, but for a forward pass.
FORWARD, GRADIENT, DERIVATIVE = "forward", "gradient", "derivative"
PRODUCTS = {
    FORWARD: 1,
    GRADIENT: 3,  # The forward pass, the gradient by what the layer was given and the one by its weights.
    DERIVATIVE: 2,  # Along a direction of all weights, beside a pass that is there: the input's part and the weights'.
}


@dataclasses.dataclass(frozen=True)
class Pass:
    """A pass of a network.

    Args:
        role: the network: "teacher", "student" or "average".
        kind: FORWARD, GRADIENT or DERIVATIVE.
        images: that pass it together.
    """

    role: str
    kind: str
    images: int


def passes(name, method, labeled, unlabeled):
    """The passes of a step, list of Pass.

    Args:
        name: of the method, in the catalogue.
        method: Method.
        labeled, unlabeled: images of a step, each unlabeled one counted once for all its views.
    """
    return PASSES[name](method, labeled, unlabeled)


def _supervised(method, labeled, unlabeled):
    return [Pass("student", GRADIENT, labeled)]


def _pseudo_labels(method, labeled, unlabeled):
    return [Pass("student", GRADIENT, unlabeled + labeled * method.with_labels)]


def _mean_teacher(method, labeled, unlabeled):
    return [Pass("student", GRADIENT, labeled + unlabeled), Pass("average", FORWARD, unlabeled)]


def _uda(method, labeled, unlabeled):
    """Joined, the weak views have part in the statistics, through which gradients go; split, they are targets alone."""
    if method.objective.passes == "joint":
        return [Pass("teacher", GRADIENT, labeled + 2 * unlabeled)]
    learned_from = getattr(method, "label_view", "") == "weak"
    weak = Pass("teacher", GRADIENT if learned_from else FORWARD, unlabeled)
    return [weak, Pass("teacher", GRADIENT, labeled + unlabeled)]


def _mpl(method, labeled, unlabeled):
    return [*_uda(method, labeled, unlabeled), *_taught(method, labeled, unlabeled)]


def _reduced_mpl(method, labeled, unlabeled):
    return [Pass("teacher", GRADIENT, unlabeled), *_taught(method, labeled, unlabeled)]


def _taught(method, labeled, unlabeled):
    """The student's own pass and those of its feedback: Algorithm 1, from the labels on."""
    told = {
        "off": [],
        "taylor": [Pass("student", FORWARD, labeled)] * 2,
        "dot_product": [Pass("student", GRADIENT, labeled)],
        "exact": [Pass("student", GRADIENT, labeled), Pass("student", DERIVATIVE, unlabeled)],
    }
    return [Pass("student", GRADIENT, unlabeled), *told[method.feedback]]


def _meta_semi(method, labeled, unlabeled):
    learned = unlabeled + labeled * method.with_labels
    weighed = [Pass("student", GRADIENT, labeled), Pass("student", DERIVATIVE, learned)]
    return [
        Pass("average", FORWARD, unlabeled),
        *(weighed if method.reweighting != "constant" else []),
        Pass("student", GRADIENT, learned),
    ]


PASSES = {
    "supervised": _supervised,
    "label_smoothing": _supervised,
    "randaugment": _supervised,
    "pseudo_labels": _pseudo_labels,
    "noisy_student": _pseudo_labels,
    "mean_teacher": _mean_teacher,
    "fixmatch": _uda,
    "flexmatch": _uda,
    "freematch": _uda,
    "uda": _uda,
    "mpl": _mpl,
    "reduced_mpl": _reduced_mpl,
    "meta_semi": _meta_semi,
}
