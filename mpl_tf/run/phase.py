"""A phase of training: Keras' fit() from the newest checkpoint to the last step, with everything it leaves behind."""

from pathlib import Path

import keras
import tensorflow as tf

from mpl_tf.base.errors import Interrupted
from mpl_tf.data import pipeline
from mpl_tf.devices import distribute
from mpl_tf.run.callbacks import Progress, Saver
from mpl_tf.run.checkpoints import Checkpoints
from mpl_tf.run.metrics_csv import Table


def run_phase(name, method, dataset, config, workdir, strategy, flag="train_steps"):
    """Train a method, going on from its newest checkpoint.

    Args:
        name: of the phase; its files are WORKDIR/NAME.csv (metrics.csv for "train"), checkpoints/NAME and
            tensorboard/NAME.
        method: compiled Method, as it is at step 0.
        dataset: Dataset.
        config: Config; train_steps and labeled_batch are those of the phase.
        workdir: the run's folder.
        strategy: tf.distribute.Strategy the method was made under.
        flag: the flag that gave the phase its steps, for messages.
    Returns:
        dict: seconds of training over all starts, images_per_second, means of the logged quantities over the phase,
        skipped_steps; None where another process writes the files.
    Raises:
        Interrupted: on SIGTERM, after saving; workers that find different checkpoints.
        RunError: a checkpoint that cannot be written or read, ten steps in a row that are not finite, or a file of
            streamed images that cannot be read, after saving the steps before it.
    """
    workdir, steps, batch = Path(workdir), config.train_steps, config.labeled_batch
    writes = distribute.writes(strategy)
    checkpoints = Checkpoints(method, workdir / "checkpoints" / name, config.keep_checkpoints, writes)
    start = _restore(checkpoints, strategy)
    method.within_epoch = start % config.steps_per_epoch > 0
    images = batch * (1 + (config.mu if set(method.batch_keys) - pipeline.LABELED_KEYS else 0))
    progress = Progress(name, start, steps, images, flag, shown=writes)
    tables = []
    if writes:
        table = Table(workdir / ("metrics.csv" if name == "train" else f"{name}.csv"), start)
        tables = [table, keras.callbacks.TensorBoard(workdir / "tensorboard" / name, write_graph=False)]
    with Saver(checkpoints, progress) as saver:
        for first, last in _segments(start, steps, config.steps_per_epoch):
            data = pipeline.training_batches(dataset, config, method.batch_keys, batch, first, last, strategy)
            epoch, length = first // config.steps_per_epoch, min(last - first, config.steps_per_epoch)
            try:
                method.fit(
                    data,
                    initial_epoch=epoch,
                    epochs=epoch + (last - first) // length,
                    steps_per_epoch=length,
                    verbose=0,
                    shuffle=False,
                    callbacks=[progress, *tables, saver],
                )
            except tf.errors.OpError as error:
                failure = dataset.failure(error)
                if failure and config.steps_per_execution == 1:  # Else some steps of the call may be done.
                    saver.on_epoch_end(epoch)
                raise failure or error from error
    if not writes:
        return None
    seconds = float(checkpoints.seconds.numpy())
    skipped = int(method.skipped.numpy()[0])
    rate = images * steps / seconds
    return {"seconds": seconds, "images_per_second": rate, "means": table.means(), "skipped_steps": skipped}


def _restore(checkpoints, strategy):
    """The step to go on from, the same on all workers."""
    start = checkpoints.restore()
    if not distribute.same(strategy, start):
        raise Interrupted(
            f"--workdir: expected a folder that all workers share, this one finds the checkpoint of step {start} in "
            f"{checkpoints.folder} and others find another; start all again when they find the same, or give one on a "
            "shared disk"
        )
    return start


def _segments(start, steps, epoch):
    """Ranges of steps that fit() takes at a time: the rest of a begun epoch, whole epochs, a last short one."""
    whole_from = min(-(-start // epoch) * epoch, steps)
    whole_to = max(steps // epoch * epoch, whole_from)
    points = [start, whole_from, whole_to, steps]
    return [(a, b) for a, b in zip(points, points[1:], strict=False) if a < b]
