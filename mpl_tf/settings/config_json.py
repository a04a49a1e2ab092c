"""config.json: a run's configuration with the versions that decide its numbers, written, read and compared."""

import dataclasses
import json
import zlib

from mpl_tf.base import files, versions
from mpl_tf.base.errors import UsageError, together
from mpl_tf.settings import fields
from mpl_tf.settings.config import Config


def to_json(config, stretches=()):
    """The configuration and the versions as the text of config.json.

    Args:
        config: Config.
        stretches: of a run that was made longer, pairs of its first and its last step; of others one pair, or none.
    """
    more = {"stretches": stretches} if len(stretches) > 1 else {}
    return files.json_text({"flags": dataclasses.asdict(config)} | versions.versions() | more)


def from_json(path, intact=False, flag="config", remedy="give that of another run"):
    """Read the flags of a config.json as a dict of name to value.

    Args:
        path: of the file.
        intact: whether it must be as it was written; else a person may have edited it.
        flag: that says where it is, for messages.
        remedy: what to do where it is none, for messages.
    Raises:
        UsageError: no such file, not JSON, changed, or not a configuration of this program.
    """
    try:
        flags = dict(files.read_json(path, intact)["flags"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        why = f"{type(error).__name__}: {error}" if isinstance(error, KeyError) else error
        raise UsageError(
            f"--{flag}: expected the config.json of a run in {path}, got none ({why}); {remedy}"
        ) from error
    names = {field.name for field in dataclasses.fields(Config)}
    if set(flags) != names:
        differing = ", ".join(sorted(set(flags) ^ names))
        raise UsageError(
            f"--{flag}: {path} was written by another version, or changed since: it differs in {differing}; {remedy}"
        )
    flags = fields.renewed(Config.__dataclass_fields__, flags)
    told, _ = fields.problems(Config, flags)
    if told:
        raise together(told)
    return flags


def differences(config, flags):
    """Names of the flags that make `config` another run than the one with the values `flags`."""
    return [
        field.name
        for field in dataclasses.fields(Config)
        if field.metadata["identity"] and getattr(config, field.name) != flags[field.name]
    ]


def fingerprint(config):
    """A number, 0 to 2^32 - 1, of the flags that make a run what it is, the same on all of its workers."""
    names = [field.name for field in dataclasses.fields(Config) if field.metadata["identity"]]
    return zlib.crc32(json.dumps([[name, getattr(config, name)] for name in names]).encode())
