"""Choosing unlabeled images for training: score, select, remove overlaps, at any scale (tools/filter_unlabeled.py).

Needs the extra [filter]: Apache Beam and pyarrow, which nothing else in the program imports. `settings` alone needs
neither: its classes are the flags of the tool.
"""
