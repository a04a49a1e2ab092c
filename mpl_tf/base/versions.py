"""The versions that decide a run's numbers."""

import subprocess
import sys
from importlib import metadata
from pathlib import Path


def versions():
    """Versions of Python and of the packages that decide a run's numbers, and the git revision of a checkout."""
    names = ("tensorflow", "keras", "tensorflow-datasets", "keras-cv", "numpy", "scikit-learn")
    found = {"python": sys.version.split()[0]} | {name: metadata.version(name) for name in names}
    here = Path(__file__).resolve().parent
    try:
        done = subprocess.run(
            ["git", "-C", here, "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
        )
        revision = done.stdout.strip() or None
    except OSError:
        revision = None
    return {"versions": found, "git_revision": revision}
