"""The measurement of a gradient's memory, where it is quick, and what it refuses."""

import json
import subprocess
import sys

import pytest

from mpl_tf.base.errors import UsageError
from tools.studies import memory


def test_batches_have_to_grow():
    with pytest.raises(UsageError, match="--batches: expected two numbers of images, the larger one last, .* got 8,8"):
        memory.measure(memory.Flags(batches="8,8"))


ONE = ["--image_size=32", "--batches=32,160"]
MESH = ["--image_size=64", "--batches=8,24", "--mesh=replica:1,core:2"]


@pytest.mark.slow
@pytest.mark.parametrize("flags", [ONE, [*MESH, "--remat=layer"], [*MESH, "--remat=block"]], ids=" ".join)
def test_what_is_planned_is_taken(flags):
    # A process of its own: TensorFlow reads which allocator to take when it starts.
    command = [sys.executable, "-m", "tools.studies.memory", "--model=wide_resnet_28_2", *flags]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, timeout=600).stdout)
    assert found["measured"] == pytest.approx(found["planned"], rel=0.1)
    assert found["peaks"][0] < found["peaks"][1]
