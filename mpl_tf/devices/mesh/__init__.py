"""Hybrid model-data parallelism on DTensor: one training step, its images and weights split over a mesh.

`devices.MeshDevices` is what the rest of the program meets; the grid, layers on tiles and variables are its own.
"""
