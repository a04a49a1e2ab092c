"""What --help prints of a program's flags, and the facts of a flag that docs/flags.md has too."""

import dataclasses
import os
import sys
import textwrap

from mpl_tf.settings import fields

WIDTH = 100  # Columns.


def facts(field, default):
    """What is told of a flag beside its text: {"default": text, "values": text, "unit": text, "source": text}.

    Args:
        field: of a class of flags.
        default: its value where the flag is left out; dataclasses.MISSING where it must be given.
    """
    about = field.metadata
    values = fields.expected(field) or (about["form"].words if about["form"] else "")
    return {"default": shown(default), "values": values, "unit": about["unit"], "source": about["source"]}


def shown(value):
    """A flag's value as a person reads it."""
    if value is dataclasses.MISSING:
        return "none, must be given"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if value not in ("", ()) else "empty"


def written(field):
    """A flag's name as it is written on a command line; one that is true or false has its --no form in brackets."""
    return f"--[no]{field.name}" if field.type is bool else f"--{field.name}"


def defaults(*classes):
    """{flag name: default} of classes of flags, as the classes give them."""
    return {name: field.default for name, field in fields.merged(*classes).items()}


def text(head, values, *classes):
    """The text of --help.

    Args:
        head: what the program does and how it is called.
        values: {flag name: default}.
        classes: of its flags.
    """
    lines = [head.strip()]
    for topic, members in fields.topics(*classes).items():
        lines += ["", f"{topic}:"]
        for field in members:
            listed = _listed_choices(field)
            about = facts(field, values[field.name])
            if listed:
                del about["values"]
            about = {name: fact for name, fact in about.items() if fact}
            told = "; ".join(f"{name}: {fact}" for name, fact in about.items())
            lines += _wrap(f"{written(field)}: {field.metadata['help']}", 2, 6) + _wrap(f"({told})", 6, 6) + listed
    return "\n".join(lines)


def show(told):
    """Print a text for a reader that may close its end early, as `head` does."""
    try:
        print(told, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # What is left in the buffer goes nowhere.


def _listed_choices(field):
    """A line for each choice that has one of help."""
    choices, form = field.metadata["choices"], field.metadata["form"]
    if not isinstance(choices, dict):
        return []
    listed = choices | (form.listed if form else {})
    return [line for name, about in listed.items() for line in _wrap(f"{name}: {about}", 8, 10)]


def _wrap(line, first, others):
    return textwrap.wrap(
        line, WIDTH, initial_indent=" " * first, subsequent_indent=" " * others, break_on_hyphens=False
    )
