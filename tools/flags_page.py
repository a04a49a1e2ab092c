"""docs/flags.md: the flags of every program by topic, written from the classes that define them.

    python -m tools.flags_page

tests/tools/test_flags_page.py says when the page is old.
"""

import dataclasses
import importlib
import sys

from mpl_tf.base import files
from mpl_tf.settings import fields, flags, help_text
from mpl_tf.settings.config import Config
from mpl_tf.settings.fields import flag

from . import _command

PROGRAMS = (  # Modules of this package that are programs, in the order of the page.
    *("two_moons", "ablation", "results", "filter_unlabeled", "benchmark", "plan", "sweep", "flags_page"),
    *("studies.mesh", "studies.compiled", "studies.lowered", "studies.filter_study", "studies.faults", "studies.gains"),
    *("studies.filter_scale", "studies.overlap_study", "studies.bucket", "studies.memory"),
)
HEAD = """# Flags

Written by `python -m tools.flags_page` from the classes that define the flags; not to be changed by hand.

A flag is written `--name=value` or `--name value`; one that is true or false also `--name` and `--noname`. One that is
given twice has its last value, unless it may be given several times. `--help` of a program prints what stands here.
"""
TRAINER = """## python -m mpl_tf.main

The defaults are those of `flags/defaults.flags`. The flagfiles of the data set, the scale and the method change them:
`flags/DATASET.flags`, `flags/scale_SCALE.flags`, `flags/method_METHOD.flags`. What a run took is in its `config.json`.
"""
COLUMNS = ("flag", "what it is", "default", "values", "unit", "source")


@dataclasses.dataclass(frozen=True)
class Flags:
    """Flags of the writer of the page."""

    output: str = flag("file of the page", "docs/flags.md")


COMMAND = _command.Command("flags_page", __doc__, (Flags,))


def main(argv=None):
    """Write the page; returns the exit status."""
    return COMMAND.run(argv, _write)


def _write(values):
    files.write_text(values.output, page())


def page():
    """The page as a text."""
    parts = [HEAD, "## Every program\n", _tables(help_text.defaults(flags.Common), flags.Common)]
    trainers = help_text.defaults(flags.Stored) | flags.defaults()
    parts += [TRAINER, _tables(trainers, Config, flags.Stored)]
    for name in PROGRAMS:
        command = importlib.import_module(f".{name}", __package__).COMMAND
        about = f"{command.about.splitlines()[0]} {command.others.value}".strip()
        parts += [f"## python -m tools.{name}\n\n{about}\n"]
        parts += [_tables(help_text.defaults(*command.classes), *command.classes)]
    return "\n".join(parts)


def _tables(defaults, *classes):
    """A table a topic, under its title where there are several."""
    lines, topics = [], fields.topics(*classes)
    for topic, members in topics.items():
        lines += [f"### {topic}", ""] if len(topics) > 1 else []
        lines += [_row(COLUMNS), _row(["---"] * len(COLUMNS))]
        for field in members:
            facts = help_text.facts(field, defaults[field.name])
            about = (facts[name] for name in COLUMNS[2:])
            lines.append(_row([f"`{help_text.written(field)}`", field.metadata["help"], *about]))
        lines.append("")
    return "\n".join(lines)


def _row(cells):
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


if __name__ == "__main__":
    sys.exit(main())
