"""What each worker of a Dask cluster of this machine imports first (Dask's `preload`): nothing chats on the screen."""

import logging

from mpl_tf.base import quiet

# Where no handler is, the first line that is logged makes one that writes to the screen.
logging.getLogger().addHandler(logging.NullHandler())
quiet.import_tensorflow()
