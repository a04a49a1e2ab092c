"""The frame of the programs: exit statuses, one line an error, whose arguments are whose, one flag for two classes."""

import dataclasses

import pytest

from mpl_tf.base.errors import RunError, UsageError
from mpl_tf.settings import fields
from tools import _command
from tools._command import Command, Others


@dataclasses.dataclass(frozen=True)
class Soup:
    """Flags."""

    plates: int = fields.flag("how many", 2, low=1)
    hot: bool = fields.flag("whether it burns", True)


@dataclasses.dataclass(frozen=True)
class Bread:
    """Flags, one of them the soup's."""

    plates: int = fields.like(Soup, "plates", 2)
    slices: tuple = fields.flag("given many times", ())


def ending(capsys, argv, work, **about):
    """(exit status, stdout, stderr) of a program."""
    status = Command("lunch", "Cook.", (Soup,), **about).run(argv, work)
    return status, *capsys.readouterr()


def raises(error):
    """Work that fails so."""

    def work(*_):
        raise error

    return work


@pytest.mark.parametrize(("returned", "status"), [(None, 0), (0, 0), (75, 75)])
def test_the_works_status_is_the_programs(capsys, returned, status):
    assert ending(capsys, [], lambda _: returned) == (status, "", "")


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (UsageError("--plates: expected\n more"), 2, "lunch: error: --plates: expected more"),
        (RunError("burnt"), 1, "lunch: error: burnt"),
        (KeyError("salt"), 1, "lunch: error: unexpected KeyError: 'salt'; run with --debug for the traceback"),
        (KeyboardInterrupt(), 130, "lunch: stopped; it goes on"),
    ],
)
def test_a_failure_is_one_line_and_a_status(capsys, error, status, line):
    assert ending(capsys, [], raises(error), stopped="it goes on") == (status, "", f"{line}\n")


def test_debug_shows_the_traceback_before_the_line(capsys):
    status, _, err = ending(capsys, ["--debug"], raises(RunError("burnt")))
    lines = err.splitlines()
    assert (status, lines[0], lines[-1]) == (1, "Traceback (most recent call last):", "lunch: error: burnt")


def test_flags_are_read_checked_and_handed_on(capsys):
    found = []
    assert ending(capsys, ["--plates=3", "--nohot"], found.append)[0] == 0
    assert found == [Soup(3, False)]
    status, _, err = ending(capsys, ["--plates=0"], found.append)
    assert (status, err) == (2, "lunch: error: --plates: expected at least 1, got 0\n")
    assert len(found) == 1


def test_classes_share_a_flag():
    found = []
    command = Command("lunch", "Cook.", (Soup, Bread))
    assert command.run(["--plates=5", "--slices=a,b", "--slices=c"], lambda *made: found.extend(made)) == 0
    assert found == [Soup(5), Bread(5, ("a,b", "c"))]


@pytest.mark.parametrize(
    ("others", "argv", "expected"),
    [
        (Others.TRAINER, ["--mu=3", "--plates=4", "--noflip"], ["--mu=3", "--noflip"]),
        (Others.TRAINER, ["--train_steps", "50", "--plates", "4"], ["--train_steps", "50"]),
        (Others.BEAM, ["--runner", "DirectRunner", "--plates", "4"], ["--runner", "DirectRunner"]),
        (Others.AFTER_DASHES, ["--plates=4", "--", "--mu", "3", "--plates=9"], ["--mu", "3", "--plates=9"]),
    ],
)
def test_arguments_of_another_program_are_handed_on_as_they_came(capsys, others, argv, expected):
    found = []
    assert ending(capsys, argv, lambda *made: found.extend(made), others=others)[0] == 0
    assert found == [Soup(4), expected]


@pytest.mark.parametrize(
    ("others", "argv", "told"),
    [
        (Others.NONE, ["--mu=3"], "--mu: there is no such flag"),
        (Others.TRAINER, ["--plate=3"], "--plate: there is no such flag; see --help; did you mean --plates?"),
        (Others.TRAINER, ["--train_step=3"], "did you mean --train_steps?"),
        (Others.TRAINER, ["--mu=3", "word"], "expected flags only, got 'word'; write --name=value"),
        (Others.AFTER_DASHES, ["--plates=3"], "expected `--` between"),
        (Others.AFTER_DASHES, ["--mu=3", "--"], "--mu: there is no such flag"),
    ],
)
def test_what_neither_program_knows_is_refused(capsys, others, argv, told):
    status, _, err = ending(capsys, argv, raises(AssertionError()), others=others)
    assert status == 2
    assert told in err


def test_help_says_whose_flags_may_come_too(capsys):
    status, out, err = ending(capsys, ["-h"], raises(AssertionError()), others=Others.TRAINER)
    assert (status, err) == (0, "")
    assert out.startswith("Cook.\n\nAny flag of mpl_tf.main may stand among these.\n\nFlags:\n  --plates: how many\n")
    after = Command("lunch", "Cook.", (Soup,), others=Others.AFTER_DASHES)
    assert after.run(["--", "--help"], lambda _, rest: len(rest)) == 1  # It is the other program's.


def test_figures_are_written_where_a_path_is_given(tmp_path):
    _command.write_json("", {"a": 1})
    _command.write_json(tmp_path / "new" / "f.json", {"a": 1})
    assert (tmp_path / "new" / "f.json").read_text() == '{\n  "a": 1\n}\n'
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
