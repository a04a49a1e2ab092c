"""--weights=FILE: networks that start from the weights in a file.

A .npz file has PyTorch's names and shapes: convolutions NAME.weight [out, in, h, w], depthwise ones [channels, 1, h,
w], the classifier [out, in], batch norms NAME.weight, .bias, .running_mean and .running_var. A network's row in the
catalogue says how its layers are named there. A .keras file is a saved network, as for --init_from; a .weights.h5 file
has the weights of one alone, as keras.Model.save_weights writes them. Either may be of a library's network as the
library makes it, without classifier; a .h5 file is one of keras.applications' own, without top.
"""

import re
import warnings

import h5py
import keras
import numpy as np

from mpl_tf import models
from mpl_tf.base import storage
from mpl_tf.base.errors import UsageError, reason
from mpl_tf.models import foreign, saved
from mpl_tf.settings import catalogue
from mpl_tf.settings.catalogue import NETWORKS
from mpl_tf.settings.catalogue.rows import imported

NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}


def load(network, name, path):
    """Give a new network the weights of a file.

    Args:
        network: keras.Model as models.build makes it; a classifier of another number of classes keeps its own weights.
        name: of the network.
        path: of a .npz, .weights.h5, .h5 or .keras file.
    Raises:
        UsageError: a file that cannot be read or does not fit; it names the first weight that does not.
    """
    with storage.fetched(path) as copy:
        if copy.suffix == ".npz":
            _from_torch(network, name, copy)
        elif copy.suffix == ".h5":
            _from_h5(network, name, copy)
        else:
            saved.start_from(network, copy, "weights")


def _from_h5(network, name, path):
    """The weights of a .weights.h5 or .h5 file, which may have no classifier or one of another number of classes."""
    shape, library = network.input_shape[1:], catalogue.network(name).library
    readers = [_whole] if str(path).endswith(".weights.h5") else []
    if library and readers:
        readers.append(_body)
    elif library == "keras":
        readers.append(lambda name, shape, path: foreign.body(name, shape, str(path)))
    if not readers:
        raise UsageError(f"--weights: a .h5 file goes with --model=keras:NAME, got {name}; give a .keras file")
    failure = None
    for read in readers:
        try:
            with warnings.catch_warnings():  # Keras 3.15 warns of lists that hold each layer a second time.
                warnings.filterwarnings("ignore", "Skipping nested container at '_operations_by_depth")
                source = read(name, shape, path)
        except Exception as error:  # Damage may lead h5py, and another network Keras, anywhere.
            failure = error
        else:
            saved.give(network, source, path, "weights")
            return
    raise UsageError(
        f"--weights: expected the weights of {name} in {path}, got a file that does not fit ({reason(failure)}); give "
        "the weights of that network, or its --model"
    ) from failure


def _whole(name, shape, path):
    """A network as models.build makes it, with the weights of a .weights.h5 file and as many classes."""
    with h5py.File(path) as file:
        dense = file["layers"][max(key for key in file["layers"] if re.fullmatch(r"dense(_\d+)?", key))]
        classes = dense["vars"]["1"].shape[0]
    source = models.build(name, shape, classes)
    source.load_weights(path)
    return source


def _body(name, shape, path):
    """A library's network as the library makes it, with the weights of a .weights.h5 file."""
    source = foreign.body(name, shape)
    source.load_weights(path)
    return source


def _from_torch(network, name, path):
    """The weights of a .npz file, by the names that the network's layers have there."""
    names = catalogue.network(name).names
    if not names:
        takers = ", ".join(row.name for row in NETWORKS.values() if row.names)
        raise UsageError(f"--weights: a .npz file goes with --model={takers}, got {name}; give a .keras file")
    values = _read(path)
    layers = [layer for layer in network.layers if layer.weights]
    for layer, of_layer in zip(layers, imported(names)(network), strict=True):
        _give(layer, of_layer, values, path, network.name)
    if values:
        raise UsageError(
            f"--weights: {path} holds {next(iter(values))}, which {network.name} does not have; give the weights of "
            "that network, or its --model"
        )


def _give(layer, name, values, path, network):
    """Give a layer its weights, taken out of a file's."""
    norm = isinstance(layer, keras.layers.BatchNormalization)
    found = []
    for key in NORM if norm else ("weight", "bias")[: len(layer.weights)]:
        wanted, value = f"{name}.{key}", values.pop(f"{name}.{key}", None)
        own = tuple(layer.weights[len(found)].shape)
        expected = _torch_shape(layer, own)
        # Another number of classes: the classifier is the task's own.
        if isinstance(layer, keras.layers.Dense) and value is not None and value.shape[1:] == expected[1:]:
            found.append(value.T if value.shape == expected else None)
            continue
        if value is None or value.shape != expected:
            got = "nothing" if value is None else f"shape {value.shape}"
            raise UsageError(
                f"--weights: expected {wanted} of shape {expected} for {network} in {path}, got {got}; give the "
                "weights of that network, or its --model"
            )
        found.append(value.transpose(*_AXES[type(layer).__name__]) if value.ndim == 4 else value)
    if any(value is None for value in found):
        print(f"{path} has another number of classes: its classifier is not taken", flush=True)
        return
    layer.set_weights(found)


# From PyTorch's axes to Keras' [h, w, in, out], or of a depthwise convolution [h, w, channels, 1].
_AXES = {"Conv2D": (2, 3, 1, 0), "DepthwiseConv2D": (2, 3, 0, 1)}


def _torch_shape(layer, own):
    """The shape that a weight of Keras' shape `own` has in PyTorch."""
    if len(own) == 4:
        axes = _AXES[type(layer).__name__]
        return tuple(own[axes.index(axis)] for axis in range(4))
    return own[::-1]


def _read(path):
    """The arrays of a .npz file by name: dict of str to array."""
    try:
        with np.load(path) as archive:
            return {name: archive[name] for name in archive.files}
    except Exception as error:  # Damage may lead numpy anywhere.
        raise UsageError(f"--weights: expected a file of weights, cannot read {path} ({reason(error)})") from error
