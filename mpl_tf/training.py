"""A phase of training: Keras' fit() from the newest checkpoint to the last step, with everything it leaves behind."""

from pathlib import Path

import keras

from mpl_tf.callbacks import Progress, Saver
from mpl_tf.checkpoints import Checkpoints
from mpl_tf.data import pipeline
from mpl_tf.table import Table


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
        skipped_steps.
    Raises:
        Interrupted: on SIGTERM, after saving.
        RunError: a checkpoint that cannot be written or read, or ten steps in a row that are not finite.
    """
    workdir, steps, batch = Path(workdir), config.train_steps, config.labeled_batch
    checkpoints = Checkpoints(method, workdir / "checkpoints" / name, config.keep_checkpoints)
    start = checkpoints.restore()
    method.within_epoch = start % config.steps_per_epoch > 0
    table = Table(workdir / ("metrics.csv" if name == "train" else f"{name}.csv"), start)
    images = batch * (1 + (config.mu if set(method.batch_keys) - pipeline.LABELED_KEYS else 0))
    progress = Progress(name, start, steps, images, flag)
    with Saver(checkpoints, progress) as saver:
        for first, last in _segments(start, steps, config.steps_per_epoch):
            data = pipeline.training_batches(dataset, config, method.batch_keys, batch, first, last, strategy)
            epoch, length = first // config.steps_per_epoch, min(last - first, config.steps_per_epoch)
            method.fit(
                data,
                initial_epoch=epoch,
                epochs=epoch + (last - first) // length,
                steps_per_epoch=length,
                verbose=0,
                shuffle=False,
                callbacks=[
                    progress,
                    table,
                    saver,
                    keras.callbacks.TensorBoard(workdir / "tensorboard" / name, write_graph=False),
                ],
            )
    seconds = float(checkpoints.seconds.numpy())
    skipped = int(method.skipped.numpy()[0])
    rate = images * steps / seconds
    return {"seconds": seconds, "images_per_second": rate, "means": table.means(), "skipped_steps": skipped}


def _segments(start, steps, epoch):
    """Ranges of steps that fit() takes at a time: the rest of a begun epoch, whole epochs, a last short one."""
    whole_from = min(-(-start // epoch) * epoch, steps)
    whole_to = max(steps // epoch * epoch, whole_from)
    points = [start, whole_from, whole_to, steps]
    return [(a, b) for a, b in zip(points, points[1:], strict=False) if a < b]
