"""The program on a wide residual network of three blocks; run as a program: [kill at step] and mpl_tf.main's flags.

With a step above 0 it is killed (SIGKILL) when that step's checkpoint is written.
"""

import os
import signal
import sys

from mpl_tf.main import main
from mpl_tf.models import wide_resnet
from mpl_tf.run import checkpoints


def run(kill_at, argv):
    """Run; returns the exit status."""
    wide_resnet.BLOCKS = 1
    save = checkpoints.Checkpoints.save

    def save_and_end(self, step, seconds):
        save(self, step, seconds)
        if step == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    checkpoints.Checkpoints.save = save_and_end
    return main(argv)


if __name__ == "__main__":
    sys.exit(run(int(sys.argv[1]), sys.argv[2:]))
