"""Image files that cannot be read: told in one line, however many there are and however few are remembered."""

import tempfile

from mpl_tf.base.errors import RunError
from mpl_tf.data.file_kinds import KINDS

NAMED = 10  # In a message; where there are more, all stand in a file.


class Unreadable:
    """Files, noted one after the other with what is wrong with them.

    Attributes:
        count: how many there are.
    """

    def __init__(self):
        self.count, self._first, self._file = 0, [], None

    def add(self, source, why):
        """Note a file.

        Args:
            source: its path, or a tfrecord.Record.
            why: what is wrong with it, in words.
        """
        self.count += 1
        if self.count <= NAMED:
            self._first.append((str(source), why))
            return
        if self._file is None:
            how = {"mode": "w", "encoding": "utf-8", "errors": "surrogateescape"}
            self._file = tempfile.NamedTemporaryFile(  # noqa: SIM115 It grows with each.
                prefix="unreadable-images-", suffix=".txt", delete=False, **how
            )
            self._file.writelines(f"{line}\n" for line in self._lines())
        self._file.write(f"{source} ({why})\n")

    def refusal(self):
        """The RunError that names them, where there are any."""
        what = "or give --skip_bad_images"
        if self.count == 1:
            ((source, why),) = self._first
            return RunError(f"{source}: expected a readable {KINDS} image, got {why}; mend or remove it, {what}")
        return RunError(
            f"{self.count} images: expected readable {KINDS} files, got {self._named()}; mend or remove them, {what}"
        )

    def notes(self):
        """The line for the user where they are left out, as a tuple that is empty where there are none."""
        return (f"unreadable images left out: {self._named()}",) if self.count else ()

    def _lines(self):
        """The first of them, a line each."""
        return [f"{source} ({why})" for source, why in self._first]

    def _named(self):
        """The first of them, and the name of a file that holds all where there are more."""
        named = ", ".join(self._lines())
        if self._file is None:
            return named
        self._file.flush()
        return f"{named} and {self.count - NAMED} more, all of them in {self._file.name}"
