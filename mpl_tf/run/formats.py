"""--export: the student in the formats of other programs, each checked against student.keras on images of the run.

Each takes what student.keras takes, float32 [B, H, W, 3] in [0, 255] by the name `images` (or [B, D], `points`), and
gives logits [B, C]. The names of the classes are in each, a JSON list in the order of the logits: in the SavedModel's
assets.extra/class_names.json, in a zip archive behind the TFLite model, in the ONNX model's metadata.
"""

import importlib
import json
import warnings
import zipfile
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from mpl_tf.base import console, files, quiet, storage
from mpl_tf.base.errors import RunError, UsageError, reason
from mpl_tf.run import evaluate, workdir

CHECKED, AT_ONCE = 100, 25  # Examples that an export is checked on, and in one call.
# Of probabilities. Other programs sum in another order, which moves them by some 1e-6; a lost layer moves them by 0.1.
TOLERANCE = 1e-3


def _write_saved_model(model, path, names):
    model.export(str(path), verbose=False)
    (path / "assets.extra").mkdir()
    (path / "assets.extra" / "class_names.json").write_text(names)


def _open_saved_model(path):
    import tensorflow as tf

    model = tf.saved_model.load(str(path))
    return lambda examples: model.serve(tf.constant(examples))


def _write_tflite(model, path, names):
    model.export(str(path), format="litert", verbose=False)
    # The way of files in TFLite models: a zip archive behind the model, which no interpreter sees.
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("class_names.json", names)


def _open_tflite(path):
    import tensorflow as tf

    interpreter = tf.lite.Interpreter(str(path))
    (signature,) = interpreter.get_signature_list().values()
    (given,), (found,) = signature["inputs"], signature["outputs"]
    return lambda examples: interpreter.get_signature_runner()(**{given: examples})[found]


def _write_onnx(model, path, names):
    onnx = importlib.import_module("onnx")
    model.export(str(path), format="onnx", verbose=False)
    proto = onnx.load(str(path))
    # What the converter cannot convert it leaves as it is, and says so in a log that nobody reads.
    unknown = {node.op_type for node in proto.graph.node if not (node.domain or onnx.defs.has(node.op_type))}
    if unknown:
        raise ValueError(f"a network with operations that tf2onnx cannot convert, {', '.join(sorted(unknown))}")
    proto.metadata_props.add(key="class_names", value=names)
    onnx.save(proto, str(path))


def _open_onnx(path):
    session = importlib.import_module("onnxruntime").InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda examples: session.run(None, {name: examples})[0]


class Format(NamedTuple):
    """A format.

    file: its name in the workdir.
    write: function of (keras.Model, path, names of the classes as JSON).
    open: function of the path; it returns a function of float32 [B, ...] -> logits [B, C].
    keep: files.write or files.write_folder.
    """

    file: str
    write: Callable
    open: Callable
    keep: Callable = files.write


FORMATS = {
    "saved_model": Format("student_saved_model", _write_saved_model, _open_saved_model, files.write_folder),
    "tflite": Format("student.tflite", _write_tflite, _open_tflite),
    "onnx": Format("student.onnx", _write_onnx, _open_onnx),
}


def missing(config):
    """Those of --export that the finished run in the workdir has not, or not of its present student: list of str.

    Others that are there and are not of it are told.
    """
    folder, known = storage.path(config.workdir), workdir.finished(config.workdir).get("exports", {})
    there = {kind: folder / about.file for kind, about in FORMATS.items() if (folder / about.file).exists()}
    for kind, path in there.items():
        if kind not in known and kind not in config.exports():
            console.tell(f"{path} is of an earlier end of this run; --mode=export --export={kind} makes it anew")
    return [kind for kind in config.exports() if kind not in known or kind not in there]


