"""A run whose workdir is in a bucket: when what it has left on the disk goes there, and how the other hosts find it."""

import keras

from mpl_tf.base import storage
from mpl_tf.base.storage import mirror


class Publisher(keras.callbacks.Callback):
    """Publishes the workdir after each checkpoint, the epoch's table and report being written too; called last.

    Args:
        checkpoints: Checkpoints of the phase.
        workdir: as --workdir gives it; nothing is done for one on a disk.
    """

    def __init__(self, checkpoints, workdir):
        super().__init__()
        self.checkpoints, self.workdir = checkpoints, workdir
        self.active = storage.is_url(workdir) and checkpoints.writes
        self.step = int(checkpoints.step.numpy())

    def on_train_batch_end(self, batch, logs=None):
        """One that was saved within an epoch."""
        if self.active and batch + 1 < self.params["steps"] and int(self.checkpoints.step.numpy()) != self.step:
            self._publish()

    def on_epoch_end(self, epoch, logs=None):
        """That of the epoch's end."""
        if self.active:
            self._publish()

    def _publish(self):
        self.step = int(self.checkpoints.step.numpy())
        mirror.publish(self.workdir)


def meet(devices, workdir):
    """Wait until all hosts have come here; then each finds in the workdir what the first host had left there.

    Args:
        devices: Devices of the run.
        workdir: as --workdir gives it.
    """
    if devices.writes and devices.hosts > 1:
        mirror.publish(workdir, wait=True)
    devices.meet()
    if not devices.writes:
        mirror.refresh(workdir)
