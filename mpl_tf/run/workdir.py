"""The folder of a run: whose it is, what the run in it learned from, and how far it has come.

| file            | what it says                                                                                  |
|-----------------|-----------------------------------------------------------------------------------------------|
| config.json     | all flags, and the versions                                                                   |
| identity.json   | a number of the flags that make the run what it is, and the fingerprint of its data           |
| results.json    | that the run is finished, and how well it did                                                 |
| checkpoints/    | how far each phase has come                                                                   |

Each of the JSON files has a checksum. One that is damaged or gone is made again where the others allow it.
"""

import contextlib
import hashlib

from mpl_tf.base import console, files, lock, storage
from mpl_tf.base.errors import UsageError
from mpl_tf.base.storage import mirror
from mpl_tf.run import longer
from mpl_tf.run.checkpoint_files import newest
from mpl_tf.settings import config_json

IDENTITY = "identity.json"
FILES = ("teacher", "weights", "init_from", "init_teacher_from")  # Flags of models whose content is part of the run.


@contextlib.contextmanager
def claimed(config, writes):
    """Hold a run's folder, checked to be that run's or new; nobody else writes there meanwhile.

    Args:
        config: Config.
        writes: whether this process is the one that writes; the others of several workers only look.
    Raises:
        UsageError: another process holds it, it is another run's or no folder of a run.
        RunError: it cannot be made or written.
    """
    # A lock makes its folder: what cannot be one is told first.
    folder = storage.path(config.workdir)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--workdir: expected a folder, {folder} is a file")
    if not writes:
        _check_flags(config, folder, writes)
        yield
        return
    existed = folder.exists()
    with lock.held(folder, "workdir"):
        known = any((folder / name).exists() for name in longer.RECORDS)
        try:
            files.sweep(folder)
            _check_flags(config, folder, writes)
            if not known and any(path.name != lock.NAME for path in folder.iterdir()):
                raise UsageError(f"--workdir: expected an empty or new folder, {folder} holds files of something else")
            yield
        except UsageError:
            # What is refused before anything was made, as a model that does not fit, leaves the folder to nobody.
            made = [path for path in folder.iterdir() if path.name != lock.NAME]
            for path in () if known or any(path.name not in longer.RECORDS for path in made) else made:
                path.unlink()
            raise
        finally:
            # A run that was refused leaves no trace.
            if not existed and not any(path.name != lock.NAME for path in folder.iterdir()):
                (folder / lock.NAME).unlink(missing_ok=True)
                folder.rmdir()


def _check_flags(config, folder, writes):
    """Refuse a folder whose run has other flags; where its config.json is damaged, by the number in identity.json.

    More training steps than before make the same run longer.
    """
    stored = folder / "config.json"
    try:
        given = config_json.from_json(stored, intact=True)
    except UsageError as error:
        number = (_read(folder / IDENTITY) or {}).get("flags")
        if number is None and not stored.exists():
            return
        before = (longer.recorded(folder) or ((0, config.train_steps),))[-1][1]
        as_before = config.replace(train_steps=min(before, config.train_steps))
        if number != config_json.fingerprint(as_before):
            raise UsageError(
                f"--workdir: expected {stored} as it was written ({error}); give another --workdir"
            ) from error
        longer.check(config, before)
        console.tell(f"{stored} is damaged or gone and is written again")
        if writes:
            files.write_text(stored, config_json.to_json(as_before, longer.recorded(folder) or ()))
        return
    is_longer = config.train_steps > given["train_steps"]
    differing = [name for name in config_json.differences(config, given) if not (is_longer and name == "train_steps")]
    if differing:
        own = " ".join(f"--{name}={given[name]}" for name in differing)
        raise UsageError(
            f"--workdir: {folder} holds a run with another --{', --'.join(differing)}; "
            f"give another --workdir, or the flags of that run: {own}"
        )
    longer.check(config, given["train_steps"])


