"""A phase of training: Keras' fit() from the newest checkpoint to the last step, with everything it leaves behind."""

import dataclasses
import functools
from typing import NamedTuple

import tensorflow as tf

from mpl_tf.base import storage
from mpl_tf.base.errors import Interrupted
from mpl_tf.data import pipeline
from mpl_tf.run.callbacks import Progress, Saver
from mpl_tf.run.checkpoints import Checkpoints
from mpl_tf.run.copies import Copies
from mpl_tf.run.metrics_csv import MetricsCsv
from mpl_tf.run.publisher import Publisher, meet
from mpl_tf.run.report.reporter import Reporter
from mpl_tf.run.tensorboard import TensorBoard
from mpl_tf.run.validation import Validation, over


@dataclasses.dataclass(frozen=True)
class Phase:
    """A stretch of training with files of its own in the workdir.

    Args:
        name: of its files: NAME.csv (metrics.csv for "train"), checkpoints/NAME and tensorboard/NAME.
        steps: its length, >= 1.
        batch: labeled examples a step over all replicas.
        steps_flag: the flag that gave its length, for messages.
        since: step from which --patience counts; of a run that was made longer, where it went on.
    """

    name: str
    steps: int
    batch: int
    steps_flag: str = "train_steps"
    since: int = 0

    @property
    def chooses(self):
        """Whether its validation scores choose (--keep, --patience): those of the main phase do."""
        return self.name == "train"

    @property
    def metrics_name(self):
        """Name of its file of metrics."""
        return "metrics.csv" if self.name == "train" else f"{self.name}.csv"


class PhaseResult(NamedTuple):
    """What a finished phase tells of itself.

    seconds: of training, over all starts.
    images_per_second: over the same time, labeled and unlabeled examples of all replicas.
    means: dict of quantity to its mean over the phase's steps.
    skipped_steps: how many had gradients that were not finite.
    validated: of a phase with validation examples, dict: trained_steps, fewer than asked for where stopped_early;
        best_step, with best_val_accuracy; student_step, at which the network has the weights that it is left with.
    """

    seconds: float
    images_per_second: float
    means: dict
    skipped_steps: int
    validated: dict = {}


def run_phase(phase, method, dataset, config, report=None):
    """Train a method, going on from its newest checkpoint.

    Args:
        phase: Phase.
        method: compiled Method, as it is at step 0; it trains on the devices it was made for.
        dataset: Dataset.
        config: Config of the run; its steps and batches are not used, the phase has its own.
        report: Report of the run, written at each epoch's end; None: it is not.
    Returns:
        PhaseResult; None where another process writes the files.
    Raises:
        Interrupted: on SIGTERM, after saving; workers that find different checkpoints.
        RunError: a checkpoint that cannot be written or read, ten steps in a row that are not finite, or a file of
            streamed images that cannot be read, after saving the steps before it.
    """
    # Where the phase stands: at its newest checkpoint, the same on all hosts; maybe in the middle of an epoch.
    workdir, devices = storage.path(config.workdir), method.devices
    keep_best = phase.chooses and config.keep == "best"
    checkpoints = Checkpoints(method, workdir / "checkpoints" / phase.name, config.keep_checkpoints, keep_best)
    start = _restore(checkpoints, devices)
    method.within_epoch = start % config.steps_per_epoch > 0
    _take(method, dataset, config)

    images_per_step = phase.batch * (1 + (config.mu if set(method.batch_keys) - pipeline.LABELED_KEYS else 0))
    progress = Progress(phase, start, images_per_step, shown=devices.writes)
    told, metrics, after = _tellers(phase, method, dataset, config, checkpoints, progress, report)

    with Saver(checkpoints, progress, config.save_minutes, metrics, config.steps_per_epoch) as saver:
        for first, last in _segments(start, phase.steps, config.steps_per_epoch):
            # A run that had ended early does so again.
            if over(checkpoints, phase, config, progress.step):
                break
            # Batches are a function of the step: nothing is replayed to come to the first one.
            data = pipeline.training_batches(dataset, config, method.batch_keys, phase.batch, first, last, devices)
            epoch, length = first // config.steps_per_epoch, min(last - first, config.steps_per_epoch)
            try:
                method.fit(
                    data,
                    initial_epoch=epoch,
                    epochs=epoch + (last - first) // length,
                    steps_per_epoch=length,
                    verbose=0,
                    shuffle=False,
                    callbacks=[*told, saver, *after, Publisher(checkpoints, config.workdir)],
                )
            except tf.errors.OpError as error:
                # An image that cannot be read ends the run, but not what was learned before it.
                failure = dataset.failure(error)
                if failure and config.steps_per_execution == 1:  # Else some steps of the call may be done.
                    saver.save()
                raise failure or error from error

    # Before the method gets the best step's variables, as the counts are among them.
    result = _result(phase, method, dataset, config, checkpoints, images_per_step) if devices.writes else None
    if keep_best:
        if storage.is_url(config.workdir):
            meet(devices, config.workdir)
        checkpoints.restore_best()
    return result


