"""What a run was asked to do, written down so that a folder never mixes two runs."""

import dataclasses
import hashlib
import json

from mpl_tf.base import files, lock, storage
from mpl_tf.base.errors import UsageError
from mpl_tf.filtering.settings import Scoring


def of_model(scoring, classes):
    """Record of the scores' settings: scoring's, the model's SHA-256 and its classes.

    Args:
        scoring: Scoring.
        classes: of the model, C.
    Raises:
        UsageError: results.json beside the model is damaged or names another number of classes; no --backbone is there.
    """
    from mpl_tf.models import saved  # Deferred: it brings Keras.

    path = storage.path(scoring.model)
    found, results = saved.class_names(path), path.parent / "results.json"
    names = None if found is None else list(found)
    if names is None and storage.is_file(results):
        names = read(results, "model").get("class_names")
    if names is not None and len(names) != classes:
        raise UsageError(f"--model: {path} gives {classes} classes, {results} beside it names {len(names)}")
    plain = json.loads(json.dumps(dataclasses.asdict(scoring)))
    record = {"scoring": plain, "model_sha256": _digest(path), "classes": classes, "class_names": names}
    return record | ({"backbone_sha256": _digest(scoring.backbone)} if scoring.backbone else {})


def embedding(record, folder):
    """The Scoring of earlier scores, by whose network --exclude gets features that compare with theirs.

    Args:
        record: of the scores, as `of_model` makes it.
        folder: of the scores, for messages.
    Raises:
        UsageError: they have no features, or the network is not there as it was.
    """
    about = record["scoring"]
    if about.get("overlap", "hash") == "hash":
        raise UsageError(
            f"--overlap: {folder} holds no features, which embedding compares; score again with --overlap=embedding"
        )
    name = "backbone" if about["backbone"] else "model"
    if not storage.is_file(about[name]) or _digest(about[name]) != record[f"{name}_sha256"]:
        raise UsageError(
            f"--scores: --exclude gets features by the --{name} of {folder}, expected it in {about[name]} as it was, "
            "which is gone or another one; put it back"
        )
    return Scoring(**about)


def _digest(path):
    return hashlib.sha256(storage.read_bytes(path)).hexdigest()


def claim(folder, record, flag):
    """Write settings.json into a folder, or check that it is that of the same run.

    Args:
        folder: Path.
        record: dict, as JSON gives it back.
        flag: that names the folder.
    Returns:
        Whether the folder was empty or absent.
    Raises:
        UsageError: the folder belongs to another run, or to something else.
    """
    # The same settings: the run goes on. Others: no folder holds a mixture of two runs.
    path = folder / "settings.json"
    if storage.is_file(path):
        before = read(path, flag)
        differing = sorted(_differences(before, record))
        if differing:
            raise UsageError(
                f"--{flag}: {folder} holds the results of another run, with other {', '.join(differing)}; "
                f"give another --{flag}"
            )
        return False
    own = (files.PARTIAL, lock.NAME)
    if any(not name.startswith(own) for name in storage.names(folder)):
        raise UsageError(f"--{flag}: expected an empty or new folder, {folder} holds files of something else")
    files.write_text(path, json.dumps(record, indent=2) + "\n")
    return True


def check_folder(folder, flag):
    """Raise UsageError where what is to be a folder is a file."""
    if storage.is_file(folder):
        raise UsageError(f"--{flag}: expected a folder, {folder} is a file")


def _differences(before, record, name="settings"):
    if not (isinstance(before, dict) and isinstance(record, dict)):
        return {name} if before != record else set()
    keys = set(before) | set(record)
    return set().union(*(_differences(before.get(key), record.get(key), key) for key in keys))


def read(path, flag):
    """The dict of a settings.json or results.json; UsageError where there is none that is whole."""
    try:
        return files.read_json(path)
    except (OSError, ValueError) as error:
        raise UsageError(f"--{flag}: expected {path}, cannot read it ({error})") from error
