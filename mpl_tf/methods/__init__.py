"""Training methods by the names of the catalogue (settings/catalogue), and how each is made from a configuration."""

import keras
import tensorflow as tf

from mpl_tf import models
from mpl_tf.base.errors import UsageError
from mpl_tf.data import imbalance
from mpl_tf.devices import distribute
from mpl_tf.methods.supervised import Supervised
from mpl_tf.models import pretrained, saved, weights
from mpl_tf.models.head import head
from mpl_tf.models.layers import BatchNorm
from mpl_tf.settings import catalogue
from mpl_tf.step.optimizer import SGD, learning_rate_schedule


def check_data(name, dataset):
    """Raise UsageError if the method needs unlabeled examples or random weak views and the data set has none."""
    row = catalogue.METHODS[name]
    if row.unlabeled and dataset.unlabeled is None:
        raise UsageError(
            f"--{'unlabeled_dir' if dataset.name == 'folder' else 'num_labels'}: {name} needs unlabeled examples, "
            f"{dataset.name} has none left; give fewer labels, --unlabeled_source=labeled or --method=supervised"
        )
    if "x_u_weak_2" in row.resolve().batch_keys and len(dataset.shape) == 1:
        raise UsageError(
            f"--method: {name} needs two weak views that differ, points (here {dataset.name}) have only one; "
            "give --method=uda, which adds noise to one of its views"
        )


def check_models(config, names):
    """Raise UsageError where a model that a flag of these names gives is damaged; none is opened."""
    for name in names:
        if getattr(config, name):
            saved.check(getattr(config, name), name)


def count_weights(config, shape, num_classes):
    """Weights of the network to be trained, in all; lays it and a --teacher_model out once, to refuse unfit ones early.

    In a graph of its own, where variables take no memory.

    Raises:
        UsageError: a network that is unknown or cannot take such examples; a model to start from that does not fit,
            which some methods come to only after their teacher is trained.
        RunError: --pretrained weights that cannot be downloaded.
    """
    roles = ("teacher", "student") if config.teacher_model else ("student",)
    if config.pretrained != "none" and not config.frozen_backbone:
        for name in {_model(config, role)[1] for role in roles}:
            pretrained.fetch(name)
    with tf.Graph().as_default():
        networks = [_network(config, role, shape, num_classes) for role in roles]
    for flag, network in (("init_from", networks[-1]), ("init_teacher_from", networks[0])):
        if getattr(config, flag):
            saved.check_start(network, getattr(config, flag), flag)
    return networks[-1].count_params()


def make(config, shape, num_classes, num_unlabeled=0, class_prior=None, normalisation=None, kind=None, stretches=()):
    """The configured method on new networks, compiled.

    Args:
        config: Config.
        shape: of one example.
        num_classes: number of logits.
        num_unlabeled: of examples; methods whose batches hold the examples' numbers (`i_u`) are told.
        class_prior: shares of the classes in the labeled set, list of num_classes floats; None: not known. Methods that
            balance classes are told, unless --class_prior=uniform, and --class_weights are made of them.
        normalisation: of the images, as models.build takes it; networks of libraries are told.
        kind: class to make in the place of the configured method's, a subclass of it; None: its own.
        stretches: of a run that was made longer, pairs of a first and a last step (run/longer.py): shares of the run
            are of the first one, each has a cosine of its own. Empty: one of config.train_steps.
    Raises:
        UsageError: unknown method or model, or a model that cannot take such examples or has no --pretrained weights.
        RunError: --pretrained weights that cannot be downloaded.
        Both: see `start`.
    """
    row = catalogue.find(catalogue.METHODS, config.method, "method")

    # New networks in the order of the roles: the same seed gives them the same weights.
    networks = {role: _network(config, role, shape, num_classes, normalisation) for role in row.networks}
    for role, network in networks.items():
        name = _model(config, role)[1]
        if not config.frozen_backbone:
            start(network, name, config)
        if name.endswith("_imagenet") and not _starts_from(config, role, name):
            print(f"{name} starts anew: its weights come with --pretrained=imagenet alone", flush=True)
    for role, network in networks.items():
        flag = "init_teacher_from" if role == "teacher" and len(networks) > 1 else "init_from"
        if getattr(config, flag):
            saved.start_from(network, getattr(config, flag), flag)

    # A method is told the flags that its row names, and of the data only what it has to remember.
    kind = kind or row.resolve()
    stretches = stretches or ((0, config.train_steps),)
    first = config.replace(train_steps=stretches[0][1])
    options = {name: first.option(name) for name in row.options}
    if "i_u" in kind.batch_keys:
        options["num_unlabeled"] = num_unlabeled
    if {"balance_weight", "balance_classes"} & set(row.options):
        options["class_prior"] = class_prior if config.class_prior == "labeled" else None
    weights_of_classes = _class_weights(config, class_prior)
    method = kind(**networks, **options, ema_decay=config.ema_decay, seed=config.seed, class_weights=weights_of_classes)

    method.compile(
        **_optimizers(row, config, first, stretches),
        weight_decay=config.weight_decay,
        clip_norm=config.clip_norm,
        accumulate=config.accumulate,
        backbone_rate=config.backbone_rate,
        remat=_remat(config),
        steps_per_execution=config.steps_per_execution,
        jit_compile=distribute.jit_compile(config.jit_compile),
    )
    return method.devices.place(method)


