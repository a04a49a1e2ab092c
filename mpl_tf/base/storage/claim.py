"""One writer a folder in a bucket: an object .lock that its holder writes anew every BEAT seconds.

A bucket has no locks that end with their process. So a lock whose holder is seen to be dead (a process of this
machine), or that has not changed while it was watched for STALE seconds by this machine's own clock, binds nobody.
"""

import contextlib
import json
import os
import secrets
import socket
import threading
import time

from mpl_tf.base import console
from mpl_tf.base.errors import RunError, UsageError
from mpl_tf.base.storage.objects import put, read_bytes, remove
from mpl_tf.base.storage.paths import remote

BEAT, STALE = 20.0, 50.0


class Claim:
    """A lock that this process holds.

    Args:
        url: UPath of the lock's object.
        flag: that names the folder, for messages.
    """

    def __init__(self, url, flag):
        self.url, self.flag, self.lost = url, flag, False
        about = {"host": socket.gethostname(), "pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        self.about = about | {"place": _place(), "token": secrets.token_hex(8), "beat": 0}
        self._ended = threading.Event()

    def take(self):
        """Take the lock.

        Raises:
            UsageError: another process holds it.
            OSError: the bucket cannot be written.
        """
        # Where two come at once the server decides; those that cannot, as some that speak its language, are looked at.
        try:
            if _read(self.url) is not None:
                raise FileExistsError
            put(self._text(), self.url, new=True)
        except FileExistsError:
            self._take_over()
        self.check()
        threading.Thread(target=self._beats, daemon=True).start()

    def let_go(self):
        """Remove the lock, if it still is this process's."""
        self._ended.set()
        with contextlib.suppress(OSError):
            if (_read(self.url) or {}).get("token") == self.about["token"]:
                remove(self.url)

    def check(self):
        """Raise UsageError where another process has taken the lock since."""
        found = _read(self.url)
        self.lost = self.lost or (found or self.about).get("token") != self.about["token"]
        if self.lost:
            raise _in_use(self.url, found, self.flag)

    def _take_over(self):
        """Take a lock that is there, unless its holder lives."""
        before = _read(self.url)
        if before and before.get("place") == self.about["place"] and _alive(before.get("pid")):
            raise _in_use(self.url, before, self.flag)
        if before and before.get("place") != self.about["place"]:
            console.tell(f"{self.url} is of {_holder(before)}; looking for {STALE:.0f} s whether it lives")
            ends = time.monotonic() + STALE
            while time.monotonic() < ends:
                time.sleep(min(1.0, STALE / 10))
                now = _read(self.url)
                if now is None:
                    break
                if now != before:
                    raise _in_use(self.url, now, self.flag)
        remove(self.url)
        try:
            put(self._text(), self.url, new=True)
        except FileExistsError as error:  # Another one took it over in the same moment.
            raise _in_use(self.url, _read(self.url), self.flag) from error

    def _text(self):
        return json.dumps(self.about).encode()

    def _beats(self):
        while not self._ended.wait(BEAT):
            with contextlib.suppress(OSError, UsageError):  # A server that does not answer now may do so the next time.
                self.check()
                self.about["beat"] += 1
                if not self._ended.is_set():
                    put(self._text(), self.url)
            if self.lost:
                return


@contextlib.contextmanager
def held(folder, flag, name):
    """Hold the lock of a folder in a bucket, as lock.held holds that of one on a disk.

    Args:
        folder: URL.
        flag: that names it, for messages, without its dashes.
        name: of the lock's object in it.
    Raises:
        UsageError: another process holds it, or there is no right to write it.
        RunError: the bucket cannot be written, for another reason.
    """
    claim = Claim(remote(str(folder)) / name, flag)
    try:
        claim.take()
    except OSError as error:
        kind = UsageError if isinstance(error, PermissionError) else RunError
        raise kind(f"--{flag}: expected to write {claim.url}, got: {error.strerror}") from error
    try:
        yield claim
    finally:
        claim.let_go()


def refuse_held(folder, flag, name):
    """Refuse a folder in a bucket that is only read while a living process holds its lock; as lock.refuse_held."""
    url = remote(str(folder)) / name
    found = _read(url)
    if found and (found.get("place") != _place() or _alive(found.get("pid"))):
        raise _in_use(url, found, flag)


def _read(url):
    """What a lock says, dict; None where there is none."""
    try:
        found = json.loads(read_bytes(url))
        return found if isinstance(found, dict) else {}
    except FileNotFoundError:
        return None
    except ValueError:
        return {}


def _place():
    """What is the same for two processes that see one another by their numbers: a boot of a machine, a container."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return f"{file.read().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:  # No Linux: by the machine's name.
        return socket.gethostname()


def _alive(pid):
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, TypeError, ValueError):
        return False
    except PermissionError:
        pass
    return True


def _holder(found):
    found = found or {}
    return f"process {found.get('pid', '?')} on {found.get('host', '?')} since {found.get('since', '?')}"


def _in_use(url, found, flag):
    folder = str(url).rpartition("/")[0]
    return UsageError(
        f"--{flag}: {folder} is in use by {_holder(found)}; wait until it ends, stop it, or give another --{flag}"
    )
