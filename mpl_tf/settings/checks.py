"""Checks of a configuration's values in combination: each yields what is wrong, a line a problem, so that all are told.

CHECKS says which flags each one reads: where one of these is wrong by itself, the check is left out.
"""

from mpl_tf.base import storage
from mpl_tf.settings import catalogue, forms
from mpl_tf.settings.catalogue import DATASETS, METHODS
from mpl_tf.settings.imbalance_settings import THINNED
from mpl_tf.settings.method_checks import feedback, frozen, frozen_in_part, mesh, methods, models, starts, views
from mpl_tf.settings.storage_checks import unreachable
from mpl_tf.settings.use_checks import exported, predicted
from mpl_tf.settings.validation_checks import INSTEAD, choosing, spared_test, validation

MOST_EXAMPLES = 2**24  # A step's; 4,096 x 32 are the most of the paper.


def steps(config):
    """The compiled loop divides epochs and phases."""
    names = ("steps_per_epoch", "train_steps", "teacher_steps")
    lengths = {name: getattr(config, name) for name in names if getattr(config, name)}
    if any(length % config.steps_per_execution for length in lengths.values()):
        asked = ", ".join(f"--{name} ({length})" for name, length in lengths.items())
        yield (
            f"--steps_per_execution: expected a divisor of {asked}, got {config.steps_per_execution}; 1 always works"
        )


def accumulation(config):
    """The parts of accumulation divide the batches."""
    for name, batch in config.labeled_batches().items():
        if batch % config.accumulate:
            yield f"--accumulate: expected a divisor of --{name} ({batch}), got {config.accumulate}"


def schedule(config):
    """Each network's rate reaches its peak within the run: a wait or a warm-up as long as the run trains nothing."""
    row, waits = METHODS[config.method], {"teacher_warmup_steps": config.in_steps("teacher_warmup_steps")}
    student = {name: config.in_steps(name) for name in ("student_wait_steps", "student_warmup_steps")}
    phases = [("train_steps", config.train_steps, waits)]
    phases += [("train_steps", config.train_steps, student)] if row.two_optimizers else []
    if row.fixed_teacher and config.teacher_steps:
        first = config.replace(train_steps=config.teacher_steps)
        phases.append(("teacher_steps", config.teacher_steps, {"teacher_warmup_steps": first.in_steps(*waits)}))
    for flag, steps, waited in phases:
        before = sum(waited.values())
        if before >= steps:
            told = " and ".join(f"--{name} ({count})" for name, count in waited.items())
            shorter = " ".join(f"--{name}=0.05" for name, count in waited.items() if count)
            yield (
                f"{told}: expected less than the {steps} of --{flag}, as the learning rate otherwise never reaches its "
                f"peak; give {shorter}, shares of the run, or --{flag}={_multiple(before + 1, config)} or more"
            )


