"""What became of a run after a fault: what its files say, compared with those of the undisturbed run to the bit."""

import contextlib
import csv
import io
import re
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mpl_tf import main as program
from mpl_tf.base import files
from mpl_tf.base.errors import UsageError
from tools.sweep import Traced

RECOVERED, REFUSED, UNEXPECTED, WRONG = OUTCOMES = ("recovered", "refused", "unexpected", "wrong")
TIMED = ("seconds", "images_per_second")  # What differs between two runs of the same numbers.


class Told(NamedTuple):
    """How a command ended: its exit status, its lines on stderr, and what it printed on stdout."""

    status: int
    errors: list
    printed: str = ""


class Verdict(NamedTuple):
    """One of OUTCOMES, and what shows it, str."""

    outcome: str
    why: str


class Program:
    """The program with fixed flags, run again and again in this process, so that the step is traced once.

    Args:
        arguments: list of str, all flags but --workdir and --mode.
    """

    def __init__(self, arguments):
        self.arguments, self._make = list(arguments), Traced()

    def train(self, workdir):
        """The training command: Told."""
        return run([*self.arguments, f"--workdir={workdir}"], self._make)

    def evaluate(self, workdir):
        """--mode=evaluate: Told."""
        return run(["--mode=evaluate", f"--workdir={workdir}"])


def run(arguments, make=None):
    """mpl_tf.main in this process, its output caught: Told."""
    errors, printed = io.StringIO(), io.StringIO()
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(printed):
        status = program.main(arguments, make)
    return Told(status, [line for line in errors.getvalue().splitlines() if line.strip()], printed.getvalue())


def judge(told, workdir, expected, ignored=()):
    """Verdict of a command that should have ended with the undisturbed run's numbers, or been refused in one line.

    Args:
        told: Told.
        workdir: Path of the disturbed run.
        expected: `contents` of the undisturbed one.
        ignored: names of files that nothing reads any more, whose damage therefore stays.
    """
    said = " | ".join(told.errors)
    refusals = [line for line in told.errors if line.startswith("mpl_tf: error:")]
    if told.status == 0:
        differing = [name for name in differences(contents(workdir), expected, said) if name not in ignored]
        return Verdict(WRONG, f"other {', '.join(differing)}; {said}") if differing else Verdict(RECOVERED, said)
    if told.status in (1, 2) and len(refusals) == 1 and "unexpected" not in said and "Traceback" not in said:
        return Verdict(REFUSED, said)
    return Verdict(UNEXPECTED, f"status {told.status}; {said}")


def followed(verdict, workdir, again):
    """The Verdict of a refusal whose advice, to delete what it names, was followed; others as they are.

    Args:
        verdict: Verdict.
        workdir: Path of the disturbed run.
        again: function without arguments: Verdict of the same command once more.
    Returns:
        Verdict: REFUSED where the advice helped, WRONG where it did not.
    """
    if verdict.outcome != REFUSED or "delete " not in verdict.why:
        return verdict
    for path in _to_delete(verdict.why, workdir):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    after = again()
    helped = after.outcome == RECOVERED
    told = f"{verdict.why} [its advice followed: {after.outcome}{'' if helped else f', {after.why}'}]"
    return Verdict(REFUSED if helped else WRONG, told)


def _to_delete(text, workdir):
    """What a message advises to delete: the path it names first ("it", "this folder"), and names of its neighbours."""
    text = text[text.index("error:") :]
    first = Path(re.search(re.escape(str(workdir)) + r"/[^\s:;,()]+", text)[0])
    advice = re.split(r"[\s;,]+", text[text.index("delete ") :])
    named = dict.fromkeys((first, *(first.with_name(word) for word in advice if word)))
    return [path for path in named if path.exists()]


def contents(workdir):
    """All numbers of a finished run without its timings, by the names of their files: dict."""
    found = {}
    for path in sorted(Path(workdir).glob("*")):
        if path.suffix == ".keras":
            found[path.name] = _weights(path)
        elif path.suffix == ".csv":
            with open(path, newline="") as file:
                rows = list(csv.DictReader(file))
            found[path.name] = [{name: row[name] for name in row if name not in TIMED} for row in rows]
        elif path.name == "results.json":
            values = files.read_json(path)
            found[path.name] = {name: values[name] for name in values if name not in TIMED}
    return found


def _weights(path):
    """All numbers of a saved network, one vector; why it cannot be read, str."""
    from mpl_tf.models import saved  # Deferred: it brings TensorFlow.

    try:
        network = saved.load(path)
    except UsageError as error:
        return str(error)
    return np.concatenate([weight.ravel() for weight in network.get_weights()])


def differences(found, expected, said=""):
    """Names of the files that are missing, too many or hold other numbers: list of str.

    Args:
        found, expected: as `contents` gives them.
        said: what the program told. A table (.csv) whose damage it told is not compared: it is for people, and which of
            its rows are right nobody knows; what the run itself makes of its steps, the means, is in results.json.
    """

    def differs(name):
        told = name.endswith(".csv") and f"{name} is not as the run had left it" in said
        return not told and not (name in found and name in expected and np.array_equal(found[name], expected[name]))

    return [name for name in sorted({*found, *expected}) if differs(name)]
