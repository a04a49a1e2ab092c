"""Passes in parts: on several replicas that share batch norm's statistics, and under XLA."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.devices.replicas import Replicas
from tests import tiny
from tests.tools.studies.test_compiled import without_determinism  # noqa: F401  A fixture.


@pytest.mark.usefixtures("without_determinism")
def test_dropout_in_parts_makes_no_floats_of_64_bits():
    """A TPU keeps a number of 64 bits as two of 32, between which and a float64 XLA has no bitcast for it."""
    keras.utils.set_random_seed(0)
    method = tiny.METHODS["supervised"].resolve()(network=tiny.convolutional(dropout=0.5))
    method.compile(tiny.sgd(0.01, 0.9), accumulate=2, jit_compile=True)
    batch = {key: tiny.images()[key] for key in ("x_l", "y_l")}
    step = tf.function(method.train_step, jit_compile=True, autograph=False)
    program = step.experimental_get_compiler_ir(batch)(stage="hlo")
    assert "s64[" in program and "f64[" not in program


def quarters(batch, *which):
    """Some quarters of each part of a batch, one after the other."""
    return {key: tf.concat([tf.split(value, 4)[number] for number in which], axis=0) for key, value in batch.items()}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("supervised", {}),
        pytest.param("mpl", {"feedback": "exact", "pseudo_labels": "soft"}, marks=pytest.mark.slow),
    ],
)
def test_replicas_that_share_statistics_accumulate_as_one_device(name, options, two_replicas):
    """Parts hold the same examples: the halves of one device's batch, and a half of each replica's."""
    batch = tiny.batch(labeled=8, unlabeled=16)
    compiled = {"accumulate": 2}
    one = tiny.make(name, norm=True, ema_decay=0.9, compiled=compiled, **options)
    logs, expected = tiny.run(one, tiny.repeated(batch), 3)
    with Replicas(two_replicas).scope():
        two = tiny.make(name, norm=True, ema_decay=0.9, compiled=compiled, **options)
    cut = [quarters(batch, 0, 2), quarters(batch, 1, 3)]
    halves = {key: tf.stack([part[key] for part in cut]) for key in batch}
    data = two_replicas.distribute_datasets_from_function(lambda _: tf.data.Dataset.from_tensor_slices(halves).repeat())
    two_logs, found = tiny.run(two, data, 3)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    for quantity, value in logs.items():
        assert two_logs[quantity] == pytest.approx(value, rel=2e-3, abs=1e-5), quantity
