"""Python's arguments to values: the flags' names, recipes and checks, and refusals that speak of arguments."""

import contextlib
import inspect
import os
import re

from mpl_tf.base.errors import Interrupted, RunError, UsageError, did_you_mean, together
from mpl_tf.settings import fields, flags
from mpl_tf.settings.config import Config

KNOWN = fields.merged(Config, flags.Stored)
OWN = ("mode", "debug")  # Of the command line alone.
FLAG = re.compile(r"--(?P<name>[a-z]\w*)(?:=(?P<value>[^\s,;:()]*[^\s,;:().]))?")


def parse(mode, given):
    """Build the configuration that a call asks for.

    Args:
        mode: as --mode has it.
        given: dict of a flag's name to its value; None: not given. Paths may be os.PathLike, numbers NumPy's.
    Returns:
        A validated Config.
    Raises:
        UsageError: as flags.parse; all that is wrong.
    """
    given = {name: _plain(value) for name, value in given.items() if value is not None}
    known = [name for name in KNOWN if name not in OWN]
    unknown = [name for name in given if name not in known]
    problems = [f"{name}: there is no such argument; see docs/flags.md{did_you_mean(name, known)}" for name in unknown]
    return flags.resolve({name: given[name] for name in given if name not in unknown} | {"mode": mode}, problems)


def some(names, given, dataset="folder"):
    """Values of a few flags: those given, over the recipe of a data set.

    Args:
        names: of the flags.
        given: dict of name to value; None: not given.
        dataset: whose flagfile is read over flags/defaults.flags.
    Returns:
        dict of each name to its value.
    Raises:
        UsageError: another name, or a value that the flag may not have; all that is wrong.
    """
    given = {name: _plain(value) for name, value in given.items() if value is not None}
    problems = [
        f"{name}: there is no such argument, those are {', '.join(names)}{did_you_mean(name, names)}"
        for name in given
        if name not in names
    ]
    given = fields.renewed(Config.__dataclass_fields__, given)
    problems += fields.problems(Config, {name: given[name] for name in given if name in names})[0]
    if problems:
        raise together(problems)
    files = [f"--flagfile={flags.recipes() / name}.flags" for name in ("defaults", dataset)]
    recipe, _ = flags.read(files, Config)
    return {name: given.get(name, recipe[name]) for name in names}


def signature(*own, without=()):
    """An inspect.Signature of all arguments, for completion in a notebook; None stands for the recipe's value.

    Args:
        own: names of those that may be given by place and must be given.
        without: names that the call does not take.
    """
    first = [_parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.empty) for name in own]
    others = [name for name in KNOWN if name not in (*own, *OWN, *without)]
    return inspect.Signature(first + [_parameter(name, inspect.Parameter.KEYWORD_ONLY, None) for name in others])


def _parameter(name, kind, default):
    return inspect.Parameter(name, kind, default=default, annotation=KNOWN[name].type)


@contextlib.contextmanager
def told():
    """What is raised inside speaks of arguments: "seed: expected ..." instead of "--seed: expected ..."."""
    try:
        yield
    except (UsageError, RunError, Interrupted) as error:
        error.args = (in_python(str(error)),)
        raise


def in_python(text):
    """A text with each flag of the trainer as an argument: --mu=3 as mu=3, --keep=best as keep='best', --noflip."""
    return FLAG.sub(_argument, text.replace("see --help", "see docs/flags.md"))


def _argument(match):
    name, value = match["name"], match["value"]
    if name not in KNOWN:
        name = name.removeprefix("no")
        return f"{name}=False" if name in KNOWN and KNOWN[name].type is bool else match[0]
    if value is None:
        return name
    kind = KNOWN[name].type
    return f"{name}={value.capitalize() if kind is bool else repr(value) if kind is str else value}"


def _plain(value):
    """A path as a text, a number of NumPy as Python's, a list as the flag's text with commas."""
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return value.item() if getattr(value, "shape", None) == () and hasattr(value, "item") else value
