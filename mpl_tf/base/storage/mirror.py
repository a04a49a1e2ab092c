"""A run's folder in a bucket: the run works in a copy on the disk, and what it leaves there goes to the bucket.

The copy is taken at the start, so that another machine goes on with the same files. `publish` notes what has changed,
by links, and a thread uploads it while the run trains; where that takes longer than an epoch, epochs are passed over.
At any moment the bucket holds a state to go on from, as the disk does: an object is whole or absent; data come before
the index that says that a checkpoint is there, results.json comes last, and what is gone on the disk goes after that.
"""

import contextlib
import os
import re
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

from mpl_tf.base.errors import RunError, UsageError
from mpl_tf.base.storage import claim, scratch
from mpl_tf.base.storage.faults import persist
from mpl_tf.base.storage.listing import stamp, tree
from mpl_tf.base.storage.objects import fetch, put, remove
from mpl_tf.base.storage.paths import _NAMED, _WORKED_IN, check, is_url, remote

THREADS = 8
LOCAL = re.compile(r"(.*/)?(\.partial-.*|\..*lock|[^/]*\.partial|[^/]*\.tmp\d*.*)")  # Never uploaded.
WRITTEN_ONCE = re.compile(r"checkpoints/.*|.*\.keras|.*\.npy")  # Replaced by others, never changed: links will do.
CHECKPOINT = re.compile(r"(.*ckpt-\d+)\.(index|data-.*)")
BESIDE = ("checkpoints/", "tensorboard/", "features/")  # What whoever only looks at a finished run does without.
# A name is of the last of these stages that it fits; a stage begins when the one before it is over.
STAGES = (".*", r".*\.npy", r".*ckpt-\d+\.index", r"(.*/)?checkpoint", r"results\.json")
_mirrors = {}  # Of this process, by URL.


