"""metrics.csv: one row an epoch, a column a quantity.

Keras' CSVLogger adds a column `val_NAME` full of NA for each quantity where fit() validates nothing, as here.
"""

import csv
import io
import zlib
from pathlib import Path

import keras

from mpl_tf.base import console, files
from mpl_tf.base.errors import RunError

# The columns of every phase beside its method's log_names.
OWN_COLUMNS = ("epoch", "step", "images_per_second", "skipped_steps", "skipped_in_a_row")


class MetricsCsv(keras.callbacks.Callback):
    """Appends the logs of each epoch to a CSV file.

    The file is for people; the run takes nothing back from it. Where it was damaged or changed it is told, and what can
    be read of it stays.

    Args:
        path: of the file; its rows after step `start` (a killed run's, logged after its last checkpoint) are dropped.
        start: step from which training goes on.
        crc: what `checksum` gave when the checkpoint of that step was written; -1: there was no file.
    """

    def __init__(self, path, start, crc=-1):
        super().__init__()
        self.path = Path(path)
        # What is behind the checkpoint comes again; what was before it must be what was written then.
        rows = [row for row in _rows(self.path) if int(row["step"]) <= start]
        self._keep(rows)
        self.cut = rows[-1] if rows else None  # The row that an epoch has which the run ended in.
        # A table that a person edited, or that the disk lost: no reason to stop, but one to say so.
        if self.checksum() != crc:
            console.tell(f"{self.path} is not as the run had left it: {len(rows)} rows of it are kept")

    def _keep(self, rows):
        """Let the file hold these rows alone."""
        if rows:
            files.write(self.path, lambda temporary: temporary.write_text(_text(rows), newline=""))
        else:
            self.path.unlink(missing_ok=True)

    def checksum(self):
        """CRC-32 of the file as it is, an int; -1 where there is none."""
        return zlib.crc32(self.path.read_bytes()) if self.path.exists() else -1

    def on_epoch_end(self, epoch, logs=None):
        """`logs` must hold `step`.

        Raises:
            RunError: the file cannot be written.
        """
        row = {"epoch": epoch, "step": logs["step"]} | {key: float(logs[key]) for key in sorted(set(logs) - {"step"})}
        # A run that ended within an epoch and was made longer has its row of the whole epoch now.
        if self.cut is not None and self.cut["epoch"] == str(epoch):
            self._keep(_rows(self.path)[:-1])
        self.cut = None
        # Opened anew each time: nothing stays in a buffer when the run is killed.
        new = not self.path.exists()
        try:
            with open(self.path, "a", newline="") as file:
                file.write(_text([row], header=new))
        except OSError as error:
            raise RunError(f"{self.path}: expected to write it, got {error}; {files.remedy(error)}") from error


def _text(rows, header=True):
    """Rows, dicts of the same keys, as the text of a CSV file."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    if header:
        writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _rows(path):
    """All whole rows of numbers in a file, their steps growing: list of dict of str to str; [] without a file."""
    if not path.exists():
        return []
    # A line without its end was cut off, however well its last number reads.
    lines = path.read_text("utf-8", "replace").splitlines(keepends=True)
    rows, last = [], 0
    for row in csv.DictReader(line for line in lines if line.endswith("\n")):
        # A row with a cell too many or too few, or with one that is no number, is left out.
        try:
            step = int(row["step"])
            whole = None not in row and all(float(value) is not None for value in row.values())
        except (KeyError, TypeError, ValueError):
            continue
        if whole and step > last:
            rows.append(row)
            last = step
    return rows
