"""Patterns of file names: a/**/*.jpg."""

import fnmatch
import glob
import os

from mpl_tf.base import storage
from mpl_tf.data import file_kinds, walking


def expand(pattern, flag, passed, more=None):
    """Paths (str) of the images and shards that a pattern names: *, ?, [abc] and, for folders at any depth, **.

    As glob has it, but a real folder is listed once at each part of the pattern, so that loops end, and ** follows no
    link to a folder that holds the pattern's own; hidden names match a part that spells them alone.

    Args:
        pattern: such as photos/**/*.jpg.
        flag, passed, more: as in walking.walk.
    Returns:
        Sorted list.
    """
    parts = pattern.split(os.sep)
    fixed = next(number for number, part in enumerate(parts) if glob.has_magic(part))
    root = os.sep.join(parts[:fixed]) or os.sep * pattern.startswith(os.sep)
    parts = [part for part in parts[fixed:] if part]
    parts += ["*"] if parts[-1] == "**" else []
    above = {*storage.above(storage.real(root or os.curdir))}
    found, seen, waiting = [], set(), [(root, 0)]  # A folder, and the part that names in it are to match.
    while waiting:
        folder, at = waiting.pop()
        place = storage.real(folder or os.curdir), at
        if place in seen or not storage.is_dir(folder or os.curdir):
            continue
        seen.add(place)
        part, last = parts[at], at == len(parts) - 1
        deeper = at if part == "**" else at + 1
        matching = [entry for entry in walking.entries(folder or os.curdir, flag) if _matches(entry.name, part)]
        if last:
            files = [entry for entry in matching if not walking.is_folder(entry)]
            found += [os.path.join(folder, entry.name) for entry in files if walking.is_wanted(entry, passed, more)]
            continue
        for entry in reversed(matching):
            path = os.path.join(folder, entry.name)
            back = part == "**" and entry.is_symlink() and storage.real(path) in above
            waiting += [(path, deeper)] if walking.is_folder(entry) and not back else []
        waiting += [(folder, at + 1)] if part == "**" else []
    return sorted(found)


def _matches(name, part):
    spelled = not glob.has_magic(part) or part.startswith(".")
    return (spelled or not file_kinds.is_hidden(name)) and (part == "**" or fnmatch.fnmatchcase(name, part))
