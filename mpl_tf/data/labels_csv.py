"""The labeled images of a folder by a CSV file: --labels."""

import csv
import os

from mpl_tf.base import storage
from mpl_tf.base.errors import UsageError

COLUMNS = ("path", "class")


def read(path, folder):
    """The classes of a CSV file of columns path and class; other columns are passed over.

    Args:
        path: of the file, UTF-8.
        folder: of the images; paths are relative to it, or absolute and in it.
    Returns:
        dict of path below `folder` (bytes, as Paths.relative has it) to (class, str; line of the file, int).
    Raises:
        UsageError: no such file, other columns, a row without a path or a class, a path with two classes, one class
            in all.
    """
    found = {}
    try:
        with storage.open_file(path, "r", newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            rows = csv.DictReader(file, strict=True)
            if not set(COLUMNS) <= set(rows.fieldnames or ()):
                given = ",".join(rows.fieldnames or ()) or "nothing"
                raise UsageError(f"--labels: expected the columns path,class in the first line of {path}, got {given}")
            for row in rows:
                _add(found, row, f"{path}, line {rows.line_num}", rows.line_num, folder)
    except (OSError, csv.Error) as error:
        raise UsageError(
            f"--labels: expected a CSV file of columns path,class, cannot read {path} ({error})"
        ) from error
    classes = {name for name, _ in found.values()}
    if len(classes) < 2:
        told = f"{next(iter(classes))} alone" if classes else "none"
        raise UsageError(f"--labels: expected images of two classes or more in {path}, found {told}")
    return found


def _add(found, row, place, line, folder):
    """Note a row."""
    name, label = ((row[column] or "").strip() for column in COLUMNS)
    if not name or not label:
        raise UsageError(
            f"--labels: {place}: expected a path and its class, got {name or 'nothing'},{label or 'nothing'}; leave "
            "unlabeled images out"
        )
    below = _below(name, str(folder))
    key = os.fsencode(below)
    before, at = found.setdefault(key, (label, line))
    if before != label:
        raise UsageError(f"--labels: {place}: {name} is of class {label} here and of class {before} in line {at}")


def _below(name, folder):
    """A path as it is below the folder of the images."""
    if storage.is_url(name):
        return name.removeprefix(folder.rstrip("/") + "/")
    return os.path.relpath(name, folder) if os.path.isabs(name) else os.path.normpath(name)


def check_found(rows, seen, path, folder):
    """Refuse rows whose images the folder does not have.

    Args:
        rows: as `read` returns them.
        seen: set of those paths below the folder that are images.
        path, folder: as in `read`.
    Raises:
        UsageError: naming the first of them.
    """
    absent = [(line, key) for key, (_, line) in rows.items() if key not in seen]
    if not absent:
        return
    line, key = min(absent)
    place = os.path.join(os.fsencode(folder), key)
    why = "which is no image by its name, or hidden" if storage.is_file(place) else "which is not there"
    more = f", and of {len(absent) - 1} more rows" if len(absent) > 1 else ""
    raise UsageError(
        f"--labels: {path}, line {line}: expected the path of an image in --labeled_dir {folder}, got "
        f"{os.fsdecode(key)}{more}, {why}; give paths relative to that folder"
    )
