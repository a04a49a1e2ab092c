"""A study in a JSON file: rows of flags by name, the flags that all of them have, what each row is compared with."""

import dataclasses
import json

from mpl_tf.base import storage
from mpl_tf.base.errors import UsageError, reason

EXAMPLE = '{"rows": {"off": ["--feedback=off"], "on": ["--feedback=exact"]}, "flags": ["--method=mpl"]}'
KEYS = ("rows", "flags", "references")


@dataclasses.dataclass(frozen=True)
class StudyFile:
    """What the file holds.

    Attributes:
        rows: dict of row name to its flags, those of every row first.
        references: dict of row name to the name of the row that it is compared with, where it is not the first.
    """

    rows: dict
    references: dict


def read(path):
    """The study in a file: "rows" and, where they are wanted, "flags" of every row and "references".

    Args:
        path: of the file.
    Returns:
        StudyFile.
    Raises:
        UsageError: it cannot be read, or does not hold that.
    """
    try:
        study = json.loads(storage.read_bytes(path))
    except (OSError, ValueError) as error:
        raise UsageError(f"--study: expected JSON like {EXAMPLE} in {path}, got {reason(error)}") from error
    wrong = next(_problems(study), None)
    if wrong:
        raise UsageError(f"--study: {path}: expected {wrong}; a study is {EXAMPLE}")
    common = study.get("flags", [])
    return StudyFile({name: [*common, *flags] for name, flags in study["rows"].items()}, study.get("references", {}))


def _problems(study):
    """What is not as it should be, each as text that goes on "expected"."""
    if not isinstance(study, dict) or not isinstance(study.get("rows"), dict) or not study["rows"]:
        yield 'an object with "rows", at least one'
        return
    yield from (f"the keys {', '.join(KEYS)}, got {key!r}" for key in study if key not in KEYS)
    for name, flags in [("flags", study.get("flags", [])), *study["rows"].items()]:
        if not isinstance(flags, list) or not all(isinstance(flag, str) and flag.startswith("--") for flag in flags):
            yield f"a list of flags, each as --name=value, for {name!r}, got {flags!r}"
    references = study.get("references", {})
    if not isinstance(references, dict):
        yield f'names of rows by names of rows in "references", got {references!r}'
        return
    named = [name for pair in references.items() for name in pair]
    yield from (f'names of rows in "references", got {name!r}' for name in named if name not in study["rows"])
