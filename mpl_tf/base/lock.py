"""One writer a folder: the second process is refused by the name of the first.

The kernel holds the lock (flock) and lets it go when its process ends, however it ends, so that none is ever stale: a
`kill -9` leaves the file .lock, whose words then bind nobody. The file says who holds it.
"""

import contextlib
import json
import os
import socket
import time
from pathlib import Path

from mpl_tf.base import console, files, storage
from mpl_tf.base.errors import RunError, UsageError
from mpl_tf.base.storage import claim

try:
    import fcntl
except ImportError:  # Windows has none; TensorFlow's later versions do not run there either but under WSL, which has.
    fcntl = None

NAME = ".lock"


@contextlib.contextmanager
def held(folder, flag, name=NAME):
    """Hold the lock of a folder; inside it nobody else that asks for it writes there.

    Args:
        folder: Path; made if it is absent.
        flag: that names the folder, for the message, without its dashes.
        name: of the lock's file in it: one for each thing in a folder that has a writer of its own.
    Raises:
        UsageError: another process holds it: named by host, number and start.
        RunError: the folder cannot be made or written.
    """
    if storage.is_url(folder):
        with claim.held(folder, flag, name):
            yield
        return
    path = Path(folder) / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = _taken(path)
    except OSError as error:
        raise RunError(f"--{flag}: expected to write {path}, got {error}; {files.remedy(error)}") from error
    if file is None:
        raise _in_use(path, flag)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()  # Before the lock is let go: whoever waits on this file finds it gone and takes a new one.
        file.close()


def refuse_held(folder, flag, name=NAME):
    """Refuse a folder that is only read, so that nothing is made in it, while another process holds its lock.

    Args:
        folder, flag, name: as in `held`.
    Raises:
        UsageError: another process holds it: named by host, number and start.
    """
    if storage.is_url(folder):
        claim.refuse_held(folder, flag, name)
        return
    path = Path(folder) / name
    with contextlib.suppress(FileNotFoundError, PermissionError), open(path, encoding="utf-8") as file:
        try:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise _in_use(path, flag) from error
        except OSError:  # A network disk without locks, told where one is taken.
            pass


def _in_use(path, flag):
    return UsageError(
        f"--{flag}: {path.parent} is in use by {_holder(path)}; wait until it ends, stop it, or give another --{flag}"
    )


def _taken(path):
    """The lock's open file, held by this process; None where another one holds it."""
    while True:
        file = open(path, "a+", encoding="utf-8")  # noqa: SIM115 Open as long as the lock is held.
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
                return None
            except OSError as error:  # A network disk without locks: the run goes on, told.
                console.tell(f"{path} cannot be locked ({error}); start no second run there")
        # Between the opening and the lock its holder may have ended and removed the file: then it locks nothing.
        if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
            break
        file.close()
    file.truncate(0)
    started = time.strftime("%Y-%m-%d %H:%M:%S")
    file.write(json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "since": started}) + "\n")
    file.flush()
    return file


def _holder(path):
    """Who holds the lock, in words."""
    try:
        found = json.loads(path.read_text("utf-8"))
        return f"process {found['pid']} on {found['host']} since {found['since']}"
    except (OSError, ValueError, KeyError, TypeError):  # It has not written its name yet, or has just ended.
        return "another process"
