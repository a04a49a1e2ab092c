"""Fixed teachers: trained first, by the labeled data or by UDA, then asked once for all unlabeled examples."""

import dataclasses
import gc
from pathlib import Path

import keras

from mpl_tf import methods
from mpl_tf.base.errors import UsageError
from mpl_tf.models import saved
from mpl_tf.run import export, teacher_labels
from mpl_tf.run.phase import Phase, run_phase
from mpl_tf.settings.catalogue import METHODS

SEED_STEP = 1_000_003  # Between phases, so that no two networks of a run start from the same weights.


def label(config, dataset, devices):
    """Train the fixed teacher of a method (for noisy_student: all generations but the last) and let it label.

    Args:
        config: Config of a method that learns from a fixed teacher.
        dataset: Dataset with unlabeled examples.
        devices: Devices of the run.
    Returns:
        (dataset, paths): the Dataset whose unlabeled examples have targets; dict of role to file of each teacher.
        The workdir gets teacher.keras, generationG.keras and their phases' files.
    Raises:
        UsageError: a --teacher of other examples or classes, a --store that belongs to something else.
        RunError, Interrupted: see phase.run_phase.
    """
    workdir, row = Path(config.workdir), METHODS[config.method]
    first = config.replace(
        method=row.fixed_teacher,
        model=config.teacher_model or config.model,
        stochastic_depth=0.0,
        train_steps=config.teacher_steps or config.train_steps,
        init_from=config.init_teacher_from,
    )
    paths = {"teacher": Path(config.teacher) if config.teacher else workdir / "teacher.keras"}
    if not config.teacher:
        flag = "teacher_steps" if config.teacher_steps else "train_steps"
        _train("teacher", first, dataset, workdir, devices, 1, flag)
    labeled = _with_targets(config, dataset, paths["teacher"], workdir, devices)
    for generation in range(1, config.generations if row.generations else 1):
        name = f"generation{generation}"
        paths[name] = workdir / f"{name}.keras"
        _train(name, config, labeled, workdir, devices, generation + 1, "train_steps")
        labeled = _with_targets(config, dataset, paths[name], workdir, devices)
    return labeled, paths


def _train(name, config, dataset, workdir, devices, number, flag):
    """One phase into WORKDIR/NAME.keras, unless it is there; its networks leave memory."""
    if (workdir / f"{name}.keras").exists():
        return
    keras.utils.set_random_seed((config.seed + number * SEED_STEP) % 2**31)
    with devices.scope():
        method = methods.make(config, dataset.shape, dataset.num_classes, dataset.num_unlabeled)
    run_phase(Phase(name, config.train_steps, config.labeled_batch, flag), method, dataset, config)
    if devices.writes:
        export.save(export.deployable(devices.whole(method.deployed()), dataset), workdir / f"{name}.keras")
    devices.meet()
    del method
    gc.collect()


def _with_targets(config, dataset, teacher, workdir, devices):
    """The Dataset whose unlabeled examples have the distributions of the teacher in that file.

    Of several workers one computes the store, then the others open it.
    """
    belongs = teacher_labels.identity(dataset, teacher)
    folder = Path(config.data_dir) / "teacher_labels" if config.data_dir else workdir
    path = config.store or teacher_labels.default_path(folder, belongs)

    def load():
        model = saved.load(teacher, "teacher")
        found, expected = (model.input_shape[1:], model.output_shape[1:]), (dataset.shape, (dataset.num_classes,))
        if found != expected:
            raise UsageError(
                f"--teacher: expected a network from {expected[0]} to {expected[1][0]} classes for {dataset.name}, "
                f"{teacher} goes from {found[0]} to {found[1][0]}"
            )
        return model

    classes = dataset.num_classes
    if not devices.writes:
        devices.meet()
    targets = teacher_labels.open_or_compute(path, belongs, load, dataset.unlabeled, classes, config.eval_batch)
    if devices.writes:
        devices.meet()
    return dataclasses.replace(dataset, unlabeled=dataclasses.replace(dataset.unlabeled, targets=targets))
