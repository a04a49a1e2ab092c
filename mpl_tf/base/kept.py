"""Decoded splits, kept for the next run of one process: most of a short run's time is the decoding of its images."""

import contextlib
import contextvars

_SPLITS = contextvars.ContextVar("splits", default=None)  # What was read while `reads` lasts, by what it is of.


@contextlib.contextmanager
def reads():
    """While this lasts, what `read` reads is kept and handed out again."""
    token = _SPLITS.set({})
    try:
        yield
    finally:
        _SPLITS.reset(token)


def read(key, make):
    """A data.Source as `make` gives it; while `reads` lasts that of the first call, its arrays not to be written to.

    Args:
        key: hashable, all that the Source depends on.
        make: function without arguments.
    """
    splits = _SPLITS.get()
    if splits is None:
        return make()
    if key not in splits:
        source = splits[key] = make()
        source.images.flags.writeable = source.labels.flags.writeable = False
    return splits[key]
