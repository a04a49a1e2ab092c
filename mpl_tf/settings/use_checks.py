"""Checks of the flags of what is done with a trained network; see settings/checks.py, which runs them."""

import importlib.util

from mpl_tf.base import storage
from mpl_tf.settings.forms import EXPORTS

# What a format needs beside TensorFlow: the extra [export] of setup.cfg.
PACKAGES = {"onnx": ("onnx", "onnxruntime", "tf2onnx")}


def predicted(config):
    """--mode=predict has images to label."""
    if not config.images or not storage.exists(config.images):
        found = f"found no {config.images}" if config.images else "got nothing"
        yield f"--images: expected a folder of images, an image or a CSV file of their paths, {found}"


def exported(config):
    """What the formats of --export need is installed, which is told before a training; --mode=export has some."""
    for kind in config.exports():
        absent = [name for name in PACKAGES.get(kind, ()) if importlib.util.find_spec(name) is None]
        if absent:
            names = " ".join(absent)
            yield f"--export: {kind} needs packages that are not installed: pip install {names} brings them"
    if config.mode == "export":
        if not config.export:
            yield f"--export: expected some of {', '.join(EXPORTS)} for --mode=export, got nothing"
        if config.images:
            yield from predicted(config)
