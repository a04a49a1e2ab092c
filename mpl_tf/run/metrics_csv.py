"""metrics.csv: one row an epoch, a column a quantity.

Keras' CSVLogger adds a column `val_NAME` full of NA for each quantity where fit() validates nothing, as here.
"""

import csv
from pathlib import Path

import keras

from mpl_tf.base import files

NOT_AVERAGED = ("epoch", "step", "images_per_second", "skipped_steps", "skipped_in_a_row")


class MetricsCsv(keras.callbacks.Callback):
    """Appends the logs of each epoch to a CSV file.

    Args:
        path: of the file; its rows after step `start` (a killed run's, logged after its last checkpoint) are dropped.
        start: step from which training goes on.
    """

    def __init__(self, path, start):
        super().__init__()
        self.path = Path(path)
        rows = [row for row in self.rows() if int(row["step"]) <= start]
        if rows:
            files.write(self.path, lambda temporary: _append(temporary, rows))
        else:
            self.path.unlink(missing_ok=True)

    def rows(self):
        """All complete rows: list of dict of str to str."""
        if not self.path.exists():
            return []
        with open(self.path, newline="") as file:
            return [row for row in csv.DictReader(file) if None not in row.values()]

    def means(self):
        """Mean of each quantity over the steps, a row weighing as many steps as it stands for."""
        rows = self.rows()
        ends = [int(row["step"]) for row in rows]
        spans = [end - before for end, before in zip(ends, [0, *ends], strict=False)]
        names = [name for name in rows[0] if name not in NOT_AVERAGED]
        return {
            name: sum(float(row[name]) * span for row, span in zip(rows, spans, strict=True)) / ends[-1]
            for name in names
        }

    def on_epoch_end(self, epoch, logs=None):
        """`logs` must hold `step`."""
        row = {"epoch": epoch, "step": logs["step"]} | {key: float(logs[key]) for key in sorted(set(logs) - {"step"})}
        _append(self.path, [row])


def _append(path, rows):
    """Append rows; a new file begins with their names."""
    new = not path.exists()
    with open(path, "a", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        if new:
            writer.writeheader()
        writer.writerows(rows)
