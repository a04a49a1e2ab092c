"""What a method keeps between steps can lie on a GPU, where a step that XLA compiled can read it.

Covers: fit.py
"""

import pytest
import tensorflow as tf
from tensorflow.python.framework import dtypes, kernels

from mpl_tf.settings.catalogue import METHODS
from tests import tiny


def types_on_gpus():
    """The types of numbers of which TensorFlow, as built for GPUs, keeps variables there."""
    found = kernels.get_registered_kernels_for_op("VarHandleOp").kernel
    # "DEFAULT" is any device but the host, which has kernels for all types.
    constraints = [row.constraint for row in found if row.device_type in ("GPU", "DEFAULT")]
    return {dtypes.as_dtype(t) for rows in constraints for row in rows for t in row.allowed_values.list.type}


@pytest.mark.parametrize("name", METHODS)
def test_no_variable_stays_on_the_host(name):
    on_gpus = types_on_gpus()
    assert tf.int64 in on_gpus and tf.int32 not in on_gpus
    kept = {v.path: tf.as_dtype(v.dtype) for part in tiny.make(name).state().values() for v in part}
    assert {path: dtype.name for path, dtype in kept.items() if dtype not in on_gpus} == {}
    assert tf.int64 in kept.values() and tf.float32 in kept.values()
