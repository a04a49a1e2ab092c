"""The training methods.

A new one: its file in mpl_tf/methods/, its row here, flags/method_NAME.flags if it has a recipe, its test.
"""

from mpl_tf.settings.catalogue.rows import MethodRow, table

BALANCE_OPTIONS = ("balance_weight", "balance_momentum")
FIXMATCH_OPTIONS = (
    "label_smoothing",
    "uda_weight",
    "uda_threshold",
    "uda_ramp_steps",
    "teacher_passes",
    *BALANCE_OPTIONS,
)
UDA_OPTIONS = (*FIXMATCH_OPTIONS, "uda_temperature")
FEEDBACK_OPTIONS = ("pseudo_labels", "feedback", "feedback_scale", "feedback_weight", "baseline")

METHODS = table(
    MethodRow(
        "supervised",
        help="the labeled data alone",
        path="mpl_tf.methods.supervised:Supervised",
        unlabeled=False,
        mesh=True,
    ),
    MethodRow(
        "label_smoothing",
        help="the labeled data alone, its labels softened (Szegedy et al. 2016)",
        path="mpl_tf.methods.label_smoothing:LabelSmoothing",
        options=("label_smoothing",),
        unlabeled=False,
        mesh=True,
    ),
    MethodRow(
        "randaugment",
        help="the labeled data alone, by strong views (Cubuk et al. 2020)",
        path="mpl_tf.methods.randaugment:RandAugment",
        unlabeled=False,
        mesh=True,
    ),
    MethodRow(
        "pseudo_labels",
        help="a student learns what a fixed teacher says of unlabeled data (Lee 2013)",
        path="mpl_tf.methods.pseudo_labels:PseudoLabels",
        options=("pseudo_labels", "label_smoothing", "with_labels"),
        fixed_teacher="supervised",
    ),
    MethodRow(
        "noisy_student",
        help="pseudo labels with a noised student, which becomes the next teacher (Xie et al. 2020)",
        path="mpl_tf.methods.noisy_student:NoisyStudent",
        options=("pseudo_labels", "label_smoothing", "label_confidence", "balance_classes"),
        fixed_teacher="supervised",
        generations=True,
    ),
    MethodRow(
        "mean_teacher",
        help="a student agrees with the average of its past weights (Tarvainen and Valpola 2017)",
        path="mpl_tf.methods.mean_teacher:MeanTeacher",
        options=("uda_weight", "uda_ramp_steps"),
    ),
    MethodRow(
        "fixmatch",
        help="confident hard labels of weak views are learned on strong ones (Sohn et al. 2020)",
        path="mpl_tf.methods.fixmatch:FixMatch",
        options=FIXMATCH_OPTIONS,
        mesh=True,
    ),
    MethodRow(
        "flexmatch",
        help="fixmatch with a threshold a class, by how many examples it is sure of (Zhang et al. 2021)",
        path="mpl_tf.methods.flexmatch:FlexMatch",
        options=FIXMATCH_OPTIONS,
    ),
    MethodRow(
        "freematch",
        help="fixmatch with thresholds that follow the network's confidence, and fair classes (Wang et al. 2023)",
        path="mpl_tf.methods.freematch:FreeMatch",
        options=(
            "label_smoothing",
            "uda_weight",
            "uda_ramp_steps",
            "teacher_passes",
            "fairness_weight",
            "threshold_decay",
            *BALANCE_OPTIONS,
        ),
        mesh=True,
    ),
    MethodRow(
        "uda",
        help="strong views are to be seen as weak ones (Xie et al. 2020)",
        path="mpl_tf.methods.uda:UDA",
        options=UDA_OPTIONS,
        mesh=True,
    ),
    MethodRow(
        "mpl",
        help="Meta Pseudo Labels: a teacher, trained by UDA, learns from how its student does (Pham et al. 2021)",
        path="mpl_tf.methods.mpl:MetaPseudoLabels",
        options=(*UDA_OPTIONS, "label_view", *FEEDBACK_OPTIONS),
        networks=("teacher", "student"),
        mesh=True,
        two_optimizers=True,
        finetuned=True,
    ),
    MethodRow(
        "reduced_mpl",
        help="mpl with one large network in memory: a small teacher corrects a fixed one (Pham et al. 2021)",
        path="mpl_tf.methods.reduced_mpl:ReducedMPL",
        options=("label_smoothing", *BALANCE_OPTIONS, *FEEDBACK_OPTIONS),
        networks=("student",),
        fixed_teacher="uda",
        two_optimizers=True,
        finetuned=True,
    ),
    MethodRow(
        "meta_semi",
        help="unlabeled examples count whose gradient agrees with the labeled ones' (Wang et al. 2020)",
        path="mpl_tf.methods.meta_semi:MetaSemi",
        options=("pseudo_labels", "reweighting", "mixup", "mixup_alpha", "with_labels"),
    ),
)
