"""What is printed."""

import sys


def take_any_name():
    """Let stdout take the name of any file: bytes that are no text come out as they are, or escaped.

    A stream that is not UTF-8 gets escapes for all that it cannot show; stderr has them in any case.
    """
    if hasattr(sys.stdout, "reconfigure"):
        plain = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
        sys.stdout.reconfigure(errors="surrogateescape" if plain else "backslashreplace")
