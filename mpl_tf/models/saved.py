"""Networks in .keras files: opened, checked, and taken as the start of new ones (--init_from, --init_teacher_from).

Such a file is a zip archive; beside what Keras writes into its metadata.json, that of this program has class_names.
"""

import json
import os
import shutil
import zipfile

import keras
import numpy as np

from mpl_tf.base import storage
from mpl_tf.base.errors import UsageError, reason

METADATA, NAMES = "metadata.json", "class_names"


def load(path, flag="workdir", missing="expected a finished run with {path}, found none; train first"):
    """Open a saved model, for which the user gave `flag`.

    Args:
        path: of the file.
        flag: for messages.
        missing: what is said where there is no file.
    Returns:
        keras.Model, uncompiled.
    Raises:
        UsageError: there is none, or it cannot be read or is damaged.
    """
    if not storage.is_file(path):
        raise UsageError(f"--{flag}: " + missing.format(path=path))
    check(path, flag)
    try:
        with storage.fetched(path) as copy:
            return keras.models.load_model(copy, compile=False)
    except Exception as error:  # Keras passes on whatever the file's parts lead it to.
        raise _unreadable(path, flag, f"{type(error).__name__}: {reason(error)}") from error


def compile_for_scores(model):
    """Let evaluate() and its like score a model of logits on labels int [B]: loss (mean cross entropy, nats), accuracy.

    Args:
        model: keras.Model -> logits [B, C]; the optimizer, which Keras asks for, has no state, and trains by no recipe.
    """
    model.compile(
        optimizer=keras.optimizers.SGD(),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.SparseCategoricalAccuracy("accuracy")],
    )


def add_class_names(path, names):
    """Add the names of the classes, in the order of the outputs, to a .keras file that is being written.

    They go into a part that Keras writes anyway: of an archive with more parts it unpacks all before it reads.

    Args:
        path: of the file.
        names: C names, str; bytes that are no UTF-8 are kept.
    """
    whole = f"{path}.named"
    try:
        with zipfile.ZipFile(path) as found, zipfile.ZipFile(whole, "w") as archive:
            for part in found.infolist():
                if part.filename == METADATA:
                    archive.writestr(part, json.dumps(json.loads(found.read(part)) | {NAMES: list(names)}))
                    continue
                with found.open(part) as source, archive.open(part, "w") as target:
                    shutil.copyfileobj(source, target)
        os.replace(whole, path)
    finally:
        if os.path.exists(whole):
            os.unlink(whole)


def class_names(path):
    """Tuple of the names of a model's classes in the order of its outputs; None where its file has none."""
    with storage.fetched(path) as copy:
        if not zipfile.is_zipfile(copy):  # Of another format.
            return None
        with zipfile.ZipFile(copy) as archive:
            names = json.loads(archive.read(METADATA)).get(NAMES)
    return None if names is None else tuple(names)


def check(path, flag):
    """Raise UsageError where a model, for which the user gave `flag`, is gone or damaged; it is not opened."""
    damage = damaged(path)
    if damage is not None:
        raise _unreadable(path, flag, damage)


def _unreadable(path, flag, damage):
    remedy = "the command that trained the run makes it again" if flag == "workdir" else f"give another --{flag}"
    return UsageError(f"--{flag}: expected a Keras model in {path}, cannot read it ({damage}); {remedy}")


def damaged(path):
    """Why a .keras file is not as it was written, by its parts' checksums, which Keras does not look at; or None.

    Of other files, whether their bytes can be read.
    """
    if not storage.exists(path):
        return "it is gone"
    try:
        with storage.fetched(path) as copy:
            part = _damaged_part(copy)
    except Exception as error:  # Damage may lead the reader anywhere.
        return f"{type(error).__name__}: {reason(error)}"
    return None if part is None else f"its part {part} is damaged"


def _damaged_part(path):
    """Name of the first damaged part of a file on the disk, or None; raises where it cannot be read."""
    if path.suffix != ".keras":
        with open(path, "rb") as file:
            while file.read(1 << 20):
                pass
        return None
    with zipfile.ZipFile(path) as archive:
        return archive.testzip()


def start_from(network, path, flag):
    """Give a new network the weights of a saved one of the same architecture.

    Args:
        network: keras.Model of logits as models.build makes it, its classifier last.
        path: student.keras or teacher.keras of a run, or another Keras model with the same weights in the same order.
        flag: that gave the path.
    Raises:
        UsageError: no such file, or weights of other shapes. A classifier of another number of classes, or none, is
            told on stdout and starts anew.
    """
    give(network, _start(path, flag), path, flag)


def check_start(network, path, flag):
    """Refuse what `start_from` would, the network as it is; nothing is taken yet."""
    _same(network, _start(path, flag), path, flag)


def _start(path, flag):
    return load(path, flag, "expected the student.keras of a finished run, found no {path}")


def give(network, source, path, flag):
    """As `start_from`, of a model that has been opened: `source`, keras.Model."""
    found = [np.asarray(weight) for weight in _weights(source)]
    if not _same(network, source, path, flag):
        bare = len(found) < len(network.weights)
        told = "no classifier: a new one is taken" if bare else "another number of classes: its classifier is not taken"
        print(f"{path} has {told}", flush=True)
        found[len(network.weights) - 2 :] = network.get_weights()[-2:]
    network.set_weights(found)


def give_body(network, source, path, flag):
    """Give a network all weights but the classifier's, of a model that has none; arguments as in `give`.

    Raises:
        UsageError: weights of other shapes.
    """
    _same(network, source, path, flag)
    network.set_weights([*(np.asarray(weight) for weight in _weights(source)), *network.get_weights()[-2:]])


def _weights(model):
    """A model's weights, without the statistics of inputs that a keras.layers.Normalization was shown."""
    layers = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.Normalization)]
    shown = {id(weight) for layer in layers for weight in layer.weights}
    return [weight for weight in model.weights if id(weight) not in shown]


def _same(network, source, path, flag):
    """Whether all weights of two models have the same shapes, not those of all but the classifier alone.

    Raises:
        UsageError: others differ too.
    """
    found, own = ([tuple(weight.shape) for weight in _weights(model)] for model in (source, network))
    same = [a == b for a, b in zip(found, own, strict=False)]
    if found == own[:-2]:
        return False
    if len(found) != len(own) or not all(same[:-2]):
        first = next((n for n, equal in enumerate(same) if not equal), min(len(found), len(own)))
        shapes = [str(weights[first]) if first < len(weights) else "none" for weights in (own, found)]
        raise UsageError(
            f"--{flag}: expected the {len(own)} weights of {network.name}, {path} has {len(found)}, number {first} of "
            f"shape {shapes[1]} instead of {shapes[0]}; give that network by --model or --teacher_model"
        )
    return all(same)
