"""What is printed, and how a line of the program itself reads on stderr."""

import sys

from mpl_tf.base.storage.paths import named


def take_any_name():
    """Let stdout and stderr take the name of any file: what they cannot show comes out escaped.

    So does a name that is no UTF-8: its bytes as they are would make what is captured unreadable as text. Files that
    programs read (predictions.csv, results.json) keep them.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def tell(line):
    """Say on stderr, at once, what went other than it should and was mended or left aside."""
    print(named(f"mpl_tf: {line}"), file=sys.stderr, flush=True)