class Mirror:
    """The copy of a folder in a bucket.

    Args:
        url: of the folder.
        root: Path of a scratch folder.
        whole: whether all of it is copied and kept as the copy is; else what BESIDE names is left alone.
        claimed: claim.Claim of it, or None.

    Attributes:
        folder: Path of the copy.
    """

    def __init__(self, url, root, whole, claimed):
        self.url, self.folder, self.whole, self.claimed = url, root / "run", whole, claimed
        self._base = remote(url)
        self._staged, self._count = root / "staged", 0
        self._stamps, self._sent = {}, {}  # Of each name: the bucket's stamp when it was fetched; the disk's signature.
        self._waiting, self._busy, self.failure = None, False, None
        self._changed = threading.Condition()
        self._thread = None

    def pull(self):
        """Make the copy what the bucket holds."""
        found = {name: about for name, about in tree(self._base).items() if not LOCAL.fullmatch(name)}
        if not self.whole:
            found = {name: about for name, about in found.items() if not name.startswith(BESIDE)}
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in set(self._stamps) - set(found):
            (self.folder / name).unlink(missing_ok=True)
        wanted = {name: about for name, about in found.items() if self._stamps.get(name) != stamp(about)}
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(self._fetch, wanted, wanted.values()))
        self._stamps = {name: stamp(about) for name, about in found.items()}

    def _fetch(self, name, about):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        persist(lambda: fetch(self._base / name, path))
        # Phases are told apart by the times of their checkpoints.
        written = next((about[key] for key in ("LastModified", "updated", "mtime", "created") if key in about), None)
        if hasattr(written, "timestamp"):
            os.utime(path, (written.timestamp(), written.timestamp()))
        self._sent[name] = _signature(path)

    def publish(self, wait=False):
        """Let the bucket become what the copy is now.

        Args:
            wait: until that is done; else a thread does it.
        Raises:
            RunError: it, or an earlier one, could not be written.
            UsageError: another process has taken the folder since.
        """
        self._check()
        staged = self._stage()
        with self._changed:
            if self._waiting:  # It was not begun, and this one has all that it had.
                shutil.rmtree(self._waiting[0], ignore_errors=True)
            self._waiting = staged
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, daemon=True)
                self._thread.start()
            self._changed.notify_all()
            while wait and (self._waiting or self._busy) and self.failure is None:
                self._changed.wait(1.0)
        self._check()

    def _check(self):
        if self.failure is not None:
            raise self.failure
        if self.claimed is not None and self.claimed.lost:
            self.claimed.check()

    def _stage(self):
        """(folder, {name: signature} of what has changed since it was sent, and is in that folder; all names)."""
        self._count += 1
        into, changed, names = self._staged / str(self._count), {}, set()
        for name, path in _files(self.folder):
            names.add(name)
            signature = _signature(path)
            if self._sent.get(name) == signature:
                continue
            changed[name] = signature
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            (os.link if WRITTEN_ONCE.fullmatch(name) else shutil.copyfile)(path, into / name)
        return into, changed, names

    def _work(self):
        """The thread: what waits, one after the other."""
        while True:
            with self._changed:
                while not self._waiting:
                    self._changed.wait()
                (staged, changed, names), self._waiting, self._busy = self._waiting, None, True
            try:
                self._upload(staged, changed, names)
            except Exception as error:  # Told by who publishes next.
                why = getattr(error, "strerror", None) or error
                self.failure = RunError(
                    f"--workdir: cannot write to {self.url} ({why}); the same command goes on from what is there"
                )
                self.failure.__cause__ = error
            shutil.rmtree(staged, ignore_errors=True)
            with self._changed:
                self._busy = False
                self._changed.notify_all()

    def _upload(self, staged, changed, names):
        """Stage by stage; see the head."""
        # Sent by the one before, maybe, since this one was noted.
        changed = {name: signature for name, signature in changed.items() if self._sent.get(name) != signature}
        # A checkpoint whose data are replaced is none until all are there.
        again = {CHECKPOINT.fullmatch(name)[1] for name in changed if CHECKPOINT.fullmatch(name)}
        for name in sorted(f"{prefix}.index" for prefix in again):
            if name in self._sent or name in self._stamps:
                persist(lambda name=name: remove(self._base / name))
                self._forget(name)
        order = {}
        for name in changed:
            order.setdefault(max(n for n, form in enumerate(STAGES) if re.fullmatch(form, name)), []).append(name)
        with ThreadPoolExecutor(THREADS // 2) as pool:
            for number in sorted(order):
                list(pool.map(lambda name: persist(lambda: put(staged / name, self._base / name)), order[number]))
                self._sent |= {name: changed[name] for name in order[number]}
        gone = sorted((set(self._sent) | set(self._stamps)) - names, key=lambda name: not name.endswith(".index"))
        for name in gone if self.whole else ():
            persist(lambda name=name: remove(self._base / name))
            self._forget(name)

    def _forget(self, name):
        self._sent.pop(name, None)
        self._stamps.pop(name, None)


@contextlib.contextmanager
def worked_in(given, flag, writes=True, whole=True, claims=False):
    """Let a folder be worked in, which storage.path then finds on the disk; what is on a disk anyway is left as it is.

    Args:
        given: path or URL of the folder.
        flag: that gave it, without its dashes.
        writes: whether this process writes there; of several hosts the first one does.
        whole: False for who looks at a finished run and adds to it: checkpoints and the like stay in the bucket.
        claims: whether such a one keeps others out too.
    Raises:
        UsageError: another process holds it, no such bucket, no right to it.
        RunError: it cannot be read or written, for another reason.
    """
    if not is_url(given):
        yield
        return
    check(given, flag)
    url = str(given).rstrip("/")
    with scratch.folder() as root, contextlib.ExitStack() as held:
        claimed = held.enter_context(claim.held(url, flag, ".lock")) if writes and (whole or claims) else None
        mirror = Mirror(url, root, whole, claimed)
        try:
            mirror.pull()
        except OSError as error:
            kind = UsageError if isinstance(error, PermissionError) else RunError
            raise kind(f"--{flag}: cannot read {url} ({error.strerror or error})") from error
        _WORKED_IN[url], _NAMED[str(mirror.folder)], _mirrors[url] = mirror.folder, url, mirror
        try:
            yield
            if writes:
                mirror.publish(wait=True)
        except BaseException as error:
            # A stop has saved, and says so: what it saved must be there. A second Ctrl-C does not wait.
            if writes and not isinstance(error, KeyboardInterrupt) and mirror.failure is None:
                with contextlib.suppress(UsageError):  # Another process has the folder by now: it is not disturbed.
                    mirror.publish(wait=True)
            raise
        finally:
            del _WORKED_IN[url], _mirrors[url]


def publish(given, wait=False):
    """See Mirror.publish, of the folder of this URL; nothing is done for one on a disk."""
    if str(given).rstrip("/") in _mirrors:
        _mirrors[str(given).rstrip("/")].publish(wait)


def refresh(given):
    """Make the copy of a URL's folder what the bucket holds now; nothing is done for one on a disk."""
    if str(given).rstrip("/") in _mirrors:
        _mirrors[str(given).rstrip("/")].pull()


def _files(folder):
    """(name below the folder, path) of the files that are published."""
    for parent, _, found in os.walk(folder):
        for last in found:
            path = os.path.join(parent, last)
            name = os.path.relpath(path, folder)
            if not LOCAL.fullmatch(name) and not any(LOCAL.fullmatch(part) for part in name.split(os.sep)):
                yield name, path


def _signature(path):
    found = os.stat(path)
    return found.st_mtime_ns, found.st_size, found.st_ino
