"""What is kept for the next run of one process: a short run's time is that of its images' decoding and its building."""

import contextlib
import contextvars

_KEPT = contextvars.ContextVar("kept", default=None)  # What was made while `between_runs` lasts, by its key.


@contextlib.contextmanager
def between_runs():
    """While this lasts, what `once` makes is kept and handed out again."""
    token = _KEPT.set({})
    try:
        yield
    finally:
        _KEPT.reset(token)


def once(key, make):
    """What `make` makes; while `between_runs` lasts, what it made at the first call. Nobody may change it.

    Args:
        key: hashable, all that it depends on.
        make: function without arguments.
    """
    found = _KEPT.get()
    if found is None:
        return make()
    if key not in found:
        found[key] = make()
    return found[key]
