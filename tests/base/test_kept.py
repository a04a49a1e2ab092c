"""What is read is kept while it is asked for, and only then."""

import numpy as np
import pytest

from mpl_tf.base import kept
from mpl_tf.data.source import Source


def test_a_read_is_kept_while_reads_lasts_and_cannot_be_written_to():
    made = []

    def make(value=7):
        made.append(value)
        return Source(np.full([2, 1, 1, 3], value, np.uint8), np.zeros(2, np.int32))

    assert kept.read("a", make) is not kept.read("a", make)
    with kept.reads():
        first = kept.read("a", make)
        assert kept.read("a", make) is first
        assert kept.read("b", lambda: make(8)).images[0, 0, 0, 0] == 8
        with pytest.raises(ValueError, match="read-only"):
            first.images[0] = 0
    assert kept.read("a", make) is not first
    assert made == [7, 7, 7, 8, 7]
