"""The measurement of a gradient's memory, where it is quick, and what it refuses."""

import pytest

from mpl_tf.base.errors import UsageError
from tools.studies import memory


def test_batches_have_to_grow():
    with pytest.raises(UsageError, match="--batches: expected two numbers of images, the larger one last, .* got 8,8"):
        memory.measure(memory.Flags(batches="8,8"))


@pytest.mark.slow
def test_a_small_network_is_measured_near_its_plan():
    """Within a factor of two: the larger the images, the nearer."""
    found = memory.measure(memory.Flags(model="wide_resnet_28_2", image_size=32, batches="32,160"))
    assert found["measured"] > 0
    assert 0.5 < found["ratio"] < 2
    assert found["peaks"][0] < found["peaks"][1]
