"""Checks of what single methods, and meshes, need of their flags; as those of checks.py, which lists them."""

from mpl_tf.base import storage
from mpl_tf.settings import catalogue
from mpl_tf.settings.catalogue import DATASETS, METHODS
from mpl_tf.settings.forms import MESH


def feedback(config):
    """The form of the feedback, in methods that have one, goes with the pseudo labels and the baseline."""
    if "feedback" not in METHODS[config.method].options:
        return
    if config.pseudo_labels == "soft" and config.feedback in ("taylor", "dot_product"):
        yield (
            f"--feedback: {config.feedback} with --pseudo_labels=soft has a gradient of exactly zero at the teacher; "
            "give --feedback=exact or --pseudo_labels=sampled"
        )
    if config.feedback in ("exact", "off") and config.baseline != "none":
        yield (
            f"--baseline: expected none with --feedback={config.feedback}, which has no scalar h to "
            f"subtract it from, got {config.baseline}"
        )


def models(config):
    """Models that are given are there."""
    student = "the student.keras of a finished run"
    for name in ("init_from", "init_teacher_from", "teacher"):
        given = getattr(config, name)
        if given and not storage.is_file(given):
            yield f"--{name}: expected {'' if name == 'teacher' else 'a Keras model, such as '}{student}, got {given}"
    if config.weights and not storage.is_file(config.weights):
        yield f"--weights: expected a .keras, .weights.h5, .h5 or .npz file, got {config.weights}"


def starts(config):
    """The method has a network that takes the weights to start from."""
    row = METHODS[config.method]
    for name in ("init_from", "init_teacher_from"):
        given = getattr(config, name)
        for other in ("pretrained", "weights"):
            if given and getattr(config, other) not in ("none", ""):
                yield f"--{name}: goes without --{other}, got --{other}={getattr(config, other)}; leave one of them out"
    if config.weights and config.pretrained != "none":
        yield f"--weights: goes without --pretrained, got --pretrained={config.pretrained}; leave one of them out"
    rows = [catalogue.network(name) for name in (config.model, config.teacher_model) if name]
    if config.pretrained != "none" and not any(row.pretrained for row in rows):
        takers = ", ".join(row.name for row in catalogue.NETWORKS.values() if row.pretrained)
        yield (
            f"--pretrained: imagenet goes with --model={takers}, keras:NAME and presets of KerasCV that have such "
            f"weights, got {' and '.join(row.name for row in rows)}"
        )
    if len({row.mean for row in rows if not row.library}) > 1:
        yield (
            f"--teacher_model: {config.teacher_model} and --model={config.model} are made for different inputs; give "
            "two networks of one family"
        )
    if config.init_teacher_from and not (len(row.networks) > 1 or row.fixed_teacher):
        takers = ", ".join(row.name for row in METHODS.values() if len(row.networks) > 1 or row.fixed_teacher)
        yield f"--init_teacher_from: goes with {takers}, got --method={config.method}"
    if config.init_teacher_from and config.teacher:
        yield f"--init_teacher_from: no teacher is trained where --teacher={config.teacher} is given; leave one out"


def frozen(config):
    """What goes with --freeze=backbone, and with it alone."""
    if not config.frozen_backbone:
        for flag in (name for name in ("head_units", "backbone_size", "feature_store") if getattr(config, name)):
            yield f"--{flag}: goes with --freeze=backbone, got --freeze={config.freeze}"
        if config.mode == "features":
            yield f"--freeze: features are those of --freeze=backbone, got --freeze={config.freeze}"
        return
    if config.pretrained == "none" and not config.weights:
        yield "--freeze: backbone needs a pretrained network, got no weights; give --weights=FILE or --pretrained"
    if DATASETS[config.dataset].example_shape(1)[2:] != (3,):
        yield f"--freeze: backbone goes with data sets of images, got --dataset={config.dataset}"
    for name in ("teacher_model", "init_from", "init_teacher_from", "stochastic_depth"):
        if getattr(config, name):
            yield f"--{name}: goes without --freeze=backbone, got {getattr(config, name)}; leave one of them out"
    if config.strategy == "dtensor":
        yield "--strategy: dtensor goes without --freeze=backbone; give another strategy"
    weak, strong = config.view_counts()
    if strong and not weak:
        yield f"--feature_views: expected at least one weak view, got {config.feature_views}; give 1,{strong}"
    if config.feature_store and storage.is_file(config.feature_store):
        yield f"--feature_store: expected a folder, {config.feature_store} is a file"
    if config.mode == "features" and not (config.feature_store and weak):
        yield (
            "--feature_store: features are computed into --feature_store=DIR, with --feature_views of at least 1,0, "
            f"got {config.feature_store or 'no folder'} and {config.feature_views}"
        )