def record(config, dataset, devices):
    """Note what the run learns from, or check that it is what it learned from before; the same on all workers.

    Args:
        config: Config.
        dataset: Dataset.
        devices: Devices; of several workers the first one writes.
    Returns:
        The run's stretches (run/longer.py).
    Raises:
        UsageError: other data than before, or than another worker has; what changed is told.
    """
    from mpl_tf.data import fingerprint  # Deferred: it brings TensorFlow.

    # Workers that read other data would train on a mixture that nobody asked for.
    stretches = longer.stretches(config)
    found = _identity(config, dataset) | {"stretches": stretches}
    if not devices.same(int(hashlib.sha256(repr(found).encode()).hexdigest()[:12], 16)):
        raise UsageError("--data_dir: expected the same data on all workers, this one and another have different ones")

    # Training data must be what they were; test data may change, as nothing was learned from them.
    path, known = storage.path(config.workdir) / IDENTITY, longer.recorded(config.workdir)
    before = _read(path)
    if before is None:
        if path.exists() or newest(config.workdir):
            lost = "" if known else "; whether the run was made longer is not known either"
            console.tell(
                f"{path} is {'damaged' if path.exists() else 'gone'} and is written again; the data cannot be compared "
                f"with what it was{lost}"
            )
    else:
        changed = fingerprint.changes(before["data"], found["data"], ("labeled", "unlabeled", "validation"))
        changed += [f"another --{name}" for name in FILES if before["files"].get(name) != found["files"].get(name)]
        if changed:
            raise UsageError(
                f"--workdir: {config.workdir} holds a run on other data: {'; '.join(changed)}; give the data of that "
                "run, or another --workdir"
            )
        for line in fingerprint.changes(before["data"], found["data"], ("test",)):
            console.tell(f"other test data than when the run began: {line}")
    # Only now, when nothing has been refused: these files say whose folder it is.
    if devices.writes:
        if known and stretches != known:
            longer.clear(config.workdir)
            mirror.publish(config.workdir, wait=True)  # Before it is known to be longer, there as well.
        files.write_text(storage.path(config.workdir) / "config.json", config_json.to_json(config, stretches))
        files.write_json(path, found)
    return stretches


def _identity(config, dataset):
    from mpl_tf.data import fingerprint  # Deferred: it brings TensorFlow.

    given = {name: getattr(config, name) for name in FILES}
    digests = {name: hashlib.sha256(storage.read_bytes(path)).hexdigest() for name, path in given.items() if path}
    return {"flags": config_json.fingerprint(config), "data": fingerprint.of(dataset), "files": digests}


def class_names(folder):
    """Tuple of the names of a run's classes, in the order of its outputs, as its record has them; None without one.

    Raises:
        UsageError: identity.json is damaged or gone, and results.json is damaged.
    """
    known = _read(storage.path(folder) / IDENTITY)
    found = known["data"]["classes"] if known else (results(folder) or {}).get("class_names")
    return None if found is None else tuple(found)


def compare(folder, dataset):
    """Tell on stderr, a line each, what is other in the test data than in those of the finished run in a folder.

    Args:
        folder: path of the run.
        dataset: Dataset to score it on.
    Raises:
        UsageError: its classes are others.
    """
    from mpl_tf.data import fingerprint  # Deferred: it brings TensorFlow.

    before = _read(storage.path(folder) / IDENTITY)
    if before is None:
        return
    # Other classes make the score meaningless; other examples make it another score, which is told.
    now = fingerprint.of_parts(dataset, ("test",))
    changed = fingerprint.changes(before["data"], before["data"] | {"classes": now["classes"]})
    if changed:
        raise UsageError(f"--workdir: {folder} was trained on other classes: {'; '.join(changed)}; give its own data")
    for line in fingerprint.changes(before["data"], now, ("test",)):
        console.tell(f"other test data than when the run was trained: {line}")


def results(folder):
    """What results.json of a finished run says, a dict; None where the run is not finished.

    Raises:
        UsageError: the file is damaged.
    """
    path = storage.path(folder) / "results.json"
    if not path.exists():
        return None
    try:
        return files.read_json(path)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"--workdir: cannot read {path} ({error}); delete it, then the command that trained the run scores it again"
        ) from error


def reached(found, steps):
    """Whether results (a dict, or None) are those of a run's end, and not of an earlier one before it was made longer.

    Args:
        found: as `results` returns it.
        steps: --train_steps of the run.
    """
    return found is not None and found.get("steps", steps) >= steps


def finished(folder):
    """The same of a run that must be finished.

    Raises:
        UsageError: it is not, or its results.json is damaged.
    """
    found = results(folder)
    if found is None:
        raise UsageError(f"--workdir: expected a finished run, found no results.json in {folder}; train it to its end")
    return found


def going_on(folder):
    """What the same command does after a stop, in words."""
    with contextlib.suppress(UsageError):
        if reached(results(folder), (longer.recorded(folder) or ((0, 0),))[-1][1]):
            return "the run is finished"
    found = newest(folder)
    if found is None:
        return "no checkpoint was written yet; the same command starts anew"
    return f"the same command goes on from step {found[1]} of the phase {found[0]}"


def _read(path):
    """An identity.json; None where there is none that is whole."""
    try:
        found = files.read_json(path)
        return found if {"flags", "data", "files"} <= set(found) else None
    except (OSError, ValueError):
        return None
