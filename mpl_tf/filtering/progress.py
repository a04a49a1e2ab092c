"""Progress of a run on one line: images done, images a second, time left, and how far the classes are filled."""

import contextlib
import secrets
import sys
import threading
import time

import numpy as np

from mpl_tf.filtering import tally

TERMINAL, FILE = 0.5, 30.0  # Seconds between two lines: written over each other, or one below the other.


@contextlib.contextmanager
def shown(job, chunks, done, output=None):
    """Show progress while the body, one pipeline, runs.

    Args:
        job: Job.
        chunks: list of inputs.Chunk.
        done: those of them that are scored before.
        output: text stream; sys.stderr if None.
    Yields:
        str, the folder for the workers' tallies.
    """
    # A folder of its own, that no count of an earlier pipeline comes in.
    folder = str(job.work / "progress" / secrets.token_hex(4))
    lengths = {chunk.number: len(chunk) for chunk in chunks}
    total = tally.Sum(folder, lengths, [chunk.number for chunk in done])
    thread = _Line(total, sum(lengths.values()), sum(map(len, done)), job.limits, output or sys.stderr)
    thread.start()
    try:
        yield folder
        thread.whole = True
    finally:
        thread.end()


class _Line(threading.Thread):
    """A thread that shows the line of progress until `end`, over and over on a terminal, below each other in a file.

    Args:
        tallies: tally.Sum.
        total: images.
        done: those that are scored before.
        limits: int [C], images to keep a class.
        output: text stream.

    Attributes:
        whole: whether all is done, whatever the workers have told.
    """

    def __init__(self, tallies, total, done, limits, output):
        super().__init__(daemon=True)
        self.tallies, self.total, self.limits, self.output, self.whole = tallies, total, limits, output, False
        # What is done, one after the other, and how much of it was done before; what is told at the end.
        self.steps = {"scored": done} if done < total else {"surveyed": 0}
        self.steps["selected"] = 0
        self.verb, self.last = "", "scored" if done < total else "selected"
        self.begun = self.started = time.monotonic()
        self.terminal, self.stop = output.isatty(), threading.Event()

    def run(self):
        """Show the line now and again."""
        while not self.stop.wait(TERMINAL if self.terminal else FILE):
            self.show("" if self.terminal else "\n")

    def end(self):
        """Stop; a last line stays, where the end was reached or the line on the terminal must end."""
        self.stop.set()
        self.join()
        if self.whole or self.terminal:
            self.show("\n")

    def show(self, end):
        """Print the line as the counts are now."""
        *counts, fill = self.tallies.now()
        now = dict(zip(("scored", "surveyed", "selected"), counts, strict=True))
        # The first step that is not done; of the time since it began its own images a second.
        verb = next((verb for verb in self.steps if now[verb] < self.total), "selected")
        if self.whole:
            now[self.last], verb, self.started = self.total, self.last, self.begun
        elif verb != self.verb:
            self.started, self.verb = time.monotonic() if self.verb else self.begun, verb
        before, seconds = self.steps[verb], time.monotonic() - self.started
        text = line(verb, before, now[verb] - before, self.total, seconds, fill, self.limits)
        print(f"\r\033[K{text}" if self.terminal else text, end=end, file=self.output, flush=True)


def line(verb, done, images, total, seconds, fill, limits):
    """The line of progress.

    Args:
        verb: what is done with the images: scored, surveyed, selected.
        done, images: done by earlier runs and by this one.
        total: all.
        seconds: since this run started.
        fill, limits: int [C], candidates and images to keep a class; None: not known.
    """
    # The time left by the rate of this run alone.
    rate = images / seconds if seconds > 0 else 0.0
    left = (total - done - images) / rate if rate else float("nan")
    minutes = "?" if np.isnan(left) else f"{int(left) // 60}:{int(left) % 60:02d}"
    text = f"{verb} {done + images}/{total} images, {rate:.0f}/s, {minutes} left"
    if fill is not None:
        full = np.minimum(fill, limits)
        text += f", classes full {int((full >= limits).sum())}/{len(limits)}, "
        text += f"filled {100 * full.sum() / limits.sum():.0f} %"
    return text
