"""A data set that is not where --data_dir says: where else it is, and a failed download that leaves no folders."""

import contextlib
import itertools
import os
import shlex
import shutil
from pathlib import Path

from mpl_tf.base.errors import UsageError
from mpl_tf.data import walking

DEEP, MOST = 2, 2000  # Levels below a folder that are looked at, and folders on each: a wrong one may be a home.
PARTS = (".tmp.", ".incomplete")  # What TFDS has in the names of what it has not finished and does not go on with.


def refuse_misplaced(name, folder, holds, levels=3):
    """Refuse a --data_dir that does not hold a data set where a folder above or below it does.

    Args:
        name: of the data set, for the message.
        folder: path that the user gave; it may be absent.
        holds: function of a Path: whether the data set is in that folder.
        levels: how many folders above are looked at.
    Raises:
        UsageError: naming the folder to give.
    """
    folder = _whole(folder)
    other = _first((*folder.parents[:levels], *_below(folder, DEEP)), holds)
    if other:
        raise UsageError(f"--data_dir: {name} is not in {folder} but in {other}; give {_given(other)}")


def hint(folder, holds):
    """Where else a data set is that could not be downloaded, in words: beside a folder, or in TFDS' own; or empty.

    Args:
        folder, holds: as in `refuse_misplaced`.
    """
    # No reason to refuse before: whoever wants a copy of their own gives such a folder.
    folder = _whole(folder)
    other = _first((*_below(folder.parent, 1), Path.home() / "tensorflow_datasets"), holds)
    return f"it is in {other}: give {_given(other)}, or " if other else ""


def _whole(folder):
    return Path(os.path.abspath(os.path.expanduser(folder)))


def _given(folder):
    """The flag as a shell takes it."""
    return f"--data_dir={shlex.quote(str(folder))}"


def _first(folders, holds):
    """The first of some folders that holds a data set, or None."""
    for folder in folders:
        with contextlib.suppress(OSError):
            if holds(folder):
                return folder
    return None


def _below(folder, levels):
    """Folders in a folder, the nearer ones first; hidden ones are left out."""
    level = [folder]
    for _ in range(levels):
        level = list(itertools.islice(itertools.chain.from_iterable(map(_folders, level)), MOST))
        yield from level


def _folders(folder):
    """The folders in a folder; none where it is absent or cannot be listed."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        return sorted(Path(entry.path) for entry in entries if entry.name[0] != "." and walking.is_folder(entry))
    return []


@contextlib.contextmanager
def swept(folder, names):
    """What fails inside leaves no folder in `folder` that was not there before, but for files that are whole.

    Args:
        folder: path, which may be absent itself.
        names: of the folders in it that may get new ones.
    """
    folder = Path(folder)
    roots = [folder / name for name in names]
    before = {str(path) for root in roots for path, _, _ in os.walk(root)}
    absent = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        yield
    except BaseException:
        found = [path for root in roots for path, _, _ in os.walk(root, topdown=False)]
        for path in filter(lambda path: path not in before, found):
            if any(part in os.path.basename(path) for part in PARTS):
                shutil.rmtree(path, ignore_errors=True)
        # Only empty ones go: an archive that was downloaded whole is taken the next time.
        for path in [*(path for path in found if path not in before), *absent]:
            with contextlib.suppress(OSError):
                os.rmdir(path)
        raise
