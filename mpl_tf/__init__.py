"""Meta Pseudo Labels (Pham et al., CVPR 2021) and its relatives on TensorFlow and Keras 3.

`train`, `features`, `evaluate`, `predict`, `export`, `Run` and the lists are those of mpl_tf/api.py, `datasets` is
mpl_tf/datasets.py. They are imported when they are first asked for, TensorFlow when one of them needs it.
"""

import importlib

__version__ = "0.1.0"

_CALLS = ("train", "features", "evaluate", "predict", "export", "Run", "list_datasets", "list_methods", "list_models")
_HOMES = dict.fromkeys(_CALLS, "api")
_HOMES |= dict.fromkeys(("RunError", "UsageError"), "base.errors")


def __getattr__(name):
    if name in _HOMES:
        return getattr(importlib.import_module(f"mpl_tf.{_HOMES[name]}"), name)
    if name == "datasets":
        return importlib.import_module("mpl_tf.datasets")
    raise AttributeError(f"module 'mpl_tf' has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *_HOMES, "datasets"])
