"""What happens between steps: progress, the length of the run, checkpoints, and the reasons to stop."""

import math
import signal
import sys
import threading
import time

import keras

from mpl_tf.base.errors import Interrupted, RunError, Stopped
from mpl_tf.devices import distribute

SKIPS_ALLOWED = 10  # Steps in a row with gradients that are not finite.
MEASURED_SECONDS = 3.0  # Of steps, before the length of the run is told.
SHOWN = ("loss", "student_loss", "uda_loss", "consistency_loss", "h", "feedback_share", "accuracy")
SHOWN += ("val_accuracy", "val_teacher_accuracy", "images_per_second")


class Progress(keras.callbacks.Callback):
    """A bar over the whole phase with its ETA and images/s; adds `step` and `images_per_second` to the epoch's logs.

    The rate is that of training alone; the time that is left has validation in it. Where there is no terminal, one line
    an epoch. Where there is no accelerator, the first measured steps tell how long the phase will take and what
    shortens it.

    Args:
        phase: the Phase.
        start: step to go on from.
        images_per_step: examples a step over all replicas.
        shown: whether anything is printed; of several workers, only the chief does.
    """

    def __init__(self, phase, start, images_per_step, shown=True):
        super().__init__()
        self.phase, self.step, self.images_per_step, self.shown = phase, start, images_per_step, shown

        # Keras' bar rewrites its line, which a file or a pipe cannot: there each epoch has a line of its own.
        self.terminal = shown and sys.stdout.isatty()
        self.bar = keras.utils.Progbar(phase.steps, stateful_metrics=SHOWN) if self.terminal else None
        self.after_first = None  # (step, time) after the first call, which compiles.
        self.told = not shown or distribute.has_accelerator()

    def on_epoch_begin(self, epoch, logs=None):
        """Start the epoch's clock."""
        self.began = self.step, time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        """`batch` is the number of the epoch's last step done, from 0."""
        self.last = now = time.perf_counter()
        self.step = self.began[0] + batch + 1
        # The first call compiles, for as long as minutes: the clock that tells the length starts after it.
        if self.after_first is None:
            self.after_first = self.step, now
        elif not self.told and (now - self.after_first[1] > MEASURED_SECONDS or self.step == self.phase.steps):
            self._tell_length(now)
        if self.terminal:
            values = logs | {"images_per_second": self._rate(self.began, now)}
            self.bar.update(self.step, [(key, values[key]) for key in SHOWN if key in values], finalize=False)

    def on_epoch_end(self, epoch, logs=None):
        """Complete the epoch's logs; a line where no bar is shown."""
        # The callbacks after this one, the table and TensorBoard, find both in the same dict.
        now = time.perf_counter()
        logs["step"], logs["images_per_second"] = self.step, self._rate(self.began, self.last)
        if self.terminal:
            values = [(key, logs[key]) for key in SHOWN if key in logs]
            self.bar.update(self.step, values, finalize=self.step == self.phase.steps or self.model.stop_training)
        elif self.shown:
            # The first call is left out of the estimate, unless nothing else has been measured yet.
            since = self.after_first if self.step > self.after_first[0] else self.began
            left = (self.phase.steps - self.step) * self.images_per_step / self._rate(since, now)
            values = "  ".join(f"{key} {logs[key]:.4g}" for key in SHOWN if key in logs)
            print(f"{self.phase.name} {self.step}/{self.phase.steps}  {values}  {duration(left)} left", flush=True)
        if self.step == self.after_first[0]:  # The first validation, which compiles too, is behind as well.
            self.after_first = self.step, now

    def _rate(self, since, now):
        """Images a second since (step, time)."""
        return self.images_per_step * (self.step - since[0]) / (now - since[1])

    def _tell_length(self, now):
        """Say, once, how long the phase takes here."""
        self.told = True
        # A short phase before or after the main one is no news.
        whole = self.phase.steps * self.images_per_step / self._rate(self.after_first, now)
        if self.phase.name != "train" and whole < 60:
            return
        print(
            ("\n" if self.terminal else "")
            + f"No GPU or TPU found: {self.phase.steps} steps take about {duration(whole)} here; --scale=smoke or a "
            f"smaller --{self.phase.steps_flag} shortens the run.",
            flush=True,
        )


