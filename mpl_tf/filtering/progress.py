"""Progress of a run on one line: images done, images a second, time left, and how far the classes are filled.

Counts those of this process: with Beam's local runner all of them. Other runners show their own counters.
"""

import contextlib
import sys
import threading
import time

import numpy as np

_lock, _counts = threading.Lock(), {"images": 0, "fill": None}
TERMINAL, FILE = 0.5, 30.0  # Seconds between two lines: written over each other, or one below the other.


def add(images, classes, probabilities):
    """Count `images` done, of which those with a score have `classes` (int [n]) at `probabilities` (float [n])."""
    with _lock:
        _counts["images"] += images
        fill = _counts["fill"]
        if fill is not None:
            counted = classes[probabilities >= _counts["least"]]
            fill += np.bincount(counted, minlength=len(fill))[: len(fill)]


@contextlib.contextmanager
def shown(done, total, limits, least, output=None):
    """Show progress while the body runs.

    Args:
        done: images scored by an earlier run.
        total: all images.
        limits: int [C], images to keep a class; None where C is not known yet.
        least: smallest probability that counts.
        output: text stream; sys.stderr if None.
    """
    # Counts are of the process: a run starts them anew.
    fill = None if limits is None else np.zeros([len(limits)], np.int64)
    with _lock:
        _counts.update(images=0, fill=fill, least=least)
    thread = _Line(done, total, limits, output or sys.stderr)
    thread.start()
    try:
        yield
    finally:
        thread.end()


class _Line(threading.Thread):
    """A thread that shows the line of progress until `end`, over and over on a terminal, below each other in a file.

    Args:
        done, total, limits: as in `shown`.
        output: text stream.
    """

    def __init__(self, done, total, limits, output):
        super().__init__(daemon=True)
        self.done, self.total, self.limits, self.output = done, total, limits, output
        self.terminal, self.started, self.stop = output.isatty(), time.monotonic(), threading.Event()

    def run(self):
        """Show the line now and again."""
        while not self.stop.wait(TERMINAL if self.terminal else FILE):
            self.show("" if self.terminal else "\n")

    def end(self):
        """Stop; a last line stays where there was something to do."""
        self.stop.set()
        self.join()
        if self.total > self.done:
            self.show("\n")

    def show(self, end):
        """Print the line as the counts are now."""
        with _lock:
            images, fill = _counts["images"], _counts["fill"]
        text = line(self.done, images, self.total, time.monotonic() - self.started, fill, self.limits)
        print(f"\r\033[K{text}" if self.terminal else text, end=end, file=self.output, flush=True)


def line(done, images, total, seconds, fill, limits):
    """The line of progress.

    Args:
        done, images: scored by earlier runs and by this one.
        total: all.
        seconds: since this run started.
        fill, limits: int [C], candidates and images to keep a class; None: not known.
    """
    # The time left by the rate of this run alone.
    rate = images / seconds if seconds > 0 else 0.0
    left = (total - done - images) / rate if rate else float("nan")
    minutes = "?" if np.isnan(left) else f"{int(left) // 60}:{int(left) % 60:02d}"
    text = f"scored {done + images}/{total} images, {rate:.0f}/s, {minutes} left"
    if fill is not None:
        full = np.minimum(fill, limits)
        text += f", classes full {int((full >= limits).sum())}/{len(limits)}, "
        text += f"filled {100 * full.sum() / limits.sum():.0f} %"
    return text