def _multiple(steps, config):
    """The least number of steps from `steps` on that whole calls of the compiled loop make."""
    return -(-steps // config.steps_per_execution) * config.steps_per_execution


def whole_steps(config):
    """A wait, warm-up or ramp is a whole number of steps, or a share of the run below 1."""
    for name in config.SHARES:
        value = getattr(config, name)
        if value >= 1 and value != int(value):
            yield f"--{name}: expected whole steps, or below 1 a share of the run, got {value}"


def batches(config):
    """All the examples of a step can be numbered."""
    examples = config.labeled_batch * config.mu
    if examples > MOST_EXAMPLES:
        yield (
            f"--mu: expected at most {MOST_EXAMPLES // config.labeled_batch} with --labeled_batch="
            f"{config.labeled_batch}, as a step has no more than {MOST_EXAMPLES} unlabeled examples, got {config.mu}"
        )


def networks(config):
    """The networks take the examples of the data set, whose shape is known before it is read."""
    shape = DATASETS[config.dataset].example_shape(config.image_size)
    if config.frozen_backbone and config.backbone_size and len(shape) == 3:
        shape = (config.backbone_size, config.backbone_size, 3)
    for name in ("model", "teacher_model"):
        network = getattr(config, name)
        told = catalogue.network(network).refusal(shape) if network else ""
        if told:
            yield f"--{name}: {told}"


def folders(config):
    """The folders that the data set takes exist, and no others are given; an evaluation needs its test images alone."""
    row = DATASETS[config.dataset]
    spared = not METHODS[config.method].unlabeled or config.unlabeled_source == "labeled"
    spared = spared or config.labels or config.num_labels  # Images of --labeled_dir are unlabeled then.
    optional = {*row.optional, *["unlabeled_dir"] * bool(spared), *["test_dir"] * spared_test(config)}
    for name in ("labeled_dir", "unlabeled_dir", "validation_dir", "test_dir"):
        given = getattr(config, name)
        if given and name not in row.folders:
            takers = " or ".join(row.name for row in DATASETS.values() if name in row.folders)
            yield f"--{name}: goes with --dataset={takers}, got --dataset={config.dataset}"
        needed = config.mode in ("train", "features") or config.scored_on == "validation" or name == "test_dir"
        if needed and name in row.folders and (given or name not in optional):
            more = INSTEAD if name == "test_dir" and config.mode == "train" else ""
            yield from folder(name, given, more, files=config.dataset == "folder")
    if config.skip_bad_images and row.streamed:
        yield (
            f"--skip_bad_images: {config.dataset} reads its images while it trains and cannot leave any out; mend "
            "those that are named"
        )


def labels(config):
    """--labels is a file, and says which images of a folder are labeled."""
    if config.labels and config.dataset != "folder":
        yield f"--labels: goes with --dataset=folder, got --dataset={config.dataset}; leave it out"
    elif config.labels and not storage.is_file(config.labels):
        yield f"--labels: expected a CSV file of columns path,class, found no file {config.labels}"


def resized(config):
    """Images are resized where --resize says how; ImageNet's have crops of their own."""
    row = DATASETS[config.dataset]
    if config.resize != "crop" and (row.shape or row.streamed):
        able = " or ".join(row.name for row in DATASETS.values() if not (row.shape or row.streamed))
        yield f"--resize: {config.resize} goes with --dataset={able}, got --dataset={config.dataset}; leave it out"


def imbalance(config):
    """What makes or makes up for classes of different size needs labels that are known before, and is done once."""
    if config.imbalance > 1 and not DATASETS[config.dataset].thins:
        yield f"--imbalance: goes with --dataset={THINNED}, got --dataset={config.dataset}; leave it out"
    asked = {"class_weights": config.class_weights == "balanced", "balanced_batches": config.balanced_batches}
    for name in (name for name, given in asked.items() if given and DATASETS[config.dataset].streamed):
        yield f"--{name}: {config.dataset} reads its labels while it trains and has near as many of each; leave it out"
    if all(asked.values()):
        yield (
            "--class_weights: balanced makes up for classes of different size, and so does --balanced_batches; leave "
            "one of them out"
        )


def folder(name, given, more="", files=False):
    """A flag names an existing folder of images; with `files` it may name a file that holds many."""
    holds = files and given and str(given).lower().endswith(forms.TARS + forms.ZIPS + forms.TABLES)
    if not given or not (storage.is_dir(given) or (holds and storage.is_file(given))):
        yield f"--{name}: expected an existing folder of images, got {given or 'nothing'}{more}"


# A check, and the flags that it reads.
CHECKS = (
    (steps, ("steps_per_epoch", "train_steps", "teacher_steps", "steps_per_execution")),
    (accumulation, ("labeled_batch", "finetune_batch", "finetune_steps", "accumulate")),
    (batches, ("labeled_batch", "mu")),
    (whole_steps, ("teacher_warmup_steps", "student_wait_steps", "student_warmup_steps", "uda_ramp_steps")),
    (
        schedule,
        ("method", "train_steps", "teacher_steps", "steps_per_execution")
        + ("teacher_warmup_steps", "student_wait_steps", "student_warmup_steps"),
    ),
    (resized, ("dataset", "resize")),
    (views, ("views", "jit_compile", "strategy")),
    (imbalance, ("dataset", "imbalance", "class_weights", "balanced_batches")),
    (networks, ("dataset", "image_size", "model", "teacher_model", "freeze", "backbone_size")),
    (validation, ("dataset", "validation_fraction", "validate_on", "scored_on")),
    (choosing, ("validation_fraction", "validate_on", "scored_on", "keep", "patience")),
    (feedback, ("method", "pseudo_labels", "feedback", "baseline")),
    (
        methods,
        (
            "method",
            "keep_teacher",
            "teacher",
            "store",
            "generations",
            "label_smoothing",
            "ema_decay",
            "reweighting",
            "with_labels",
        ),
    ),
    (
        starts,
        ("method", "init_from", "init_teacher_from", "pretrained", "weights", "teacher", "model", "teacher_model"),
    ),
    (
        frozen,
        ("freeze", "dataset", "model", "teacher_model", "pretrained", "weights", "init_from", "init_teacher_from")
        + ("strategy", "stochastic_depth", "mode", "head_units", "backbone_size", "feature_store", "feature_views"),
    ),
    (
        frozen_in_part,
        ("freeze", "backbone_rate", "pretrained", "weights", "init_from", "init_teacher_from"),
    ),
    (
        mesh,
        ("strategy", "mesh", "remat", "method", "batch_norm_groups", "jit_compile", "views"),
    ),
)
# Of what a mode reads: a finished run is scored, and labels images, where what it was trained on and from is gone.
FOLDERS = (
    folders,
    ("mode", "dataset", "method", "unlabeled_source", "skip_bad_images", "scored_on", "validation_fraction")
    + ("labels", "num_labels"),
)
TRAINING = (FOLDERS, (labels, ("dataset", "labels")), (models, ()))
EXPORTED = ((exported, ("export",)),)
MODE_CHECKS = {
    "train": TRAINING + EXPORTED,
    "features": TRAINING,
    "evaluate": (FOLDERS,),
    "predict": ((predicted, ()),),
    "export": EXPORTED,
}


def problems(config, wrong=()):
    """All that is wrong with a configuration's values in combination.

    Args:
        config: Config.
        wrong: names of the flags whose values are wrong by themselves.
    Returns:
        list of str.
    """
    told = list(unreachable(config))
    for check, names in () if told else CHECKS + MODE_CHECKS.get(config.mode, ()):
        if not set(names) & set(wrong):
            told.extend(check(config))
    return told
