"""report.html at each epoch's end."""

import keras


class Reporter(keras.callbacks.Callback):
    """Writes the report; called last, when the epoch's table and checkpoint are written.

    Args:
        report: Report.
        copies: Copies of the method's networks.
        checkpoints: Checkpoints of the phase.
        progress: Progress of the phase.
    """

    def __init__(self, report, copies, checkpoints, progress):
        super().__init__()
        self.report, self.copies, self.checkpoints, self.progress = report, copies, checkpoints, progress

    def on_epoch_end(self, epoch, logs=None):
        """All hosts come here, as each may hold a share of the weights; one writes."""
        found = self.copies.at(self.progress.step)
        if self.checkpoints.writes:
            networks = {"student": found["val"]} | ({"teacher": found["val_teacher"]} if "val_teacher" in found else {})
            self.report.write(networks, self.progress.step, float(self.checkpoints.seconds.numpy()))
