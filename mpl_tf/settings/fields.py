"""A flag as a field of a frozen dataclass: what a user must know of it, said once.

Every program's flags are such classes: flags.py reads command lines by them, help_text.py prints them for --help and
docs/flags.md.
"""

import dataclasses
import math

from mpl_tf.base.errors import UsageError, did_you_mean, together

GENERAL = "Flags"  # Topic of a class that names none.
KINDS = {str: "a text", int: "a whole number", float: "a number", bool: "true or false", tuple: "a list of texts"}


def flag(
    text,
    default=dataclasses.MISSING,
    *,
    unit="",
    choices=None,
    low=None,
    high=None,
    limit=None,
    form=None,
    source="",
    topic="",
    identity=True,
    former=(),
):
    """A field that is a flag of the same name; its type is str, int, float, bool or, of a flag given many times, tuple.

    Args:
        text: what the flag says, for a user; what 0, -1 or an empty text stand for.
        default: without one, the flag must be given or have its value from a flagfile.
        unit: of a number.
        choices: tuple of the values that it may have, or dict of each to a line of help.
        low, high: its range, inclusive.
        limit: the largest value that makes sense to a computer, where the range as a user knows it is wider.
        form: object whose read(name, text) refuses a text that does not read so; empty stays allowed. With choices, the
            form of what may stand beside them: its claims(text) says what is meant so, `names` has all, `listed` lines
            of help of them.
        source: where a number comes from: a paper, the released program.
        topic: title of the flags from here on, up to the next field that has one.
        identity: whether the flag is part of what makes a run the run it is.
        former: pairs of a text that it had in earlier versions, "true" and "false" for those, and its value of today.
    """
    about = {"help": text, "unit": unit, "choices": choices, "low": low, "high": high, "limit": limit}
    about |= {"form": form, "source": source, "topic": topic, "identity": identity, "former": former}
    return dataclasses.field(default=default, metadata=about)


def like(owner, name, default=dataclasses.MISSING, **changes):
    """The flag of that name as another class has it, with a default of its own.

    Args:
        owner: the other class.
        name: of its field.
        default: as in `flag`; the owner's own default and source are left behind.
        changes: what is said anew, arguments of `flag`.
    """
    about = dict(owner.__dataclass_fields__[name].metadata) | {"source": "", "topic": ""}
    return flag(**{"text": about.pop("help"), "default": default} | about | changes)


def renewed(known, given):
    """Values with those of earlier versions as today's: dict of flag name to value; `known`: of flag name to field."""
    former = {name: dict(known[name].metadata["former"]) for name in given if name in known}
    return {name: former.get(name, {}).get(str(value).lower(), value) for name, value in given.items()}


def merged(*classes):
    """Fields of all classes in their order, those of one name once, as the first class has it: dict of name to field.

    Raises:
        TypeError: two classes have a flag of one name with different meanings.
    """
    found = {}
    for field in (field for cls in classes for field in dataclasses.fields(cls)):
        if found.setdefault(field.name, field).type is not field.type:
            raise TypeError(f"{field.name}: one flag of two types, {found[field.name].type} and {field.type}")
    return found


def topics(*classes):
    """{topic: [field]}, both in the order of the classes; a flag of several classes stands with the first."""
    found, told = {}, set()
    for cls in classes:
        topic = GENERAL
        for field in dataclasses.fields(cls):
            topic = field.metadata["topic"] or topic
            if field.name not in told:
                found.setdefault(topic, []).append(field)
            told.add(field.name)
    return found


def expected(field):
    """What a flag may hold, in words: "one of a, b or nothing", "at least 1", "0 to 1"; empty where anything goes."""
    choices, low, high = (field.metadata[key] for key in ("choices", "low", "high"))
    if choices:
        names = filter(None, [*choices, field.metadata["form"] and field.metadata["form"].words])
        return f"one of {', '.join(names)}{' or nothing' if '' in choices else ''}"
    if low is None:
        return "" if high is None else f"at most {high}"
    return f"at least {low}" if high is None else f"{low} to {high}"


def check(field, given):
    """A value lies among the flag's choices or in its range, is finite, and a text has the flag's form.

    Raises:
        UsageError: it does not; with the nearest choice, if there is one.
    """
    choices, low, high, form = (field.metadata[key] for key in ("choices", "low", "high", "form"))
    if type(given) is not field.type and not (field.type is float and type(given) is int):
        raise UsageError(f"--{field.name}: expected {KINDS[field.type]}, got {given!r}")
    if choices and given not in choices and not (form and form.claims(given)):
        near = did_you_mean(given, [*choices, *(form.names if form else ())])
        raise UsageError(f"--{field.name}: expected {expected(field)}, got {given!r}{near}")
    below, above = low is not None and given < low, high is not None and given > high
    if below or above or (isinstance(given, float) and not math.isfinite(given)):
        raise UsageError(f"--{field.name}: expected {expected(field) or 'a finite number'}, got {given}")
    limit = field.metadata["limit"]
    if limit is not None and given > limit:
        raise UsageError(f"--{field.name}: expected at most {limit}, got {given}")
    if form and given and given not in (choices or ()):
        form.read(field.name, given)


def problems(cls, given):
    """What is wrong with values by themselves.

    Args:
        cls: class of `flag`s.
        given: dict of flag name to value.
    Returns:
        (told, wrong): list of str, a line a problem, and of the names of the flags that are wrong.
    """
    told, wrong = [], []
    for field in (field for field in dataclasses.fields(cls) if field.name in given):
        try:
            check(field, given[field.name])
        except UsageError as error:
            told.append(str(error))
            wrong.append(field.name)
    return told, wrong


def make(cls, given):
    """An instance of a class of flags: the values given, else its defaults, each checked.

    Args:
        cls: frozen dataclass of `flag`s.
        given: dict of flag name to value; names of other classes are left aside.
    Raises:
        UsageError: all of: values that their flags may not hold, flags without one that must be given.
    """
    values = {field.name: given.get(field.name, field.default) for field in dataclasses.fields(cls)}
    none = [field for field in dataclasses.fields(cls) if field.default is dataclasses.MISSING]
    none = {field.name: field for field in none if values[field.name] in (dataclasses.MISSING, "")}
    wrong = [f"--{name}: expected {field.metadata['help']}, got nothing; see --help" for name, field in none.items()]
    wrong += problems(cls, {name: value for name, value in values.items() if name not in none})[0]
    if wrong:
        raise together(wrong)
    return cls(**values)
