"""The first half of a run's configuration: what to run, on which data, how long and on which devices.

The flags of validation are in validation_settings.py, those of the views in view_settings.py, those of what it learns
by, to the finetuning, in config.py.
"""

import dataclasses

from mpl_tf.settings.catalogue import DATASETS, METHODS, NETWORKS, ForeignName, lines
from mpl_tf.settings.fields import flag
from mpl_tf.settings.forms import BACKGROUND, MESH

RELEASED = "released CIFAR-10-4K hyper-parameters"
MODES = ("train", "features", "evaluate", "predict", "export")
STEPS = 10**8  # The most of a run: 100 times the paper's.
EXAMPLES = 2**20  # The most of a batch.
SCALES = ("paper", "gpu", "laptop", "smoke")


@dataclasses.dataclass(frozen=True)
class RunSettings:
    """What a run has whatever its method is; Config adds to these fields."""

    dataset: str = flag("data set", choices=lines(DATASETS), topic="What to run")
    method: str = flag("training method", choices=lines(METHODS))
    model: str = flag(
        "network; keras:NAME is one of keras.applications, keras_cv:PRESET a backbone of KerasCV",
        choices=lines(NETWORKS),
        form=ForeignName,
    )
    teacher_model: str = flag(
        "network of the teacher in methods that have one; empty: that of --model",
        choices=(*NETWORKS, ""),
        form=ForeignName,
    )
    pretrained: str = flag(
        "weights to start from; imagenet: those of keras.applications, which has them for "
        + ", ".join(row.name for row in NETWORKS.values() if row.pretrained)
        + " and keras:NAME, or of KerasCV for keras_cv:PRESET; a network that has none starts anew beside one that has",
        choices=("none", "imagenet"),
    )
    weights: str = flag(
        "file of weights that the networks of --model start from: .keras or .weights.h5, for EfficientNets .npz by "
        "PyTorch's names, for keras:NAME the .h5 of keras.applications without top",
        identity=False,  # Its content is; see run/workdir.py.
    )
    init_from: str = flag(
        "Keras model, such as the student.keras of another run, whose weights the network, or the student, starts from",
        identity=False,  # Their content is; see run/workdir.py.
    )
    init_teacher_from: str = flag("the same for the teacher in methods that have one", identity=False)
    scale: str = flag("size of the run: flags/scale_SCALE.flags is read over the data set's flags", choices=SCALES)
    mode: str = flag(
        "train; features: compute those of --freeze=backbone, all kinds, into --feature_store; evaluate: score "
        "WORKDIR/student.keras on the test set; predict: label --images; export: write it in the formats of --export",
        choices=MODES,
        identity=False,
    )
    workdir: str = flag(
        "folder of the run's files, or a URL (gs://, s3://); empty: runs/DATASET-METHOD-seedSEED", identity=False
    )
    seed: int = flag(
        "seed of the splits, the weights, the data order, the views and the sampling", low=0, high=2**31 - 1
    )
    debug: bool = flag("show tracebacks", identity=False)

    data_dir: str = flag(
        "folder of TFDS data sets, downloaded if absent; empty: ~/tensorflow_datasets; for ImageNet also that of its "
        "usual TFRecord shards",
        topic="Data",
        identity=False,
    )
    labeled_dir: str = flag(
        "own labeled images: one folder a class, or tar, zip or Parquet files with their classes; imagenet_10: "
        "TFRecord shards",
        identity=False,
    )
    unlabeled_dir: str = flag(
        "own unlabeled images, at any depth, and TFRecord shards, tar, zip and Parquet files of images", identity=False
    )
    test_dir: str = flag("own test images: the classes of --labeled_dir, in the same forms", identity=False)
    labels: str = flag(
        "CSV file of columns path and class: the labeled images, by their paths in --labeled_dir, whose other images "
        "are unlabeled; empty: --labeled_dir has a folder a class",
        identity=False,
    )
    num_labels: int = flag(
        "labeled examples in all, equally many a class; of own images all of a class that has fewer; 0: all there are",
        unit="examples",
        low=0,
        limit=2**31 - 1,
    )
    unlabeled_source: str = flag(
        "unlabeled examples; labeled: the labeled ones alone, without labels (paper table 9)",
        choices=("rest", "labeled"),
    )
    image_size: int = flag(
        "side of own and of ImageNet's images after resizing; small data sets keep theirs",
        unit="pixels",
        low=1,
        limit=2**14,
    )
    resize: str = flag(
        "how images of other shapes come to --image_size: crop: the middle is cut out; pad: the whole image, the rest "
        "of --background; stretch: the whole image, its shape changed",
        choices=("crop", "pad", "stretch"),
    )
    skip_bad_images: bool = flag(
        "leave unreadable images out and count them; otherwise they end the run", identity=False
    )
    background: str = flag("own images: colour that transparent ones are laid on", form=BACKGROUND)
    flip: bool = flag("own images: whether a mirrored image keeps its class (digits and text: no)")

    train_steps: int = flag(
        "training steps; more than before, in the workdir of an earlier start, make that run longer",
        unit="steps",
        low=1,
        limit=STEPS,
        source="paper: 1,000,000; released: 300,000",
        topic="Batches and length",
    )
    extend: bool = flag(
        "with more --train_steps than the run in WORKDIR was begun with, and a cosine schedule: from its newest "
        "checkpoint's step, and not before its warm-up's end, the rate starts at its peak again and falls along a "
        "cosine to 0 at the new end, without another wait or warm-up; a constant rate goes on without it",
        identity=False,
    )
    labeled_batch: int = flag(
        "labeled examples a step over all replicas", unit="examples", low=1, limit=EXAMPLES, source=f"{RELEASED}: 128"
    )
    mu: int = flag("unlabeled examples per labeled one", low=1, limit=2**16, source=f"{RELEASED}: 7")
    accumulate: int = flag(
        "parts a step's batches are cut into, to save memory; divides the batches", low=1, limit=EXAMPLES
    )
    steps_per_epoch: int = flag(
        "steps between rows of metrics.csv, TensorBoard points and checkpoints", unit="steps", low=1, limit=STEPS
    )
    steps_per_execution: int = flag(
        "steps in one call of the compiled loop; divides steps_per_epoch",
        unit="steps",
        low=1,
        limit=10**6,
        identity=False,
    )
    save_minutes: float = flag(
        "time between checkpoints within an epoch; 0: at the epochs' ends alone, as with several hosts",
        unit="minutes",
        low=0,
        limit=1e6,
        identity=False,
    )
    keep_checkpoints: int = flag(
        "newest checkpoints kept, >= 2 so that a damaged one has a predecessor",
        unit="checkpoints",
        low=2,
        limit=10**6,
        identity=False,
    )
    keep_teacher: bool = flag(
        "keep mpl's teacher too, as it is exported, in teacher.keras, where methods with a fixed teacher leave theirs",
        identity=False,
    )
    report: bool = flag(
        "write WORKDIR/report.html at each epoch's end and at the run's: curves, pseudo labels, confusions, images; a "
        "bounded sample of the images is looked at each time",
        identity=False,
    )
    eval_batch: int = flag("examples a batch in evaluation", unit="examples", low=1, limit=EXAMPLES, identity=False)

    precision: str = flag(
        "compute type of the networks; weights and losses stay float32",
        choices=("float32", "mixed_bfloat16", "mixed_float16"),
        topic="Devices",
    )
    jit_compile: bool = flag(
        "compile the step with XLA, where one device trains; on a CPU it is faster for mlp, slower for convolutions"
    )
    deterministic: str = flag(
        "TensorFlow's deterministic operations, which give a run that is started again the same bits; XLA has none for "
        "the gradient of max-pooling; auto: true but with --jit_compile and on a TPU; what it costs a GPU is not known",
        choices=("auto", "true", "false"),
        identity=False,
    )
    strategy: str = flag(
        "tf.distribute: one device, mirrored over a machine's, multi_worker over the machines of TF_CONFIG, tpu; auto "
        "takes what there is; dtensor: --mesh",
        choices=("auto", "one", "mirrored", "multi_worker", "tpu", "dtensor"),
        identity=False,
    )
    allow_cpu: bool = flag(
        "train on the CPU where --scale=gpu or --strategy=mirrored finds no GPU; otherwise they ask for this",
        identity=False,
    )
    mesh: str = flag(
        "--strategy=dtensor: replica:R,core:S; images are split in width and weights over S cores",
        form=MESH,
        source="paper section 4: replica:128,core:16",
        identity=False,
    )
    remat: str = flag(
        "what is computed again in the backward pass instead of kept, to save memory: none; layer, with "
        "--strategy=dtensor: gathered weights and the windows of convolutions; block: all but what passes between the "
        "blocks of a network",
        choices=("none", "layer", "block"),
        identity=False,
        former=(("true", "layer"), ("false", "none")),
    )
    batch_norm_groups: int = flag(
        "groups of replicas whose images share batch-norm statistics; divides the replicas; 1: all replicas",
        low=1,
        limit=2**16,
        source="released CIFAR: 1; released ImageNet: groups of 1,024 images",
    )
