"""Checkpoints of a phase: all variables of its method, its step and its seconds, the newest few kept.

Keras' BackupAndRestore keeps one backup and trusts it; tf.train.CheckpointManager keeps several and its files carry
checksums, so that a damaged one is noticed and the one before it used.
"""

import shutil
import sys
from pathlib import Path

import tensorflow as tf

from mpl_tf.base.errors import RunError, reason


class Checkpoints:
    """Save and restore a method in a folder.

    Args:
        method: compiled Method.
        folder: where the checkpoints lie.
        keep: how many of the newest are kept.

    Attributes:
        writes: whether this process writes them; of several workers, which share the folder, only the chief does.
    """

    def __init__(self, method, folder, keep):
        self.method, self.folder, self.writes = method, Path(folder), method.devices.writes
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.seconds = tf.Variable(0.0, dtype=tf.float64, trainable=False)
        self._checkpoint = tf.train.Checkpoint(step=self.step, seconds=self.seconds, **method.state())
        self._manager = tf.train.CheckpointManager(self._checkpoint, str(folder), max_to_keep=keep)

    def restore(self):
        """Restore the newest checkpoint that can be read; nothing is done where there is none.

        Returns:
            The step to go on from, 0 for a new run.
        Raises:
            RunError: there are checkpoints and none can be read.
        """
        for path in reversed(self._manager.checkpoints):
            try:
                self._checkpoint.restore(path).assert_consumed()
                return int(self.step.numpy())
            except (tf.errors.OpError, ValueError, AssertionError) as error:
                print(f"mpl_tf: {path} is damaged and left out ({reason(error)})", file=sys.stderr, flush=True)
        if self._manager.checkpoints:
            raise RunError(
                f"{self.folder}: expected a readable checkpoint, all {len(self._manager.checkpoints)} are "
                "damaged; delete this folder to train from the start"
            )
        return 0

    def save(self, step, seconds):
        """Write a checkpoint after `step` steps and `seconds` seconds of training; not where another process does.

        Raises:
            RunError: it cannot be written; the ones before it stay.
        """
        self.step.assign(step)
        self.seconds.assign(seconds)
        try:
            with self.method.devices.gathered(self.method):
                if self.writes:
                    self._manager.save(checkpoint_number=step)
        except (tf.errors.OpError, OSError) as error:
            for leftover in [*self.folder.glob(f"ckpt-{step}.*"), *self.folder.glob(f"ckpt-{step}_*")]:
                shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
            raise RunError(
                f"{self.folder}: expected to write the checkpoint of step {step}, got {reason(error)}; the one "
                "before it is kept: free space, then run the same command again"
            ) from error
