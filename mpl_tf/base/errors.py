"""The ways a run can end early; each carries its exit status and one line that says what to do."""

import contextlib
import difflib
import os
import re


class UsageError(Exception):
    """What was asked for cannot be done: a flag, a file or a folder is not what was expected. Exit status 2."""

    status = 2


class RunError(Exception):
    """The run failed on its way: a file that cannot be read, a full disk, a loss that is not finite. Exit status 1."""

    status = 1


class Interrupted(BaseException):
    """SIGTERM: the state is saved and the same command goes on from it. Exit status 75 (EX_TEMPFAIL).

    No Exception, as KeyboardInterrupt is none: it may be raised wherever the signal finds the program, and whoever
    takes any failure of a reader for damage to its file must not take a stop for one.
    """

    status = 75


class Stopped(Interrupted):
    """Ctrl-C: the state is saved and the same command goes on from it. Exit status 130, as shells have it."""

    status = 130


# Lines of an exception of a compiled step that stand above what it says: where its nodes were made, and of how many.
PLACES = re.compile(r"Graph execution error:|Detected at node |<stack traces |\s+(?!\s*\(\d+\) )|\d+ root error|$")


def reason(error):
    """What an exception says, its first line, without TensorFlow's names of nodes and operations and their places."""
    lines = str(error).strip().splitlines()
    first = next((line.strip() for line in lines if not PLACES.match(line)), lines[0] if lines else "")
    return re.sub(r"\{\{.*?\}\} *| *\[Op:.*?\]", "", first)


def unforeseen(error):
    """The RunError of an exception that nobody foresaw: of a file or an object that has gone, or may not be read any
    more, by its name; of others --debug shows the cause.

    Args:
        error: Exception.
    """
    if isinstance(error, OSError) and error.filename and error.strerror:
        name = os.fsdecode(error.filename) if isinstance(error.filename, bytes) else error.filename
        told = f"{name}: expected to read or write it, got: {error.strerror}; mend that, then run it again"
    else:
        told = f"unexpected {type(error).__name__}: {reason(error)}; run with --debug for the traceback"
    found = RunError(told)
    found.__cause__ = error
    return found


@contextlib.contextmanager
def explained(kinds, explain):
    """Inside it, an exception that can be explained ends the run in a line; another one stays what it is.

    Args:
        kinds: tuple of classes of exceptions.
        explain: function of one of these that returns the line, empty where it knows none.
    Raises:
        RunError: the line.
    """
    try:
        yield
    except kinds as error:
        told = explain(error)
        if not told:
            raise
        raise RunError(told) from error


def did_you_mean(given, names, shown="{}"):
    """The end of a refusal that tells the nearest of the known names, "; did you mean X?"; empty where none is near.

    Args:
        given: what came instead.
        names: those there are, each a str.
        shown: how a name is written, as "--{}" for flags.
    """
    near = difflib.get_close_matches(str(given), list(names), n=1)
    return f"; did you mean {shown.format(near[0])}?" if near else ""


def together(problems):
    """One UsageError that tells all that is wrong, so that a command line is mended in one go.

    Args:
        problems: list of str, at least one.
    """
    if len(problems) == 1:
        return UsageError(problems[0])
    listed = " ".join(f"({number}) {problem}" for number, problem in enumerate(problems, 1))
    return UsageError(f"{len(problems)} problems: {listed}")
