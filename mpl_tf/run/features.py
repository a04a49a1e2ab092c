"""A data set as a frozen network shows it: --freeze=backbone."""

import dataclasses

from mpl_tf import data, methods, models
from mpl_tf.base import kept
from mpl_tf.base.errors import UsageError
from mpl_tf.data import Source, pipeline
from mpl_tf.data.own_images import OwnImages
from mpl_tf.data.stored import Stored
from mpl_tf.devices import choice
from mpl_tf.models import frozen
from mpl_tf.run.extraction import KINDS, Extraction
from mpl_tf.run.publisher import meet
from mpl_tf.settings.catalogue import METHODS


def backbone(config, dataset):
    """The frozen network of a run, in float32; None without --freeze=backbone.

    Args:
        config: Config.
        dataset: Dataset of images.
    Raises:
        UsageError, RunError: weights that cannot be read or do not fit; a network without features.
    """
    if not config.frozen_backbone:
        return None
    # Of runs that differ in their seed alone it is the same.
    flags = dataclasses.replace(config, seed=0, workdir="")
    key = ("backbone", repr(flags), dataset.shape, dataset.num_classes, repr(dataset.normalisation()))
    return kept.once(key, lambda: _backbone(config, dataset))


def _backbone(config, dataset):
    """As `backbone`, of a run that has one."""
    shape = (config.backbone_size, config.backbone_size, 3) if config.backbone_size else dataset.shape
    network = models.build(config.model, shape, dataset.num_classes, normalisation=dataset.normalisation())
    methods.start(network, config.model, config)
    return frozen.backbone(network, dataset.shape, *dataset.normalisation())


def whole(backbone, student, dataset):
    """The student as it is exported: from images on.

    Args:
        backbone: as `backbone` returns it.
        student: deployable keras.Model (export.deployable) of what `dataset` holds.
        dataset: Dataset that the run trained on.
    """
    return frozen.whole(backbone, student) if isinstance(dataset.labeled, Stored) else student


def of(dataset, backbone, config, devices, kinds=None):
    """The data set as a frozen network shows it: its examples' features, or with --feature_views=0,0 itself.

    Args:
        dataset: Dataset of images.
        backbone: as `backbone` returns it.
        config: Config.
        devices: Devices that compute what is not in the store yet.
        kinds: those of KINDS to have; None: those that the method's phases ask for.
    Returns:
        Dataset.
    Raises:
        UsageError: views that the method needs are not among --feature_views, images that are streamed, a store in use
            by another process.
        RunError: the store cannot be written.
    """
    counts = dict(zip(("weak", "strong"), config.view_counts(), strict=True)) | {"plain": 1}
    unscaled = {"mean": (0.0,) * 3, "std": (1 / 255,) * 3}  # The backbone takes pixels in [0, 255].
    if not counts["weak"]:
        return dataclasses.replace(dataset, **unscaled, backbone=backbone)
    kinds = [kind for kind in kinds if counts[kind]] if kinds else _asked(config, counts)
    parts, scored = _parts(dataset, config)
    if not all(isinstance(part, Source | OwnImages) for part in [*parts, *scored]):
        raise UsageError(
            f"--feature_views: {dataset.name} reads its images while it trains, expected 0,0, got "
            f"{config.feature_views}"
        )

    # Of several hosts one computes; the others come here when it is done, and open what it has computed.
    if not devices.writes:
        meet(devices, config.workdir)
    training = Extraction(dataset, parts, backbone, config, devices)
    views = {kind: training.view(kind, counts[kind]) for kind in kinds}
    shown = []
    for part in scored:
        own = training if _among(part, parts) else Extraction(dataset, [part], backbone, config, devices)
        shown.append(own.stored(part, {"plain": own.view("plain", 1)}))
    if devices.writes:
        meet(devices, config.workdir)
    changed = {
        name: training.stored(getattr(dataset, name), views)
        for name in ("labeled", "unlabeled", "held_out")
        if getattr(dataset, name) is not None
    }
    # A part that stands in two places, as with --scored_on=validation, does so here.
    for name in ("validation", "test"):
        same = (stored for stored, part in zip(shown, scored, strict=True) if part is getattr(dataset, name))
        changed[name] = next(same, None)
    return dataclasses.replace(dataset, **changed, mean=None, std=None)


def _parts(dataset, config):
    """(training, scored): the parts whose images are one pool, and the different ones that networks are scored on.

    Validation images are among the training images, unless they lie in a folder of their own.
    """
    training = [dataset.labeled, dataset.unlabeled, dataset.held_out, dataset.unused]
    if not config.validation_dir:
        training.append(dataset.validation)
    found = []
    for parts in (training, [dataset.test, dataset.validation]):
        different = []
        for part in parts:
            if part is not None and not _among(part, different):
                different.append(part)
        found.append(different)
    return found


def _among(part, parts):
    return any(part is one for one in parts)


def compute(config):
    """--mode=features: compute all kinds of features that runs on this data set may ask of --feature_store.

    Args:
        config: Config.
    Returns:
        What was done, in a line.
    Raises:
        UsageError, RunError: see `of`.
    """
    choice.check_accelerator(config.scale, config.strategy, config.allow_cpu)
    devices, dataset = choice.make_devices(config.strategy), data.load(config)
    with devices.peers(), devices.scope():
        of(dataset, backbone(config, dataset), config, devices, KINDS)
    return f"the features are in {config.feature_store}"


def _asked(config, counts):
    """The kinds of views that the phases of a run ask for; raises UsageError where --feature_views has none of one."""
    row = METHODS[config.method]
    names = [config.method, "supervised", *([row.fixed_teacher] if row.fixed_teacher else [])]
    keys = {key for name in names for key in METHODS[name].resolve().batch_keys}
    kinds = {pipeline.VIEWS[key][1] for key in keys if key in pipeline.VIEWS}
    for kind in sorted(kind for kind in kinds if not counts[kind]):
        raise UsageError(
            f"--feature_views: {config.method} learns from {kind} views, expected at least 1, got "
            f"{config.feature_views}; give 2,8, or 0,0 for views made in each step"
        )
    # A fixed teacher labels each image as it is, and so does the report look at unlabeled ones.
    plain = row.fixed_teacher or (config.report and row.unlabeled)
    return sorted(kinds | {"plain"} if plain else kinds)