def write(config, kinds, dataset=None):
    """Export the student of the finished run in the workdir, and note it in results.json; each is told on stdout.

    Args:
        config: Config.
        kinds: of FORMATS.
        dataset: Dataset of what student.keras takes, one of whose parts it is checked on; None: see `_examples`.
    Returns:
        dict of each kind to what results.json has of it: file, its name; max_difference, of probabilities; n examples.
    Raises:
        UsageError: no finished run, or no examples to check it on.
        RunError: at the end, of all exports that fail or do not give student.keras' probabilities; what was at their
            names before is still there. Examples that cannot be read.
    """
    from mpl_tf.models import saved  # Deferred: they bring Keras.
    from mpl_tf.run.logits import logits

    folder = storage.path(config.workdir)
    found = workdir.finished(folder)
    exports = found.setdefault("exports", {})
    model = saved.load(folder / "student.keras")
    names = saved.class_names(folder / "student.keras") or found["class_names"]
    checked = np.asarray(_examples(config, model, names) if dataset is None else _of(dataset), np.float32)
    expected = evaluate.softmax(logits(model, checked, AT_ONCE))
    failures = []
    for kind in kinds:
        path = folder / FORMATS[kind].file
        try:
            difference = _one(FORMATS[kind], model, path, json.dumps(list(names)), checked, expected)
        except RunError as error:
            failures.append(str(error))
            continue
        exports[kind] = {"file": path.name, "max_difference": difference, "n": len(checked)}
        files.write_json(folder / "results.json", found)  # At once: it stays known where the next one is cut off.
        shown = storage.named(str(path))
        print(
            f"{shown}: probabilities within {difference:.1e} of student.keras on {len(checked)} examples",
            flush=True,
        )
    if failures:
        raise RunError("; ".join(failures))
    return {kind: exports[kind] for kind in kinds}


def _one(kind, model, path, names, checked, expected):
    """Write an export, which gets its name if it is right; returns the largest difference of a probability."""
    found = []

    def save(temporary):
        # Converters and interpreters chatter, on stderr and by warnings of what is to come.
        with quiet.silenced(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            kind.write(model, temporary, names)
            ask = kind.open(temporary)
            pieces = [np.asarray(ask(checked[n : n + AT_ONCE])) for n in range(0, len(checked), AT_ONCE)]
        found.append(float(np.abs(evaluate.softmax(np.concatenate(pieces).astype(np.float64)) - expected).max()))
        if not found[0] <= TOLERANCE:
            raise RunError(
                f"{path}: expected the probabilities of student.keras within {TOLERANCE}, got some that differ by "
                f"{found[0]:.2g} on {len(checked)} examples; it is not kept: use another format"
            )

    try:
        kind.keep(path, save)
    except (RunError, OSError):
        raise
    except Exception as error:  # Converters raise whatever they stumble over.
        told = reason(error) if type(error) is ValueError else f"{type(error).__name__}: {reason(error)}"
        raise RunError(f"{path}: expected to export student.keras, got {told}; use another format") from error
    return found[0]


def _of(dataset):
    """Up to CHECKED examples of a Dataset, spread over its test part, or its validation or its labeled one."""
    parts = [part for part in (dataset.test, dataset.validation, dataset.labeled) if part is not None and len(part)]
    chosen = np.unique(np.linspace(0, len(parts[0]) - 1, CHECKED).astype(int))
    return np.concatenate([images for images, _ in parts[0].take(chosen).pieces(CHECKED)])


def _examples(config, model, names):
    """Up to CHECKED examples for a run that was finished before: --images, else those that it was scored on.

    Of a folder's parts the first one that is still there is looked at: test, validation, labeled images.
    """
    from mpl_tf import data
    from mpl_tf.data.to_label import ToLabel

    folders = (config.images, config.test_dir, config.validation_dir, config.labeled_dir)
    there = [folder for folder in folders if folder and storage.exists(folder)]
    if there and (config.images or config.dataset == "folder"):
        images = ToLabel(config.replace(images=there[0]), model.input_shape[1]).some(CHECKED)
        if not len(images):
            raise UsageError(f"--images: expected images to check the export by, none in {there[0]} could be read")
        return images
    if config.dataset == "folder":
        gone = " or ".join(filter(None, folders))
        raise UsageError(f"--images: expected images to check the export by, found no {gone}; give a folder of some")
    try:
        return _of(data.load_test(config, tuple(names)))
    except (UsageError, RunError) as error:
        raise type(error)(f"{error}; or give --images, some images to check the export by") from error
