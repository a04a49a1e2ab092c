"""The program: a command line to a configuration, what run/modes.py does with it, and one line where that fails.

python -m mpl_tf.main --dataset=digits_50
"""

import contextlib
import json
import os
import signal
import sys
import traceback

from mpl_tf.base import console, quiet, storage
from mpl_tf.base.errors import Interrupted, RunError, Stopped, UsageError, unforeseen
from mpl_tf.devices import cluster
from mpl_tf.run import modes, workdir
from mpl_tf.settings import flags


def main(argv=None, make=None):
    """Run a command line.

    Args:
        argv: list of str without the program's name; sys.argv's if None.
        make: see modes.train.
    Returns:
        The exit status: 0, 1 (failed), 2 (usage) or 75 (go on later).
    """
    argv = sys.argv[1:] if argv is None else argv
    console.take_any_name()
    debug = "--debug" in argv or "--debug=true" in argv  # For errors of the flags themselves too.
    config = None
    try:
        # A misspelt flag is told before TensorFlow is imported, which takes seconds.
        config = flags.parse(argv)
        with _sigterm_ends(config):
            late = config.mode == "train" and cluster.starts_late(config.strategy)
            if config.debug:  # TensorFlow's notes are heard, whenever it starts.
                quiet.grow()
            else:
                quiet.import_tensorflow(start=not late)
            _do(config, make)
    except (UsageError, RunError, Interrupted) as error:
        return _end(error, debug)
    except KeyboardInterrupt:
        return _end(Stopped(f"stopped; {_going_on(config)}" if config else "stopped"), debug)
    except Exception as error:
        return _end(unforeseen(error), debug)  # One line as well; its cause is what --debug shows.
    return 0


def _do(config, make):
    """What the mode asks for; it is told on stdout."""
    if config.mode == "train":
        modes.train(config, make)
    elif config.mode == "evaluate":
        print(json.dumps(modes.score(config)))  # stdout has the figures alone, for other programs.
    elif config.mode == "export":
        modes.export(config)
    else:
        print(modes.features(config) if config.mode == "features" else modes.predict(config))


@contextlib.contextmanager
def _sigterm_ends(config):
    """Outside a training phase, which saves first, SIGTERM ends the process at once, with its own exit status too.

    Nothing is to be saved there. An exception, raised wherever the signal finds TensorFlow, may upset what it is doing.
    """

    def stop(*_):  # Not by print, which may be in the middle of a line.
        os.write(2, os.fsencode(f"mpl_tf: SIGTERM: stopped outside training; {_going_on(config)}\n"))
        os._exit(Interrupted.status)

    previous = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _going_on(config):
    """What the same command does after a stop: training and features go on, the other modes start over."""
    if config.mode == "train":
        return workdir.going_on(config.workdir)
    return f"the same command {'goes on' if config.mode == 'features' else 'starts over'}"


def _end(error, debug):
    """Tell an error on stderr, in one line; returns its exit status."""
    if debug:
        traceback.print_exception(error)
    line = storage.named(" ".join(str(error).split()))
    print(f"mpl_tf: {'' if isinstance(error, Interrupted) else 'error: '}{line}", file=sys.stderr, flush=True)
    return error.status


if __name__ == "__main__":
    sys.exit(main())
