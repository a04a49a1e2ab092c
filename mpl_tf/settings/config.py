"""The configuration of a run: one frozen dataclass, checked before any device work.

Each field is one command-line flag of the same name (settings/fields.py): its help, unit, choices, range and source.
Values come from flags/*.flags, never from here.
"""

import dataclasses
from typing import ClassVar

from mpl_tf.base.errors import together
from mpl_tf.settings import checks, fields
from mpl_tf.settings.catalogue import METHODS, takers
from mpl_tf.settings.fields import flag
from mpl_tf.settings.run_settings import EXAMPLES, RELEASED, STEPS
from mpl_tf.settings.use_settings import UseSettings
from mpl_tf.settings.view_settings import LARGEST

PAPER = "paper section 3.2"
SHARE = "steps; below 1: share of the run"
BELOW_1 = 1 - 1e-6  # Of averages: at 1 they would never move.


@dataclasses.dataclass(frozen=True)
class Config(UseSettings):
    """All values of a run. The fields are the flags; `python -m mpl_tf.main --help` prints them."""

    # Flags in steps that may also be a share of the run, so that a recipe keeps its form where a run is short.
    SHARES: ClassVar = ("teacher_warmup_steps", "student_wait_steps", "student_warmup_steps", "uda_ramp_steps")

    teacher_learning_rate: float = flag(
        "peak rate of the teacher, and of a method's only network",
        low=0,
        limit=LARGEST,
        source=f"{RELEASED}: 0.1",
        topic="Optimisation",
    )
    student_learning_rate: float = flag("peak rate of mpl's student", low=0, limit=LARGEST, source=f"{RELEASED}: 0.1")
    learning_rate_batch: int = flag(
        "rates are multiplied by labeled_batch / this; 0: not",
        unit="examples",
        low=0,
        limit=EXAMPLES,
        source="released: 256",
    )
    schedule: str = flag("rates after the warm-up: cosine to zero, or constant", choices=("cosine", "constant"))
    teacher_warmup_steps: float = flag(
        "linear warm-up of the teacher's rate", unit=SHARE, low=0, limit=STEPS, source=f"{RELEASED}: 5,000"
    )
    student_wait_steps: float = flag(
        "steps at rate 0 before the student's warm-up", unit=SHARE, low=0, limit=STEPS, source=f"{RELEASED}: 3,000"
    )
    student_warmup_steps: float = flag(
        "linear warm-up of the student's rate", unit=SHARE, low=0, limit=STEPS, source=f"{RELEASED}: 5,000"
    )
    momentum: float = flag("Nesterov momentum; 0: plain SGD", low=0, high=1, limit=BELOW_1, source=f"{RELEASED}: 0.9")
    weight_decay: float = flag(
        "L2 coefficient on all but batch-norm weights", low=0, limit=LARGEST, source=f"{RELEASED}: 5e-4"
    )
    clip_norm: float = flag(
        "bound on a gradient's global norm; 0: off", low=0, limit=1e12, source="released: off for CIFAR, 5 for ImageNet"
    )
    ema_decay: float = flag(
        "decay of the average of the deployed network's weights; 0: off",
        low=0,
        high=1,
        limit=BELOW_1,
        source=f"{RELEASED}: 0.995",
    )
    label_smoothing: float = flag(
        "of the supervised and the student's loss", low=0, high=1, limit=0.99, source=f"{RELEASED}: 0.15"
    )
    dropout: float = flag(
        "rate before the classifier, in cnn13 after each pool", low=0, high=0.99, source=f"{RELEASED}: 0.2"
    )
    stochastic_depth: float = flag("chance of dropping the last residual branch; less before it", low=0, high=0.99)

    uda_weight: float = flag(
        f"weight of the unlabeled loss of {takers('uda_weight')}",
        low=0,
        limit=LARGEST,
        source=f"{RELEASED}: 8",
        topic="UDA, the teacher's objective on unlabeled data, and those like it",
    )
    uda_temperature: float = flag(
        "sharpening of the weak view's distribution, > 0", low=1e-3, limit=LARGEST, source=f"{RELEASED}: 0.7"
    )
    uda_threshold: float = flag(
        "smallest confidence that counts, with uda and mpl after the sharpening; 0: all count",
        low=0,
        high=1,
        source=f"{RELEASED}: 0.6; fixmatch: 0.95",
    )
    uda_ramp_steps: float = flag(
        "ramp of --uda_weight, linear; mean_teacher: exp(-5 (1 - step / this)^2)",
        unit=SHARE,
        low=0,
        limit=STEPS,
        source=f"{RELEASED}: 5,000",
    )
    fairness_weight: float = flag(
        f"{takers('fairness_weight')}: weight of the fairness loss; 0: none",
        low=0,
        limit=LARGEST,
        source="released for CIFAR-10: 0.01",
    )
    threshold_decay: float = flag(
        f"{takers('threshold_decay')}: decay of the averages that its thresholds follow",
        low=0,
        high=1,
        limit=BELOW_1,
        source="FreeMatch paper: 0.999",
    )
    balance_weight: float = flag(
        f"{takers('balance_weight')}: weight of KL(labeled classes || moving mean of the predictions on unlabeled "
        "images) in the teacher's objective, or the only network's; 0: none",
        low=0,
        limit=LARGEST,
    )
    balance_momentum: float = flag("of that moving mean; 0: the batch's own", low=0, high=1, limit=BELOW_1)
    teacher_passes: str = flag(
        "joint: labeled, weak and strong images in one pass (released); split: the weak ones in their own, untaped",
        choices=("joint", "split"),
    )

    pseudo_labels: str = flag(
        "the student's targets",
        choices=("sampled", "argmax", "soft"),
        source="paper: sampled, hard",
        topic="Feedback, mpl's own part",
    )
    label_view: str = flag("the view the teacher labels; the student sees the strong one", choices=("strong", "weak"))
    feedback: str = flag(
        "form of h; exact is per example and class",
        choices=("off", "taylor", "dot_product", "exact"),
        source="paper: taylor",
    )
    feedback_scale: str = flag("mean: the paper's batch mean; sum: the score function's", choices=("mean", "sum"))
    feedback_weight: float = flag(
        "factor of the feedback in the teacher's gradient", low=0, limit=LARGEST, source="paper: 1"
    )
    baseline: str = flag("subtracted from h", choices=("none", "moving_average"), source="released: moving_average")

    teacher: str = flag(
        "student.keras of a finished run as the fixed teacher; empty: the run trains one first, on the labeled data "
        "(reduced_mpl: by UDA)",
        topic="A fixed teacher: " + ", ".join(row.name for row in METHODS.values() if row.fixed_teacher),
        identity=False,  # Its content is; see data/fingerprint.py.
    )
    teacher_steps: int = flag(
        "training steps of the fixed teacher; 0: as many as --train_steps", unit="steps", low=0, limit=STEPS
    )
    store: str = flag(
        "file of the fixed teacher's distributions (.npy); empty: one named by data set, order and teacher in "
        "DATA_DIR/teacher_labels, or in WORKDIR without --data_dir",
        identity=False,
    )
    generations: int = flag(
        "noisy_student: students trained one after the other, each the next one's teacher", low=0, limit=1000
    )
    label_confidence: float = flag(
        "noisy_student: smallest confidence of a teacher's label that counts; 0: all do",
        low=0,
        high=1,
        source="Noisy Student paper: 0.3",
    )
    balance_classes: bool = flag("noisy_student: labels count by how rare their class is, so that classes are alike")
    with_labels: bool = flag(f"{takers('with_labels')}: the student learns from the labeled data too")

    reweighting: str = flag(
        "meta_semi: weights by the gradient's product with the labeled one: sign, 1 where it is positive, else 0 "
        "(Meta-Semi paper); signed, 1 or -1; constant, 1",
        choices=("sign", "constant", "signed"),
        topic="Meta-Semi",
    )
    mixup: str = flag("meta_semi: the batches that MixUp mixes", choices=("both", "labeled", "unlabeled", "none"))
    mixup_alpha: float = flag("meta_semi: MixUp mixes by Beta(mixup_alpha, mixup_alpha)", low=1e-2, limit=LARGEST)

    finetune_steps: int = flag(
        "steps on the labeled data alone after the training; 0: none",
        unit="steps",
        low=0,
        limit=STEPS,
        source=f"{PAPER}: 1,000",
        topic="Finetuning of the student on the labeled data (paper section 3.2)",
    )
    finetune_batch: int = flag(
        "labeled examples a step", unit="examples", low=1, limit=EXAMPLES, source=f"{PAPER}: 512"
    )
    finetune_learning_rate: float = flag("fixed rate of plain SGD", low=0, limit=LARGEST, source=f"{PAPER}: 1e-5")

    def replace(self, **changes):
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def labeled_batches(self):
        """Flag name to size of each labeled batch the run draws: labeled_batch, and finetune_batch if it is used."""
        batches = {"labeled_batch": self.labeled_batch}
        return batches | {"finetune_batch": self.finetune_batch} if self.finetune_steps else batches

    def in_steps(self, name):
        """A flag of SHARES in steps, int: as it is, or below 1 its share of train_steps, rounded."""
        value = getattr(self, name)
        return round(value * self.train_steps) if 0 < value < 1 else int(value)

    def option(self, name):
        """A flag's value as a method takes it: those of SHARES in steps."""
        return self.in_steps(name) if name in self.SHARES else getattr(self, name)

    def problems(self, wrong=()):
        """What is wrong with the values, by themselves and in combination.

        Args:
            wrong: names of the flags that were wrong on the command line and have a value of the flagfiles here.
        Returns:
            list of str, a line a problem.
        """
        told, found = fields.problems(type(self), dataclasses.asdict(self))
        return told + checks.problems(self, {*found, *wrong})

    def validate(self):
        """Check every value by itself and in combination.

        Raises:
            UsageError: naming each flag that is wrong, what was expected, what came and what to do.
        """
        problems = self.problems()
        if problems:
            raise together(problems)
