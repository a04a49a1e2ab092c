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
    output = output or sys.stderr
    fill = None if limits is None else np.zeros([len(limits)], np.int64)
    with _lock:
        _counts.update(images=0, fill=fill, least=least)
    stop, started = threading.Event(), time.monotonic()
    again = output.isatty()

    def show(end):
        with _lock:
            images = _counts["images"]
        text = line(done, images, total, time.monotonic() - started, fill, limits)
        print(f"\r\033[K{text}" if again else text, end=end, file=output, flush=True)

    def loop():
        while not stop.wait(TERMINAL if again else FILE):
            show("" if again else "\n")

    # A thread shows the line until the body ends; the last line stays.
    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        if total > done:
            show("\n")


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
