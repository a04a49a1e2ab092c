"""The configuration of a run: one frozen dataclass, checked before any device work.

Each field is one command-line flag of the same name (mpl_tf/flags.py); its metadata holds the flag's help (with unit,
range and source), its choices and its range. Values come from flags/*.flags, never from here.
"""

import dataclasses

from mpl_tf.settings import checks

PAPER = "paper section 3.2"
RELEASED = "released CIFAR-10-4K hyper-parameters"
MODES = ("train", "evaluate", "predict")
SCALES = ("paper", "gpu", "laptop", "smoke")


def _flag(text, choices=None, low=None, high=None, identity=True):
    """A field: its help text, its choices or its range (inclusive), and whether it is part of a run's identity."""
    return dataclasses.field(
        metadata={"help": text, "choices": choices, "low": low, "high": high, "identity": identity}
    )


@dataclasses.dataclass(frozen=True)
class Config:
    """All values of a run. The fields are the flags; `python -m mpl_tf.main --help` prints them."""

    # What to run
    dataset: str = _flag(
        "data set: two_moons, digits_50, cifar10_4k, cifar100_10k, svhn_1k, stl10_1k, imagenet_10, imagenet, "
        "imagenet_jft or folder"
    )
    method: str = _flag(
        "training method: supervised, label_smoothing, randaugment, pseudo_labels, noisy_student, mean_teacher, "
        "fixmatch, uda, mpl, reduced_mpl or meta_semi"
    )
    model: str = _flag(
        "network: mlp, small_cnn, narrow_cnn, cnn13, wide_resnet_28_2, wide_resnet_28_10, resnet_50, efficientnet_b0 "
        "to b8, l2, b6_wide (the paper's factors) or b6_wide_390m (its number of weights)"
    )
    teacher_model: str = _flag("network of the teacher in methods that have one; empty: that of --model")
    pretrained: str = _flag(
        "weights that resnet_50 and efficientnet_b0 to b7 start from; imagenet: those of keras.applications",
        ("none", "imagenet"),
    )
    scale: str = _flag("size of the run: flags/scale_SCALE.flags is read over the data set's flags", SCALES)
    mode: str = _flag(
        "train; evaluate: score WORKDIR/student.keras on the test set; predict: label --images", MODES, identity=False
    )
    workdir: str = _flag("folder of the run's files; empty: runs/DATASET-METHOD-seedSEED", identity=False)
    seed: int = _flag(
        "seed of the splits, the weights, the data order, the views and the sampling", low=0, high=2**31 - 1
    )
    debug: bool = _flag("show tracebacks", identity=False)

    # Data
    data_dir: str = _flag(
        "folder of TFDS data sets, downloaded if absent, or of ImageNet's usual TFRecord shards; empty: "
        "~/tensorflow_datasets",
        identity=False,
    )
    labeled_dir: str = _flag("own labeled images: one folder a class, JPEG or PNG; imagenet_10: TFRecord shards")
    unlabeled_dir: str = _flag("own unlabeled images: any depth, JPEG, PNG or TFRecord shards")
    test_dir: str = _flag("own test images: the class folders of --labeled_dir")
    num_labels: int = _flag("labeled examples in all, equally many a class; 0: all there are", low=0)
    unlabeled_source: str = _flag(
        "unlabeled examples; labeled: the labeled ones alone, without labels (paper table 9)", ("rest", "labeled")
    )
    image_size: int = _flag(
        "side of own and of ImageNet's images after resizing, pixels; small data sets keep theirs", low=1
    )
    skip_bad_images: bool = _flag("leave unreadable images out and count them; otherwise they end the run")
    flip: bool = _flag("own images: whether a mirrored image keeps its class (digits and text: no)")
    images: str = _flag("--mode=predict: folder of images to label", identity=False)

    # Batches and length
    train_steps: int = _flag("training steps (paper: 1,000,000; released: 300,000)", low=1)
    labeled_batch: int = _flag(f"labeled examples a step over all replicas ({RELEASED}: 128)", low=1)
    mu: int = _flag(f"unlabeled examples per labeled one ({RELEASED}: 7)", low=1)
    accumulate: int = _flag("parts a step's batches are cut into, to save memory; divides the batches", low=1)
    steps_per_epoch: int = _flag("steps between rows of metrics.csv, TensorBoard points and checkpoints", low=1)
    steps_per_execution: int = _flag("steps in one call of the compiled loop; divides steps_per_epoch", low=1)
    keep_checkpoints: int = _flag("newest checkpoints kept, >= 2 so that a damaged one has a predecessor", low=2)
    eval_batch: int = _flag("examples a batch in evaluation", low=1)

    # Views
    randaugment_ops: int = _flag(f"RandAugment operations an image ({RELEASED}: 2)", low=0)
    randaugment_magnitude: float = _flag(f"RandAugment magnitude, 10 = full range ({RELEASED}: 16)", low=0, high=30)
    cutout: float = _flag(
        f"side of the strong view's cutout as a fraction of the image's ({RELEASED}: 0.5)", None, 0, 1
    )
    shift: float = _flag(f"largest random shift as a fraction of the side ({RELEASED}: 0.125)", None, 0, 0.5)
    noise: float = _flag("strong view of points: standard deviation of the added noise, units of the data", low=0)

    # Optimisation
    teacher_learning_rate: float = _flag(
        f"peak rate of the teacher, and of a method's only network ({RELEASED}: 0.1)", low=0
    )
    student_learning_rate: float = _flag(f"peak rate of mpl's student ({RELEASED}: 0.1)", low=0)
    learning_rate_batch: int = _flag("rates are multiplied by labeled_batch / this (released: 256); 0: not", low=0)
    schedule: str = _flag("rates after the warm-up: cosine to zero, or constant", ("cosine", "constant"))
    teacher_warmup_steps: int = _flag(f"linear warm-up of the teacher's rate, steps ({RELEASED}: 5,000)", low=0)
    student_wait_steps: int = _flag(f"steps at rate 0 before the student's warm-up ({RELEASED}: 3,000)", low=0)
    student_warmup_steps: int = _flag(f"linear warm-up of the student's rate, steps ({RELEASED}: 5,000)", low=0)
    momentum: float = _flag(f"Nesterov momentum ({RELEASED}: 0.9); 0: plain SGD", None, 0, 1)
    weight_decay: float = _flag(f"L2 coefficient on all but batch-norm weights ({RELEASED}: 5e-4)", low=0)
    clip_norm: float = _flag(
        "bound on a gradient's global norm; 0: off (released: off for CIFAR, 5 for ImageNet)", low=0
    )
    ema_decay: float = _flag(
        f"decay of the average of the deployed network's weights; 0: off ({RELEASED}: 0.995)", None, 0, 1
    )
    label_smoothing: float = _flag(f"of the supervised and the student's loss ({RELEASED}: 0.15)", None, 0, 1)
    dropout: float = _flag(f"rate before the classifier, in cnn13 after each pool ({RELEASED}: 0.2)", None, 0, 0.99)
    stochastic_depth: float = _flag("chance of dropping the last residual branch; less before it", None, 0, 0.99)
    precision: str = _flag(
        "compute type of the networks; weights and losses stay float32", ("float32", "mixed_bfloat16", "mixed_float16")
    )
    jit_compile: bool = _flag(
        "compile the step with XLA, where one device trains; on a CPU it is faster for mlp, slower for convolutions"
    )
    strategy: str = _flag(
        "tf.distribute: one device, mirrored over a machine's, multi_worker over the machines of TF_CONFIG, tpu; auto "
        "takes what there is; dtensor: --mesh",
        ("auto", "one", "mirrored", "multi_worker", "tpu", "dtensor"),
        identity=False,
    )
    mesh: str = _flag(
        "--strategy=dtensor: replica:R,core:S; images are split in width and weights over S cores (paper section 4: "
        "replica:128,core:16)",
        identity=False,
    )
    remat: bool = _flag(
        "--strategy=dtensor: gather weights and compute convolutions again in the backward pass", identity=False
    )
    batch_norm_groups: int = _flag(
        "groups of replicas whose images share batch-norm statistics; divides the replicas; 1: all replicas (released "
        "CIFAR); released ImageNet: groups of 1,024 images",
        low=1,
    )

    # UDA, the teacher's objective on unlabeled data, and those like it
    uda_weight: float = _flag(
        f"weight of the unlabeled loss of uda, mpl's teacher, fixmatch and mean_teacher ({RELEASED}: 8)", low=0
    )
    uda_temperature: float = _flag(f"sharpening of the weak view's distribution, > 0 ({RELEASED}: 0.7)", low=1e-3)
    uda_threshold: float = _flag(
        f"smallest confidence that counts ({RELEASED}: 0.6; fixmatch: 0.95); 0: all count", None, 0, 1
    )
    uda_ramp_steps: int = _flag(
        f"ramp of --uda_weight, steps, linear; mean_teacher: exp(-5 (1 - step / this)^2) ({RELEASED}: 5,000)", low=0
    )
    teacher_passes: str = _flag(
        "joint: labeled, weak and strong images in one pass (released); split: the weak ones in their own, untaped",
        ("joint", "split"),
    )

    # Feedback, MPL's own part
    pseudo_labels: str = _flag("the student's targets (paper: sampled, hard)", ("sampled", "argmax", "soft"))
    label_view: str = _flag("the view the teacher labels; the student sees the strong one", ("strong", "weak"))
    feedback: str = _flag(
        "form of h (paper: taylor); exact is per example and class", ("off", "taylor", "dot_product", "exact")
    )
    feedback_scale: str = _flag("mean: the paper's batch mean; sum: the score function's", ("mean", "sum"))
    feedback_weight: float = _flag("factor of the feedback in the teacher's gradient (paper: 1)", low=0)
    baseline: str = _flag("subtracted from h (released: moving_average)", ("none", "moving_average"))

    # A fixed teacher: pseudo_labels, noisy_student, reduced_mpl
    teacher: str = _flag(
        "student.keras of a finished run as the fixed teacher; empty: the run trains one first, on the labeled data "
        "(reduced_mpl: by UDA)"
    )
    teacher_steps: int = _flag("training steps of the fixed teacher; 0: as many as --train_steps", low=0)
    store: str = _flag(
        "file of the fixed teacher's distributions (.npy); empty: one named by data set, order and teacher in "
        "DATA_DIR/teacher_labels, or in WORKDIR without --data_dir",
        identity=False,
    )
    generations: int = _flag("noisy_student: students trained one after the other, each the next one's teacher", low=0)
    with_labels: bool = _flag("pseudo_labels, meta_semi: the student learns from the labeled data too")

    # Meta-Semi
    reweighting: str = _flag(
        "meta_semi: weights by the gradient's product with the labeled one: sign, 1 where it is positive, else 0 "
        "(Meta-Semi paper); signed, 1 or -1; constant, 1",
        ("sign", "constant", "signed"),
    )
    mixup: str = _flag("meta_semi: the batches that MixUp mixes", ("both", "labeled", "unlabeled", "none"))
    mixup_alpha: float = _flag("meta_semi: MixUp mixes by Beta(mixup_alpha, mixup_alpha)", low=1e-2)

    # Finetuning of the student on the labeled data (paper section 3.2)
    finetune_steps: int = _flag(f"steps; 0: none ({PAPER}: 1,000)", low=0)
    finetune_batch: int = _flag(f"labeled examples a step ({PAPER}: 512)", low=1)
    finetune_learning_rate: float = _flag(f"fixed rate of plain SGD ({PAPER}: 1e-5)", low=0)

    def replace(self, **changes):
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def labeled_batches(self):
        """Flag name to size of each labeled batch the run draws: labeled_batch, and finetune_batch if it is used."""
        batches = {"labeled_batch": self.labeled_batch}
        return batches | {"finetune_batch": self.finetune_batch} if self.finetune_steps else batches

    def validate(self):
        """Check every value by itself and in combination.

        Raises:
            UsageError: naming the flag, what was expected, what came and what to do.
        """
        for field in dataclasses.fields(self):
            checks.value(field, getattr(self, field.name))
        checks.workdir(self)
        checks.steps(self)
        checks.feedback(self)
        checks.methods(self)
        checks.mesh(self)
        if self.mode == "predict":
            checks.folder("images", self.images)
        else:
            checks.folders(self)
