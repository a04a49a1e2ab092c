"""The frame of the programs: exit statuses, one line an error, whose arguments are whose, one flag for two classes."""

import dataclasses
import importlib

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


@dataclasses.dataclass(frozen=True)
class Places:
    """Flags of places."""

    json: str = fields.flag("a file", "")
    output: str = fields.flag("a folder", "")
    images: tuple = fields.flag("folders", ())


@pytest.mark.parametrize(
    ("urls", "argv", "told"),
    [
        (("json",), ["--json=memory://bucket/x", "--output=out"], None),
        (("images",), ["--images=memory://bucket/x", "--images=here"], None),
        (("json",), ["--output=gs://b/out"], "--output: expected a path on a disk, got gs://b/out; "),
        (("json", "output"), ["--images=here", "--images=s3://b/x"], "--images: expected a path on a disk, got s3://"),
        (("json",), ["--json=nope://b/x"], "--json: nope://b/x: expected a path, gs://, s3:// or another URL"),
        (("json",), ["--json=ftp://me:hidden@host/x"], "--json: ftp://...@host: expected a URL without a password"),
    ],
)
def test_urls_are_for_the_flags_that_take_them(capsys, bucket, urls, argv, told):
    found = []
    status = Command("lunch", "Cook.", (Places,), urls=urls).run(argv, found.append)
    err = capsys.readouterr().err
    assert (status, len(found), len(err.splitlines())) == ((0, 1, 0) if told is None else (2, 0, 1))
    assert (told or "") in err and "hidden" not in err


@pytest.mark.parametrize(
    ("program", "argv", "told"),
    [
        ("ablation", ["--output=gs://b/out"], "--output: expected a path on a disk"),
        ("two_moons", ["--output=s3://b/out"], "--output: expected a path on a disk"),
        ("benchmark", ["--compare=memory://bucket/none.json"], "--compare: expected a JSON file of figures"),
        ("ablation", ["--study=memory://bucket/none.json"], "--study: expected"),
        ("plan", ["--json=nope://b/x"], "--json: nope://b/x: expected a path, gs://"),
        ("studies.faults", ["--output=gs://b/out"], "--output: expected a path on a disk"),
    ],
)
def test_programs_take_urls_or_refuse_them_in_one_line(capsys, bucket, program, argv, told):
    assert importlib.import_module(f"tools.{program}").main(argv) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert told in line


def test_a_file_that_has_gone_is_told_by_its_name(capsys, tmp_path):
    status, _, err = ending(capsys, [], lambda _: (tmp_path / "none").read_text())
    told = f"lunch: error: {tmp_path}/none: expected to read or write it, got: No such file or directory; mend that, "
    assert (status, err) == (1, f"{told}then run it again\n")


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
