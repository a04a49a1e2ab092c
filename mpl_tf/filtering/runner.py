"""Running a Beam pipeline: its errors in one line, whichever worker of whichever runner they come from."""

import re

from mpl_tf.base.errors import RunError, UsageError
from mpl_tf.filtering import engines, logs
from mpl_tf.filtering.engines import beam
from mpl_tf.filtering.settings import Scoring, Selection
from mpl_tf.settings import fields

_failed = []
# An error of this program in the words of a runner whose workers are other processes: the last line of a traceback.
KINDS = {kind.__name__: kind for kind in (UsageError, RunError)}
OWN = re.compile(
    rf"\b{re.escape(UsageError.__module__)}\.({'|'.join(KINDS)}): (.+?)(?: \[while running .*)?$", re.MULTILINE
)
# How runners say that a worker is gone, not that its work failed.
LOST = re.compile(
    "KilledWorker|workers died|worker subprocess exited|lost contact with the service|CancelledError|CommClosed"
    "|Channel closed|Multiplexer hanging up|StatusCode.UNAVAILABLE|TaskManager.*(lost|unexpectedly)|Executor.*lost"
    "|Socket closed",
    re.IGNORECASE,
)
AGAIN = "start the same command again, it goes on from the chunks that are done"


class Told(beam.DoFn):
    """A DoFn whose UsageError and RunError reach `run` whole, without Beam's words around them."""

    def process(self, element):
        """What `work` of the subclass makes of an element."""
        try:
            yield from self.work(element)
        except (UsageError, RunError) as error:
            _failed.append(error)
            raise


def run(arguments, build):
    """Run a pipeline.

    Args:
        arguments: list of str, Beam's own flags.
        build: function of the beam.Pipeline.
    Raises:
        UsageError, RunError: a worker's own, or whatever else ended the pipeline.
    """
    _failed.clear()
    # Beam logs a worker's error with its traceback; it reaches the user once, in one line.
    with logs.silent():
        try:
            with engines.pipeline(arguments) as pipeline:
                build(pipeline)
        except Exception as error:
            raise told(error) from error


def told(error):
    """The UsageError or RunError that says in one line what ended a pipeline.

    Args:
        error: Exception, of Beam or of a library below it.
    """
    if _failed:
        return _failed[0]
    if isinstance(error, UsageError | RunError):
        return error
    text = f"{type(error).__name__}: {error}".strip()
    own = OWN.search(text)
    if own:
        return KINDS[own[1]](own[2])
    line = (str(error).strip().splitlines() or [type(error).__name__])[-1]
    if LOST.search(text):
        return RunError(f"a worker was lost ({line}); {AGAIN}; if it is lost again, give the workers more memory")
    return RunError(f"the Beam pipeline failed: {line}; mend what it names, then {AGAIN}")


def check_arguments(arguments):
    """Refuse flags that neither the tool nor Beam knows; UsageError as engines.check."""
    engines.check(arguments, fields.merged(Scoring, Selection))
