"""What tools/benchmark.py is made of: one file a kind of measurement."""
