"""Slow studies that show the program right on a machine at hand; results in docs/results/."""
