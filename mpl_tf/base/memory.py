"""How much memory this process may take."""

import os
from pathlib import Path

# Limits of the container, as version 2 and 1 of the kernel's control groups tell them.
LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def total():
    """Bytes of memory that the machine has, or its container where that is limited to less."""
    return min(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), *filter(None, map(_limit, LIMITS)), 2**62)


def _limit(path):
    """The number in a file, or None."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # No such group, or "max": no limit.
        return None
