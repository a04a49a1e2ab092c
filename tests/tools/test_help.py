"""--help of every program: exit status 0, every flag with its default; words that are no flags are refused."""

import importlib
import re
import subprocess
import sys

import pytest

from mpl_tf import main as trainer
from mpl_tf.settings import fields, flags, help_text
from mpl_tf.settings.config import Config
from tools import flags_page

TOOLS = {name: importlib.import_module(f"tools.{name}") for name in flags_page.PROGRAMS}
PROGRAMS = TOOLS | {"main": trainer}
HEAVY = ("tensorflow", "keras", "tensorflow_datasets", "apache_beam", "pyarrow", "matplotlib", "torch")
HELP_OF_ALL = f"""
import importlib, sys
for name in {list(flags_page.PROGRAMS)}:
    assert importlib.import_module("tools." + name).main(["--help"]) == 0
from mpl_tf import main
try:
    main.main(["--help"])
except SystemExit as end:
    assert end.code == 0
print("loaded:", [name for name in {HEAVY} if name in sys.modules])
"""


def status(program, *argv):
    """The exit status of a program, run in this process."""
    try:
        return program.main(list(argv))
    except SystemExit as end:
        return end.code


def classes(program):
    """The classes of its flags."""
    return (Config, flags.Stored) if program is trainer else program.COMMAND.classes


@pytest.mark.parametrize("word", flags.HELP)
@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_help_tells_every_flag_with_its_default(program, word, capsys):
    assert status(program, word) == 0
    printed, err = capsys.readouterr()
    assert err == ""
    known = fields.merged(*classes(program), flags.Common)
    defaults = help_text.defaults(*classes(program), flags.Common) | (flags.defaults() if program is trainer else {})
    entries = dict(re.findall(r"^  --(?:\[no\])?(\w+): ((?:.*\n?)(?: {6}.*\n?)*)", printed, re.MULTILINE))
    assert list(entries) == [
        field.name for members in fields.topics(*classes(program), flags.Common).values() for field in members
    ]
    for name, field in known.items():
        told = " ".join(entries[name].split())
        assert told.startswith(" ".join(field.metadata["help"].split()))
        assert f"(default: {help_text.shown(defaults[name])}" in told
        if field.metadata["choices"]:  # In a row, or a line each with what it is.
            assert [choice for choice in field.metadata["choices"] if choice not in told] == []
        else:
            assert fields.expected(field) in told


def test_help_is_told_before_anything_heavy_is_imported():
    found = subprocess.run([sys.executable, "-c", HELP_OF_ALL], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == "loaded: []"
    assert found.stderr == ""


# filter_unlabeled hands such words to Beam, whose refusal tests/filtering/test_run.py has.
@pytest.mark.parametrize("name", [name for name in PROGRAMS if name != "filter_unlabeled"])
@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["stray"], "got 'stray'; write --name=value"),
        (["--flagfil=x"], "--flagfil: there is no such flag; see --help; did you mean --flagfile?"),
        (["--flagfile=no/such/file"], "no/such/file"),
        (["--debug=perhaps"], "debug"),
    ],
)
def test_what_is_no_flag_is_refused_in_one_line(name, argv, told, capsys):
    assert status(PROGRAMS[name], *argv, *(["--"] if name == "sweep" else [])) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.match(r"\w+: error: ", line)
    assert told in line
