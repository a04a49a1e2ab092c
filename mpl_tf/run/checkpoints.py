"""Checkpoints of a phase: all variables of its method, its step, seconds and means, the newest few kept.

What counts is what is on the disk: checkpoints are found by listing the folder, newest first, and the first that can be
read is taken. Keras' BackupAndRestore keeps one backup and trusts it; tf.train.CheckpointManager trusts its list of
files, and starts anew where that is damaged or gone. The files carry checksums, so that damage is noticed.
"""

import os
import shutil
from pathlib import Path

import tensorflow as tf

from mpl_tf.base import console, files
from mpl_tf.base.errors import RunError, reason
from mpl_tf.run.checkpoint_files import listed

VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"  # How TensorFlow ends the name of a variable's value in a checkpoint.


class Checkpoints:
    """Save and restore a method in a folder.

    Args:
        method: compiled Method.
        folder: where the checkpoints lie.
        keep: how many of the newest are kept.
        keep_best: whether that of the best validation score is kept too.

    Attributes:
        writes: whether this process writes them; of several workers, which share the folder, only the chief does.
        step, seconds: variables: steps done, seconds of training so far.
        totals: float64 variable [len(log_names)]: sum of each logged quantity over the steps up to `totals_step`.
        csv_crc: int64 variable: checksum of the table of metrics up to the step; -1: there is none yet.
        best_step, best_accuracy: int64 and float64 variables: the step of the best validation accuracy, the first of
            equals, and that accuracy; 0 and -1: there is none yet.
    """

    def __init__(self, method, folder, keep, keep_best=False):
        self.method, self.folder, self.writes = method, Path(folder), method.devices.writes
        self.keep, self.keep_best = keep, keep_best

        # All in one file, so that a step, its weights and what is known of it are of one moment.
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.seconds = tf.Variable(0.0, dtype=tf.float64, trainable=False)
        self.totals = tf.Variable(tf.zeros([len(method.log_names)], tf.float64), trainable=False)
        self.totals_step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.csv_crc = tf.Variable(-1, dtype=tf.int64, trainable=False)
        self.best_step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.best_accuracy = tf.Variable(-1.0, dtype=tf.float64, trainable=False)
        self._checkpoint = tf.train.Checkpoint(
            step=self.step,
            seconds=self.seconds,
            totals=self.totals,
            totals_step=self.totals_step,
            csv_crc=self.csv_crc,
            best_step=self.best_step,
            best_accuracy=self.best_accuracy,
            **method.state(),
        )

        # Of several hosts, which share the folder, one tidies up.
        if self.writes:
            self._sweep()

    def restore(self):
        """Restore the newest checkpoint that can be read; nothing is done where there is none.

        Returns:
            The step to go on from, 0 for a new run.
        Raises:
            RunError: there are checkpoints and none can be read, or one is of another network.
        """
        # Newest first: one that is damaged costs the steps since the one before it, not the run.
        steps = listed(self.folder)
        for step in steps:
            path = self._prefix(step)
            try:
                self._checkpoint.read(path).assert_consumed()
                return int(self.step.numpy())
            except Exception as error:  # A damaged file fails wherever its damage leads TensorFlow, protobuf or Python.
                self._check_network(path)
                console.tell(f"{path} is damaged and left out ({reason(error)})")
        # To start anew over what may yet be mended is not for the program to decide.
        if steps:
            raise RunError(
                f"{self.folder}: expected a readable checkpoint, all {len(steps)} are "
                "damaged; delete this folder to train from the start"
            )
        return 0

    def restore_best(self):
        """Give the method the variables that it had at the best validation score; nothing is saved after that.

        Raises:
            RunError: that checkpoint cannot be read.
        """
        path = self._prefix(int(self.best_step.numpy()))
        if path == self._prefix(int(self.step.numpy())):
            return
        try:
            self._checkpoint.read(path).assert_consumed()
        except Exception as error:  # As in `restore`; no other one is as good.
            raise RunError(
                f"{path}, the best by its validation score, cannot be read ({reason(error)}); delete {self.folder} to "
                "train from the start"
            ) from error

    def note(self, accuracy, step):
        """Remember a validation accuracy, in [0, 1], after `step` steps, if it is the best so far."""
        if accuracy > float(self.best_accuracy.numpy()):
            self.best_accuracy.assign(accuracy)
            self.best_step.assign(step)

    def add(self, means, step):
        """Count the means of the logged quantities over the steps since the last call, which end at `step`.

        Args:
            means: dict of the method's log_names, among others, to float.
            step: of the phase.
        """
        # An epoch's mean weighs as many steps as it stands for; the last epoch may be short.
        span = step - int(self.totals_step.numpy())
        self.totals.assign_add([float(means[name]) * span for name in self.method.log_names])
        self.totals_step.assign(step)

    def means(self):
        """Mean of each logged quantity over the phase so far, dict of str to float; 0 steps must not be all."""
        # Of an epoch that is not whole the method holds the sums.
        step, counted = int(self.step.numpy()), int(self.totals_step.numpy())
        totals = self.totals.numpy()
        if step > counted:
            sums = tf.convert_to_tensor(self.method.sums)
            totals = totals + tf.math.divide_no_nan(sums[:-1], sums[-1]).numpy().astype(float) * (step - counted)
        totals = totals / step
        return dict(zip(self.method.log_names, totals.tolist(), strict=True))

    def save(self, step, seconds):
        """Write a checkpoint after `step` steps and `seconds` seconds of training; not where another process does.

        Raises:
            RunError: it cannot be written; the ones before it stay.
        """
        self.step.assign(step)
        self.seconds.assign(seconds)
        try:
            # Hosts that do not write take part, where their devices hold a share of the variables.
            with self.method.devices.gathered(self.method):
                if self.writes:
                    self._write(step)
        except (tf.errors.OpError, OSError) as error:
            self._sweep()  # Half a checkpoint would take the room that the next one needs.
            kept = "the one before it is kept" if listed(self.folder) else "there is none before it"
            raise RunError(
                f"{self.folder}: expected to write the checkpoint of step {step}, got {reason(error)}; {kept}: "
                "free space, then run the same command again"
            ) from error

    def _write(self, step):
        """A checkpoint and, for TensorFlow's own tools, the list of them; then the oldest go, their index first."""
        # TensorFlow writes the index, which says that a checkpoint is there, piece by piece: under another name first.
        temporary = self.folder / f"{files.PARTIAL}ckpt-{step}"
        temporary.mkdir(parents=True, exist_ok=True)
        self._checkpoint.write(str(temporary / f"ckpt-{step}"))
        # An earlier one of the same step must never stand over other data; of the new one the index comes last.
        Path(f"{self._prefix(step)}.index").unlink(missing_ok=True)
        for path in sorted(temporary.iterdir(), key=lambda path: path.suffix == ".index"):
            files.to_disk(path)
            os.replace(path, self.folder / path.name)
        temporary.rmdir()

        # Newer ones are there where the run went on from an older one; their time comes when they are written anew.
        older = [found for found in listed(self.folder) if found <= step]
        kept = set(older[: self.keep])
        # Of each one that is kept, the best that it knows: where the newest is damaged, the one before it counts.
        kept |= {self._best_of(found) for found in kept} if self.keep_best else set()
        paths = [f"ckpt-{found}" for found in reversed(older) if found in kept]
        tf.compat.v1.train.update_checkpoint_state(str(self.folder), paths[-1], paths)
        for found in older:
            if found not in kept:
                self._remove(found)

    def _best_of(self, step):
        """The best step that the checkpoint of a step knows; its own where it cannot be read."""
        try:
            return int(tf.train.load_checkpoint(self._prefix(step)).get_tensor(f"best_step{VALUE}"))
        except Exception:  # Damaged: `restore` tells it.
            return step

    def _remove(self, step):
        """A checkpoint, its index first: killed in between, the rest is no checkpoint and is swept."""
        Path(f"{self._prefix(step)}.index").unlink()
        for path in self.folder.glob(f"ckpt-{step}.data-*"):
            path.unlink()

    def _prefix(self, step):
        """How TensorFlow names a checkpoint: its files' common path."""
        return str(self.folder / f"ckpt-{step}")

    def _sweep(self):
        """Remove what a killed process left of a checkpoint, or of TensorFlow's list, that it had not finished."""
        files.sweep(self.folder)
        for path in self.folder.glob("checkpoint.tmp*"):
            path.unlink(missing_ok=True)
        whole = {f"ckpt-{step}" for step in listed(self.folder)}
        for path in self.folder.glob("ckpt-*"):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name.partition(".")[0] not in whole:
                path.unlink(missing_ok=True)

    def _check_network(self, path):
        """Refuse a checkpoint that is whole but of another network or program, instead of calling it damaged.

        Raises:
            RunError: naming a variable that differs.
        """
        # Names and shapes stand in the index, which is read whole before any value.
        try:
            reader = tf.train.load_checkpoint(path)
            shapes, types = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
        except Exception:  # Damaged: restore() tells it.
            return
        for group, variables in self.method.state().items():
            for number, variable in enumerate(variables):
                key = f"{group}/{number}{VALUE}"
                found = shapes.get(key)
                expected = self.method.devices.whole_shape(variable)
                if found is not None and tuple(found) != expected:
                    raise RunError(
                        f"{path} is a checkpoint of another network: expected the shape {expected} of its {group}'s "
                        f"{variable.path}, got {tuple(found)}; give another --workdir, or that run's flags"
                    )
                if found is not None and types[key] != variable.dtype:
                    raise RunError(
                        f"{path} is a checkpoint of another version of this program: expected {variable.dtype} numbers "
                        f"as its {group}'s {variable.path}, got {types[key].name}; give another --workdir, or finish "
                        "the run with the version that started it"
                    )
