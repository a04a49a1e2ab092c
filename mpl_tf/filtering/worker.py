"""A worker process on this machine, without chatter on the screen: of Beam's local runner, or of Dask.

Beam's (--direct_running_mode=multi_processing) runs this module; Dask's imports it first (`preload`).
"""

import logging
import sys

from mpl_tf.base import quiet


def main(argv):
    """Work until Beam's runner is done; `argv` as Beam's program has it. What is logged goes to the runner alone."""
    _quieten()
    from apache_beam.runners.worker import sdk_worker_main

    sdk_worker_main.main(argv)


def dask_setup(_worker):
    """What Dask calls in each of its workers before there is work."""
    _quieten()


def _quieten():
    # Where no handler is, the first line that is logged makes one that writes to the screen.
    logging.getLogger().addHandler(logging.NullHandler())
    quiet.import_tensorflow()


if __name__ == "__main__":
    main(sys.argv)
