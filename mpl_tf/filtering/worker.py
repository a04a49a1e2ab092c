"""A worker process of Beam's local runner (--direct_running_mode=multi_processing), without chatter on the screen."""

import logging
import sys

from mpl_tf.base import quiet


def main(argv):
    """Work until Beam's runner is done; `argv` as Beam's program has it. What is logged goes to the runner alone."""
    # Where no handler is, the first line that is logged makes one that writes to the screen.
    logging.getLogger().addHandler(logging.NullHandler())
    quiet.import_tensorflow()
    from apache_beam.runners.worker import sdk_worker_main

    sdk_worker_main.main(argv)


if __name__ == "__main__":
    main(sys.argv)