def frozen_in_part(config):
    """--freeze=batch_norm has statistics to keep, --backbone_rate weights to slow down."""
    started = config.pretrained != "none" or config.weights or config.init_from or config.init_teacher_from
    if config.freeze == "batch_norm" and not started:
        yield (
            "--freeze: batch_norm keeps the statistics of a pretrained network, got no weights; give --pretrained, "
            "--weights=FILE or --init_from=FILE"
        )
    if config.frozen_backbone and config.backbone_rate != 1:
        yield (
            f"--backbone_rate: --freeze=backbone trains the classifier alone, expected 1, got {config.backbone_rate}; "
            "leave one of them out"
        )


def mesh(config):
    """What goes with --strategy=dtensor, and with it alone."""
    if config.strategy != "dtensor":
        if config.mesh:
            yield f"--mesh: goes with --strategy=dtensor, got --strategy={config.strategy}"
        if config.remat == "layer":
            yield f"--remat: layer goes with --strategy=dtensor, got --strategy={config.strategy}; give --remat=block"
        return
    if not config.mesh:
        yield f"--mesh: expected {MESH.words} with --strategy=dtensor, got nothing"
    if not METHODS[config.method].mesh:
        able = ", ".join(row.name for row in METHODS.values() if row.mesh)
        yield f"--method: expected one of {able} with --strategy=dtensor, got {config.method}"
    for name, expected in (("batch_norm_groups", 1), ("jit_compile", False), ("views", "host")):
        given = getattr(config, name)
        if given != expected:
            yield f"--{name}: expected {expected} with --strategy=dtensor, got {given}"


def views(config):
    """Where views are made, there are the operations that make them."""
    compiled = "--jit_compile" if config.jit_compile else "--strategy=tpu" if config.strategy == "tpu" else ""
    if config.views == "device" and compiled:
        yield f"--views: device makes views by operations that XLA has not, expected host with {compiled}, got device"


def methods(config):
    """What single methods need of their flags."""
    row = METHODS[config.method]
    for name in ("teacher", "store"):
        if getattr(config, name) and not row.fixed_teacher:
            *takers, last = (row.name for row in METHODS.values() if row.fixed_teacher)
            yield f"--{name}: goes with {', '.join(takers)} and {last}, got --method={config.method}"
    if config.keep_teacher and not ("teacher" in row.networks or row.fixed_teacher):
        takers = ", ".join(row.name for row in METHODS.values() if "teacher" in row.networks or row.fixed_teacher)
        yield f"--keep_teacher: goes with {takers}, got --method={config.method}"
    if config.store and config.generations > 1:
        yield (
            "--store: one file cannot hold the labels of several teachers, got --generations="
            f"{config.generations}; leave --store out"
        )
    if row.generations and config.generations < 1:
        yield (
            f"--generations: {row.name} needs at least 1 generation of students, got {config.generations}; "
            "give 1 or more, or --method=supervised for the teacher alone"
        )
    if config.method == "label_smoothing" and not config.label_smoothing:
        yield (
            "--label_smoothing: label_smoothing needs more than 0, got 0; give --label_smoothing=0.15, "
            "or --method=supervised"
        )
    if config.method == "mean_teacher" and not config.ema_decay:
        yield (
            "--ema_decay: mean_teacher's teacher is the average of the weights, expected more than 0, got 0; "
            "give --ema_decay=0.99"
        )
    if config.method == "meta_semi" and config.reweighting == "constant" and not config.with_labels:
        yield (
            "--with_labels: meta_semi with --reweighting=constant sees labels in its loss alone, expected true, "
            "got false; give --with_labels, or --reweighting=sign"
        )
