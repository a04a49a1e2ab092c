"""What --help prints, by hand, and that the trainer's tells every flag with the default of flags/defaults.flags."""

import dataclasses
import re
import subprocess
import sys

import pytest

from mpl_tf.base.errors import UsageError
from mpl_tf.settings import fields, flags, help_text
from mpl_tf.settings.config import Config
from tests.settings.test_fields import Kitchen, Table

EXPECTED = """Cook.

What:
  --dish: what is cooked
      (default: none, must be given; values: one of soup, stew, salad)
  --guests: who come
      (default: 4; values: at least 1; unit: persons)

How:
  --salt: how much
      (default: 0.5; values: 0 to 1; source: grandmother: 0.7)
  --heat: of the stove
      (default: 1.0)
  --spices: given many times
      (default: empty)
  --cruet: on the table
      (default: empty; values: A:B, as in salt:pepper)

Flags:
  --chairs: to sit on
      (default: 8; values: at most 12)"""


def test_help_by_hand():
    values = help_text.defaults(Kitchen, Table)
    assert help_text.text("Cook.\n", values, Kitchen, Table) == EXPECTED


def test_true_or_false_is_written_with_its_no_form():
    quiet = dataclasses.make_dataclass("Quiet", [("quiet", bool, fields.flag("say nothing", False))])
    assert help_text.text("x", {"quiet": False}, quiet).endswith("--[no]quiet: say nothing\n      (default: false)")


def test_a_reader_may_close_its_end_early():
    code = "import sys; from mpl_tf.settings import help_text; sys.stdin.read(); help_text.show('x' * 2**20)"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, stderr=-1)
    process.stdout.close()
    _, err = process.communicate(b"")
    assert (process.returncode, err) == (0, b"")


def test_choices_with_help_have_a_line_each():
    choices = {"soup": "hot", "stew": "hot, " + 30 * "and " + "thick"}
    kitchen = dataclasses.make_dataclass(
        "Kitchen", [("dish", str, fields.flag("what is cooked", "soup", choices=choices))]
    )
    told = help_text.text("x", {"dish": "soup"}, kitchen).splitlines()[3:]
    first, second = told[-2:]
    assert told[:3] == ["  --dish: what is cooked", "      (default: soup)", "        soup: hot"]
    assert first.startswith("        stew: hot, and ") and second.startswith("          and ") and len(first) <= 100
    with pytest.raises(UsageError, match="^--dish: expected one of soup, stew, got 'stw'; did you mean stew\\?$"):
        fields.make(kitchen, {"dish": "stw"})


@pytest.mark.parametrize("word", flags.HELP)
def test_the_trainers_help_groups_all_flags_in_the_order_of_the_class_with_their_defaults(word, capsys):
    with pytest.raises(SystemExit) as caught:
        flags.parse(["--dataset=digits_50", word])
    assert caught.value.code == 0
    printed = capsys.readouterr().out
    found = re.findall(r"^  --(?:\[no\])?(\w+): ", printed, re.MULTILINE)
    names = [field.name for field in dataclasses.fields(Config)]
    assert found == [*names, "config", "flagfile", "undefok"]
    titles = re.findall(r"^\n(\S.*):$", printed, re.MULTILINE)
    assert titles[:4] == ["What to run", "Data", "Batches and length", "Devices"]
    told = re.findall(r"\(default: ([^;)]*)", printed.replace("\n      ", " "))
    lines = (flags.recipes() / "defaults.flags").read_text().splitlines()
    written = dict(line[2:].split("=") for line in lines if line.startswith("--"))
    for name, default in zip(names, told, strict=False):
        assert default == (written[name] or "empty") or float(default) == float(written[name]), name
