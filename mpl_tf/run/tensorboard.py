"""TensorBoard: a phase's quantities by step, its flags as hyper-parameters, and the views that training sees.

Keras' callback has the epoch's number on the x axis, which says nothing where epochs of two runs differ in length, a
run of its own for each of "train" and "validation", and a card for what never changes.
"""

import dataclasses
import re

import keras
import tensorflow as tf

from mpl_tf.settings import flags

# A group of cards, and the names that belong to it: the first that fits.
GROUPS = {"validation": "val_(.*)", "rates": "(.*learning_rate)", "gradients": "(norm_.*|.*gradient_norm)"}
GROUPS |= {"run": "(images_per_second|skipped_.*)", "training": "(.*)"}
LEFT_OUT = ("epoch", "step")
METRICS = ("val_accuracy", "val_teacher_accuracy", "val_loss", "loss")  # Of the tab of hyper-parameters.


class TensorBoard(keras.callbacks.Callback):
    """Writes the logs of each epoch at its step; `logs` must hold `step`.

    A quantity has a card from when it first changes, with all its points since the phase's start or resume.

    Args:
        folder: of the phase, the name of its run in TensorBoard.
        config: Config, for the tab of hyper-parameters; None: the phase has no part in it.
        pictures: function without arguments that returns a dict of name to uint8 [H, W, 3], shown beside; or None.
    """

    def __init__(self, folder, config=None, pictures=None):
        super().__init__()
        self.folder, self.config, self.pictures = str(folder), config, pictures
        self.writer, self.held = None, {}

    def on_epoch_end(self, epoch, logs=None):
        """Write what has changed."""
        if self.writer is None:  # Only now: a phase that has nothing left to do leaves no file.
            self.writer = tf.summary.create_file_writer(self.folder)
            self._about(logs)
        step = int(logs["step"])
        with self.writer.as_default():
            for name in set(logs) - set(LEFT_OUT):
                for at, value in self._due(name, step, float(logs[name])):
                    tf.summary.scalar(tag(name), value, step=at)
        self.writer.flush()

    def _due(self, name, step, value):
        """The points of a quantity to be written now: list of (step, value)."""
        held = self.held.setdefault(name, [])
        if held is True:
            return [(step, value)]
        held.append((step, value))
        if value == held[0][1] or len({repr(one) for _, one in held}) == 1:  # One that is no number equals nothing.
            return []
        self.held[name] = True
        return held

    def _about(self, logs):
        """The tab of hyper-parameters and the pictures."""
        with self.writer.as_default():
            if self.config is not None:
                from tensorboard.plugins.hparams import api  # Deferred: it takes a while.

                changed = hyper_parameters(self.config)
                shown = [api.Metric(tag(name), display_name=name) for name in METRICS if name in logs]
                api.hparams_config([api.HParam(name) for name in changed], shown)
                api.hparams(changed, trial_id=self.config.workdir)
            for name, picture in (self.pictures() if self.pictures else {}).items():
                tf.summary.image(f"views/{name}", picture[None], step=0)


def tag(name):
    """The name of a quantity's card, GROUP/NAME."""
    group, found = next((group, re.fullmatch(form, name)) for group, form in GROUPS.items() if re.fullmatch(form, name))
    return f"{group}/{found.group(1)}"


def hyper_parameters(config):
    """The flags that make a run what it is and are not as in flags/defaults.flags: dict of name to value."""
    usual = flags.defaults()
    values = {
        field.name: getattr(config, field.name) for field in dataclasses.fields(config) if field.metadata["identity"]
    }
    return {name: value for name, value in values.items() if value != usual.get(name)}
