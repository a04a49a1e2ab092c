"""A run around the steps: phases, checkpoints, tables, scores and the networks that come out."""
