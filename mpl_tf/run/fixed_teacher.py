"""Fixed teachers: trained first, by the labeled data or by UDA, then asked once for all unlabeled examples."""

import dataclasses
import gc

import keras

from mpl_tf import methods
from mpl_tf.base import console, storage
from mpl_tf.base.errors import UsageError
from mpl_tf.models import saved
from mpl_tf.run import export, teacher_labels
from mpl_tf.run.phase import Phase, run_phase
from mpl_tf.run.publisher import meet
from mpl_tf.settings.catalogue import METHODS

SEED_STEP = 1_000_003  # Between phases, so that no two networks of a run start from the same weights.


def label(config, dataset, devices):
    """Train the fixed teacher of a method (for noisy_student: all generations but the last) and let it label.

    Args:
        config: Config of a method that learns from a fixed teacher.
        dataset: Dataset with unlabeled examples.
        devices: Devices of the run.
    Returns:
        (dataset, teacher_files): the Dataset whose unlabeled examples have targets; dict of role to teacher's path.
        The workdir gets teacher.keras, generationG.keras and their phases' files.
    Raises:
        UsageError: a --teacher of other examples or classes, a --store that belongs to something else.
        RunError, Interrupted: see phase.run_phase.
    """
    row, workdir = METHODS[config.method], storage.path(config.workdir)

    # The teacher is trained by another method; stochastic depth is the student's noise alone.
    teacher_config = config.replace(
        method=row.fixed_teacher,
        model=config.teacher_model or config.model,
        stochastic_depth=0.0,
        train_steps=config.teacher_steps or config.train_steps,
        init_from=config.init_teacher_from,
        weights=config.weights if config.teacher_model in ("", config.model) else "",  # Those of --model's network.
    )
    teacher_files = {"teacher": teacher_labels.first_teacher_file(config)}
    if not config.teacher:
        flag = "teacher_steps" if config.teacher_steps else "train_steps"
        phase = Phase("teacher", teacher_config.train_steps, config.labeled_batch, flag)
        _train(phase, 1, teacher_config, dataset, devices)
    labeled = _with_targets(config, dataset, teacher_files["teacher"], devices)

    # Of Noisy Student's generations the last is the run's main phase, the ones before are teachers in their turn.
    for generation in range(1, config.generations if row.generations else 1):
        phase = Phase(f"{teacher_labels.GENERATION}{generation}", config.train_steps, config.labeled_batch)
        teacher_files[phase.name] = workdir / f"{phase.name}.keras"
        _train(phase, generation + 1, config, labeled, devices)
        labeled = _with_targets(config, dataset, teacher_files[phase.name], devices)
    return labeled, teacher_files


def _train(phase, number, config, dataset, devices):
    """A phase into WORKDIR/NAME.keras, unless it is there as it was written; its networks leave memory.

    Args:
        phase: Phase.
        number: of the phase in the run, from 1, for its seed.
        config: Config of the method that it trains by.
        dataset: Dataset.
        devices: Devices of the run.
    """
    path = storage.path(config.workdir) / f"{phase.name}.keras"
    damage = saved.damaged(path)
    if damage is None:
        return
    # A file that was damaged since is made again by the same way: from the phase's last checkpoint, where that is left.
    if devices.writes and path.exists():
        console.tell(f"{path} is not as it was written ({damage}); it is made again")
    keras.utils.set_random_seed((config.seed + number * SEED_STEP) % 2**31)
    with devices.scope():
        method = methods.make(config, dataset.input_shape, dataset.num_classes, **dataset.facts)
    run_phase(phase, method, dataset, config)
    if devices.writes:
        export.save(export.deployable(devices.whole(method.deployed()), dataset), path, dataset.class_names)
    meet(devices, config.workdir)  # The others read the file.

    # The next phase's networks take the memory of these, which Keras holds in circles of references.
    del method
    gc.collect()


def _with_targets(config, dataset, teacher_file, devices):
    """The Dataset whose unlabeled examples have the distributions of the teacher in that file."""
    # Beside the data other runs find what this one computes: its name says whose it is.
    belongs = teacher_labels.identity(dataset, teacher_file)
    folder = storage.path(config.data_dir) / "teacher_labels" if config.data_dir else storage.path(config.workdir)
    path = config.store or teacher_labels.default_path(folder, belongs)

    def load():
        with devices.scoring():
            model = saved.load(teacher_file, "teacher")
        found, expected = (model.input_shape[1:], model.output_shape[1:]), (dataset.shape, (dataset.num_classes,))
        if found != expected:
            raise UsageError(
                f"--teacher: expected a network from {expected[0]} to {expected[1][0]} classes for {dataset.name}, "
                f"{teacher_file} goes from {found[0]} to {found[1][0]}"
            )
        return model

    # Of several hosts one computes the labels; the others come here when it is done, and open them.
    classes = dataset.num_classes
    if not devices.writes:
        meet(devices, config.workdir)
    targets = teacher_labels.open_or_compute(path, belongs, load, dataset.unlabeled, classes, config.eval_batch)
    if devices.writes:
        meet(devices, config.workdir)
    return dataclasses.replace(dataset, unlabeled=dataclasses.replace(dataset.unlabeled, targets=targets))
