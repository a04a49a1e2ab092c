"""What libraries log, kept off the screen: what matters of it the tool says itself, in a line."""

import contextlib
import logging
import threading


@contextlib.contextmanager
def silent():
    """No library logs an error meanwhile, and no thread tells how it ended: the caller does."""
    before, threading.excepthook = threading.excepthook, lambda _: None
    try:
        with unlogged():
            yield
    finally:
        threading.excepthook = before


@contextlib.contextmanager
def unlogged(level=logging.ERROR):
    """Nothing of that level or below is logged meanwhile, by whatever library of this process."""
    before = logging.root.manager.disable
    logging.disable(max(level, before))
    try:
        yield
    finally:
        logging.disable(before)
