"""Writing result files so that a reader never sees half of one."""

import os
from pathlib import Path

from mpl_tf.base.errors import RunError


def write(path, save):
    """Let `save(temporary path)` write a file beside `path`, then move it there in one step.

    Raises:
        RunError: the file cannot be written; what was at `path` before is still there.
    """
    path = Path(path)
    temporary = path.with_name(f".partial-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save(temporary)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise RunError(
            f"{path}: expected to write it, got {error}; free space or mend the folder's permissions, then "
            "run the same command again"
        ) from error


def write_text(path, text):
    """Write a text file in one step; errors as in `write`."""
    write(path, lambda temporary: temporary.write_text(text))
