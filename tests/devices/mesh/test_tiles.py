"""What DTensor cannot do for the edges of tiles; that windows have the right numbers is in layers_on_mesh.py."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.experimental import dtensor

from mpl_tf.devices.mesh.grid import Grid


@pytest.mark.parametrize("operation", ["CollectivePermute", "CollectiveAllToAllV2", "CollectiveReduceScatterV2"])
def test_dtensor_still_refuses_to_send_to_a_neighbour_alone(operation):
    """When it does not, edges of tiles need not go to all cores (tiles.py)."""
    grid = Grid(dtensor.create_mesh([("replica", 1), ("core", 2)], devices=["CPU:0", "CPU:1"]))
    x, group = grid.put(np.ones([2, 4], "float32"), "core"), {"group_size": 2, "group_key": 7, "instance_key": 8}
    options = {
        "CollectivePermute": {"source_target_pairs": [[0, 1]]},
        "CollectiveAllToAllV2": group | {"ordering_token": []},
        "CollectiveReduceScatterV2": group | {"ordering_token": [], "merge_op": "Add", "final_op": "Id"},
    }[operation]
    with pytest.raises(tf.errors.UnknownError, match=f"tf.{operation}' op does not implement layout propagation"):
        tf.function(lambda x: getattr(tf.raw_ops, operation)(input=x, **options), autograph=False)(x)
