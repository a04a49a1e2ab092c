"""Validation: a phase's networks are scored at each epoch's end, which finds the best epoch and may end the training.

The scores are those of the files that would be written (run/copies.py).
"""

from typing import NamedTuple

import keras
import numpy as np

from mpl_tf.base.errors import RunError
from mpl_tf.run import evaluate


class Validation(keras.callbacks.Callback):
    """Adds the columns val_accuracy and val_loss of the deployed network, and val_ROLE_accuracy and val_ROLE_loss of
    mpl's teacher, to the epoch's logs; called before the callbacks that tell of them.

    Args:
        method: compiled Method that is trained.
        dataset: Dataset with validation examples.
        config: Config of the run.
        phase: Phase that is trained; in the main one the scores choose (--keep, --patience).
        checkpoints: Checkpoints of the phase, restored; they remember the best step.
        progress: Progress of the phase.
        copies: Copies of the method's networks.
    """

    def __init__(self, method, dataset, config, phase, checkpoints, progress, copies):
        super().__init__()
        self.method, self.dataset, self.config, self.phase, self.copies = method, dataset, config, phase, copies
        self.checkpoints, self.progress = checkpoints, progress

    def on_epoch_end(self, epoch, logs=None):
        """Score, remember the best, and end the training where that is asked for.

        Raises:
            RunError: a validation image that cannot be read, or with --skip_bad_images none that can.
        """
        # All hosts come here, as each may hold a share of the weights; one scores, and decides for all.
        devices, scores = self.method.devices, {}
        for name, model in self.copies.at(self.progress.step).items():
            scores[name] = Score(0, 1, 0.0)
            if devices.writes:
                scores[name] = score(model, self.dataset.validation, self.config.eval_batch)
                logs[f"{name}_accuracy"], logs[f"{name}_loss"] = scores[name].accuracy, scores[name].loss
        right, count = (devices.first(number) for number in scores["val"][:2])
        self.checkpoints.note(right / count, self.progress.step)
        if over(self.checkpoints, self.phase, self.config, self.progress.step):
            self.model.stop_training = True


class Score(NamedTuple):
    """right: int, examples whose class is predicted, of `count`; loss: float, mean cross entropy, nats."""

    right: int
    count: int
    loss: float

    @property
    def accuracy(self):
        """Share of the examples whose class is predicted, in [0, 1]."""
        return self.right / self.count


def score(model, source, batch):
    """The Score of a deployable model.

    Its numbers are those of evaluate.evaluate, without keeping all logits; a loss that is no number is told as it is.

    Args:
        model, source, batch: as there.
    """
    right, count, loss = 0, 0, 0.0
    for logits, labels in evaluate.answers(model, source, batch):
        right, count = right + int(np.sum(logits.argmax(axis=-1) == labels)), count + len(labels)
        loss += float(np.sum(evaluate.cross_entropy(logits, labels)))
    if not count:
        raise RunError(f"none of the {len(source)} validation images could be read; mend them, or give others")
    return Score(right, count, loss / count)


def over(checkpoints, phase, config, step):
    """Whether the phase ends at a step: it is the main one and --patience epochs had no better score than the best.

    Of a run that was made longer the epochs count from where it went on.
    """
    best = max(int(checkpoints.best_step.numpy()), phase.since)
    waited = step // config.steps_per_epoch - best // config.steps_per_epoch
    return phase.chooses and 0 < config.patience <= waited
