"""Choosing unlabeled images for training: score, select, remove overlaps, at any scale (tools/filter_unlabeled.py).

Needs the extra [filter]: Apache Beam and pyarrow, which nothing else in the program imports.
"""

import logging

_before = logging.root.manager.disable
logging.disable(logging.WARNING)  # Beam's on clients of Google Cloud that are not installed.
try:
    import apache_beam  # noqa: F401
finally:
    logging.disable(_before)
