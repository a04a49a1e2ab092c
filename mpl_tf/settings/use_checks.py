"""Checks of the flags of what is done with a trained network; see settings/checks.py, which runs them."""

from pathlib import Path


def predicted(config):
    """--mode=predict has images to label."""
    if not config.images or not Path(config.images).exists():
        found = f"found no {config.images}" if config.images else "got nothing"
        yield f"--images: expected a folder of images, an image or a CSV file of their paths, {found}"