class Saver(keras.callbacks.Callback):
    """Saves at each epoch's end and from time to time; stops where there is a reason to.

    Reasons are SIGTERM and Ctrl-C, after saving (a second Ctrl-C ends at once), and ten bad steps in a row. A context
    manager: it listens for the signals inside.

    Args:
        checkpoints: Checkpoints, restored.
        progress: Progress of the same phase, called before this one.
        minutes: between checkpoints within an epoch; 0: none. Several hosts save at the epochs' ends alone, as they
            would have to agree on the time.
        metrics: MetricsCsv of the same phase, called before this one; None where another process writes it.
        epoch: steps of a whole epoch: a last one that is shorter may go on one day, when the run is made longer.
    """

    def __init__(self, checkpoints, progress, minutes=0.0, metrics=None, epoch=1):
        super().__init__()
        self.epoch = epoch
        self.checkpoints, self.progress, self.metrics = checkpoints, progress, metrics
        alone = checkpoints.method.devices.hosts == 1
        self.seconds_between = 60 * minutes if minutes and alone else math.inf
        self.seconds_before = float(checkpoints.seconds.numpy())  # Of training, in earlier starts.
        self.signal = None  # The number of the one that came.

    def __enter__(self):
        self.started = self.last_saved = time.perf_counter()
        # Python lets its main thread alone listen; a run in another one is left to whoever started that.
        heard = (signal.SIGTERM, signal.SIGINT) if threading.current_thread() is threading.main_thread() else ()
        self.handlers_before = {number: signal.signal(number, self._note) for number in heard}
        return self

    def __exit__(self, *_):
        for number, handler in self.handlers_before.items():
            signal.signal(number, handler)

    def on_train_batch_end(self, batch, logs=None):
        """After each call of the compiled loop: is there a reason to stop, or is it time to save?"""
        # Not saved: the same bad steps would come again from there.
        if logs["skipped_in_a_row"] >= SKIPS_ALLOWED:
            raise RunError(
                f"{int(logs['skipped_in_a_row'])} steps in a row up to step {self.progress.step} had gradients that "
                "are not finite; expected a finite loss: give a lower --teacher_learning_rate and "
                "--student_learning_rate, or --clip_norm"
            )
        if batch + 1 == self.params["steps"]:
            return  # The epoch ends with this step: its means and its row come first.
        # In the middle of an epoch: the sums of its means are in the checkpoint with the rest.
        if self.signal is not None:
            self.save()
            self._stop()
        if time.perf_counter() - self.last_saved > self.seconds_between:
            self.save()

    def on_epoch_end(self, epoch, logs=None):
        """Count the epoch's means, if it is whole, and save."""
        if self.progress.step % self.epoch == 0:
            self.checkpoints.add(logs, self.progress.step)
        self.save()
        if self.signal is not None:
            self._stop()

    def save(self):
        """Write a checkpoint of the steps done so far, unless there is one."""
        if int(self.checkpoints.step.numpy()) < self.progress.step:
            # With the table's checksum of now, a resume sees whether it is as this checkpoint knew it.
            if self.metrics is not None:
                self.checkpoints.csv_crc.assign(self.metrics.checksum())
            self.checkpoints.save(self.progress.step, self.seconds_before + time.perf_counter() - self.started)
        self.last_saved = time.perf_counter()

    def _stop(self):
        """End the run by the signal that came, with what the same command will do."""
        saved = " and saved; the same command goes on from there"
        left = "; the first worker saves; start all workers again"
        kind = Stopped if self.signal == signal.SIGINT else Interrupted
        raise kind(
            f"{signal.Signals(self.signal).name}: stopped at step {self.progress.step} of {self.progress.phase.steps}"
            f"{saved if self.checkpoints.writes else left}"
        )

    def _note(self, number, _):
        """Python's hook for a signal: it is acted on between steps; who presses Ctrl-C twice does not wait for that."""
        if number == signal.SIGINT and self.signal == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number


def duration(seconds):
    """Seconds as a person says them: '45 s', '12 min', '3.5 h', '10.2 days'."""
    # A unit is used from two of it on: "90 min" says more than "1.5 h".
    for unit, size in (("days", 86400), ("h", 3600)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"
