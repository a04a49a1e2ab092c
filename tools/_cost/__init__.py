"""What `tools/studies/compiled.py --cost` is made of: what a step must compute, what XLA computes, what leaves it."""