def start(network, name, config):
    """Give a new network of that name its --pretrained weights, if it has such, or those of --weights, the --model's.

    Raises:
        UsageError, RunError: see models/pretrained.py and models/weights.py.
    """
    if config.pretrained == "imagenet" and catalogue.network(name).pretrained:
        pretrained.load(network, name)
    if config.weights and name == config.model:
        weights.load(network, name, config.weights)


def _class_weights(config, class_prior):
    """--class_weights of a labeled set with these shares of the classes: list of floats, or None."""
    balanced = config.class_weights == "balanced" and class_prior is not None
    return imbalance.balanced_weights(class_prior) if balanced else None


def make_finetune(network, config, class_prior=None):
    """The finetuning phase: plain SGD at a fixed rate on the labeled data (paper section 3.2); class_prior as above."""
    class_weights = _class_weights(config, class_prior)
    method = Supervised(network, ema_decay=0.0, seed=config.seed, class_weights=class_weights)
    options = {"accumulate": config.accumulate, "backbone_rate": config.backbone_rate, "remat": _remat(config)}
    method.compile(SGD(config.finetune_learning_rate), weight_decay=0.0, **options)
    return method.devices.place(method)


def _remat(config):
    """--remat as compile() takes it: layers that compute again are the mesh's own."""
    return "block" if config.remat == "block" else "none"


def _network(config, role, shape, num_classes, normalisation=None):
    """A new network for a role."""
    if config.frozen_backbone:
        return head(shape, num_classes, config.dropout, config.head_units)
    flag, name = _model(config, role)
    rates, layers = (config.dropout, config.stochastic_depth), distribute.current().layers
    network = models.build(name, shape, num_classes, *rates, flag=flag, layers=layers, normalisation=normalisation)
    norms = [layer for layer in network._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]
    for layer in norms:
        if isinstance(layer, BatchNorm):
            layer.groups = config.batch_norm_groups
        elif config.batch_norm_groups > 1:
            raise UsageError(
                f"--batch_norm_groups: expected 1 with {name}, whose layer {layer.name} takes the statistics of all "
                f"replicas, got {config.batch_norm_groups}"
            )
    if config.freeze == "batch_norm" and _starts_from(config, role, name):
        if not norms:
            raise UsageError(
                f"--freeze: batch_norm goes with networks that have batch norm, {name} has none; leave it out"
            )
        for layer in norms:
            layer.trainable = False  # Keras then takes the moving statistics, in training too.
    return network


def _starts_from(config, role, name):
    """Whether the network `name` of a role starts from weights that a flag gives."""
    of_role = config.init_teacher_from if role == "teacher" else config.init_from
    downloaded = config.pretrained != "none" and catalogue.network(name).pretrained
    return bool(downloaded or of_role or (config.weights and name == config.model))


def _model(config, role):
    """Flag and name of a role's network: --teacher_model for the teacher where it is given, else --model."""
    flag = "teacher_model" if role == "teacher" and config.teacher_model else "model"
    return flag, getattr(config, flag)


def _optimizers(row, config, first, stretches):
    """The optimizers that compile() takes, by name; `first` is the Config that the run began as."""
    # The teacher's rate is also that of a method's only network.
    teacher = _sgd(config, config.teacher_learning_rate, stretches, 0, first.in_steps("teacher_warmup_steps"))
    if not row.two_optimizers:
        return {"optimizer": teacher}
    wait, warmup = first.in_steps("student_wait_steps"), first.in_steps("student_warmup_steps")
    student = _sgd(config, config.student_learning_rate, stretches, wait, warmup)
    return {"optimizer": student, "teacher_optimizer": teacher}


def _sgd(config, rate, stretches, wait, warmup):
    """The run's SGD: the base rate scaled by the batch, then waiting, warm-up and decay in steps of the whole run."""
    if config.learning_rate_batch:
        rate *= config.labeled_batch / config.learning_rate_batch
    schedule = learning_rate_schedule(rate, config.schedule, stretches, wait, warmup)
    return SGD(schedule, momentum=config.momentum, nesterov=config.momentum > 0)