def _take(method, dataset, config):
    """Have the method's steps make of a batch that travelled what they read."""
    method.arrival = pipeline.arrival(dataset, config, method.batch_keys)
    method.features = dataset.backbone and functools.partial(dataset.backbone, training=False)


def _tellers(phase, method, dataset, config, checkpoints, progress, report):
    """(callbacks, MetricsCsv or None, callbacks after the saver): who scores an epoch and tells of it, in the order in
    which they are called."""
    told, metrics, workdir = [progress], None, storage.path(config.workdir)

    # A person at the terminal, the table and TensorBoard; of several hosts, one.
    if method.devices.writes:
        metrics = MetricsCsv(workdir / phase.metrics_name, progress.step, int(checkpoints.csv_crc.numpy()))
        folder, pictures = workdir / "tensorboard" / phase.name, report and report.pictures
        told += [metrics, TensorBoard(folder, config if phase.chooses else None, pictures)]

    # Whoever asks the networks shares one copy of each.
    copies = Copies(method, dataset) if report or dataset.validation is not None else None
    if dataset.validation is not None:
        told.insert(0, Validation(method, dataset, config, phase, checkpoints, progress, copies))
    return told, metrics, [Reporter(report, copies, checkpoints, progress)] if report else []


def _result(phase, method, dataset, config, checkpoints, images_per_step):
    """The PhaseResult of a phase that has come to its end, told where that is an early one."""
    # Of all starts, as the checkpoints have summed them up.
    seconds, steps = float(checkpoints.seconds.numpy()), int(checkpoints.step.numpy())
    rate, skipped = images_per_step * steps / seconds, int(method.skipped.numpy()[0])
    if dataset.validation is None:
        return PhaseResult(seconds, rate, checkpoints.means(), skipped)
    best, accuracy = int(checkpoints.best_step.numpy()), float(checkpoints.best_accuracy.numpy())
    validated = {
        "trained_steps": steps,
        "stopped_early": steps < phase.steps,
        "best_step": best,
        "best_val_accuracy": accuracy,
        "student_step": best if checkpoints.keep_best else steps,
    }
    if steps < phase.steps:
        print(
            f"{phase.name} stopped early at step {steps} of {phase.steps}: validation accuracy {accuracy:.4f} at step "
            f"{best}, none better in {config.patience} epochs",
            flush=True,
        )
    return PhaseResult(seconds, rate, checkpoints.means(), skipped, validated)


def _restore(checkpoints, devices):
    """The step to go on from, the same on all workers."""
    start = checkpoints.restore()
    if not devices.same(start):
        raise Interrupted(
            f"--workdir: expected a folder that all workers share, this one finds the checkpoint of step {start} in "
            f"{checkpoints.folder} and others find another; start all again when they find the same, or give one on a "
            "shared disk"
        )
    return start


def _segments(start, steps, epoch):
    """Ranges of steps that fit() takes at a time: the rest of a begun epoch, whole epochs, a last short one."""
    # fit() takes epochs of one length: steps * epochs. A resume or a last epoch may have another.
    whole_from = min(-(-start // epoch) * epoch, steps)
    whole_to = max(steps // epoch * epoch, whole_from)
    points = [start, whole_from, whole_to, steps]
    return [(a, b) for a, b in zip(points, points[1:], strict=False) if a < b]
