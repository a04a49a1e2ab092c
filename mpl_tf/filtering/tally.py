"""What a run's workers have done, counted where they work, and read by the launching program.

The launching program's own process is looked at directly. Any other process writes what it counted, now and again, into
a small file in a folder that both see: so the counts are right whatever the runner is. A chunk counts once, whoever
works on it and however often: bundles are tried again.
"""

import contextlib
import functools
import json
import os
import secrets
import socket
import threading
import time

import numpy as np

from mpl_tf.base import files, storage
from mpl_tf.base.errors import RunError

PAUSES = (2.0, 10.0)  # Seconds between two files of a process: on a disk, in a bucket.


class Tally:
    """What one process has done for one pipeline.

    Args:
        folder: where its file goes; empty: nobody reads it.

    Attributes:
        scored: dict of a chunk's number to how many of its images are scored.
        surveyed: set of the numbers of the chunks whose best probabilities are known.
        fill: int64 [C], candidates of each class in them; None before the first.
        selected: set of the numbers of the chunks whose candidates are chosen by these.
        here: whether this is the launching program's own process, which needs no file.
    """

    def __init__(self, folder):
        self.scored, self.surveyed, self.selected, self.fill, self.here = {}, set(), set(), None, not folder
        self._folder, self._lock, self._written = folder, threading.Lock(), time.monotonic()
        self._name = f"{socket.gethostname()[:32]}-{os.getpid()}-{secrets.token_hex(4)}.json"

    def begin(self, chunk):
        """Begin to score a chunk; returns the function that is told of every few images (int) more."""
        with self._lock:
            self.scored[chunk] = 0
        return functools.partial(self._add, chunk)

    def _add(self, chunk, images):
        with self._lock:
            self.scored[chunk] += images
        self._tell()

    def survey(self, chunk, classes, count):
        """Count a chunk whose candidates have `classes` (int [n]), of `count` classes."""
        with self._lock:
            if chunk not in self.surveyed:
                self.surveyed.add(chunk)
                self.fill = np.bincount(classes, minlength=count) + (0 if self.fill is None else self.fill)
        self._tell()

    def select(self, chunk):
        """Count a chunk whose candidates are chosen."""
        with self._lock:
            self.selected.add(chunk)
        self._tell()

    def state(self):
        """[scored, surveyed, fill, selected] as JSON has them."""
        with self._lock:
            fill = [] if self.fill is None else self.fill.tolist()
            scored = {str(chunk): images for chunk, images in self.scored.items()}
            return [scored, sorted(self.surveyed), fill, sorted(self.selected)]

    def _tell(self):
        """Write the file where it is time to; a disk that is full ends the work elsewhere, not here."""
        now = time.monotonic()
        with self._lock:
            if self.here or now < self._written + pause(self._folder):
                return
            self._written = now
        with contextlib.suppress(RunError):
            files.write_text(storage.path(self._folder) / self._name, json.dumps(self.state()))


def pause(folder):
    """Seconds between two files, and between two looks at them."""
    return PAUSES[storage.is_url(folder)]


@functools.lru_cache(maxsize=2)
def of(folder):
    """The Tally of this process for a folder."""
    return Tally(folder)


class Sum:
    """What all processes have done, as far as they have told.

    Args:
        folder: of the files.
        lengths: dict of each chunk's number to its images.
        before: chunks that were scored before.
    """

    def __init__(self, folder, lengths, before):
        self._own, self._folder, self._others, self._read = of(folder), folder, {}, 0.0
        self._own.here, self._lengths, self._before = True, lengths, set(before)

    def now(self):
        """(scored, surveyed, selected, fill): images each; int64 [C] candidates of each class, None where none is."""
        self._look()
        scored, surveyed, selected, fill = dict.fromkeys(self._before, np.inf), set(), set(), None
        for counted, chunks, classes, chosen in (self._own.state(), *self._others.values()):
            for chunk, images in counted.items():
                scored[int(chunk)] = max(scored.get(int(chunk), 0), images)
            # Of a process whose chunks another one counts too, the part that is new.
            new = set(chunks) - surveyed
            surveyed |= new
            selected |= set(chosen)
            if new:
                fill = (0 if fill is None else fill) + np.asarray(classes) * len(new) // len(chunks)
        images = int(sum(min(count, self._lengths[chunk]) for chunk, count in scored.items()))
        return images, *(sum(self._lengths[chunk] for chunk in found) for found in (surveyed, selected)), fill

    def _look(self):
        """Read the files of the others where it is time to."""
        if time.monotonic() < self._read + pause(self._folder):
            return
        self._read = time.monotonic()
        for name in storage.names(self._folder):
            if not name.startswith(files.PARTIAL):
                with contextlib.suppress(OSError, ValueError):  # It is being replaced: the next look finds it.
                    self._others[name] = json.loads(storage.read_bytes(storage.path(self._folder) / name))
