"""What the base class does for every method: loss scaling, accumulation, and what it refuses.

Covers: fit.py, network.py, single_network.py
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.methods.mpl import MetaPseudoLabels
from mpl_tf.step.fit import FIRST_LOSS_SCALE
from tests import tiny
from tests.tiny import run

pytestmark = pytest.mark.usefixtures("plain_graphs")


def test_the_loss_scale_of_float16_falls_at_a_bad_step_and_grows_after_good_ones(monkeypatch):
    monkeypatch.setattr("mpl_tf.step.fit.LOSS_SCALE_GROWTH_STEPS", 2)
    keras.config.set_dtype_policy("mixed_float16")
    try:
        method = tiny.make("supervised")
    finally:
        keras.config.set_dtype_policy("float32")
    good = tiny.batch()
    bad = good | {"x_l": tf.fill(good["x_l"].shape, np.inf)}
    scales = []
    for one_batch in (bad, good, good):
        run(method, tiny.repeated(one_batch), 1)
        scales.append(float(method.scaling[0]) / FIRST_LOSS_SCALE)
    assert scales == [0.5, 0.5, 1.0]


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_accumulation_with_dropout_draws_new_masks_each_step(precision):
    """The state of the random generator passes through the parts unharmed: it is that of a run without them."""
    states = []
    for parts in (1, 2):
        keras.config.set_dtype_policy(precision)
        try:
            keras.utils.set_random_seed(0)
            networks = {role: tiny.convolutional(dropout=0.5) for role in ("teacher", "student")}
        finally:
            keras.config.set_dtype_policy("float32")
        method = MetaPseudoLabels(**networks, feedback="exact")
        method.compile(tiny.sgd(0.01, 0.9), accumulate=parts, steps_per_execution=2)
        before = [v.numpy() for v in method.teacher.network.variables if "int" in str(v.dtype)]
        logs, _ = run(method, tiny.repeated(tiny.images()), 4)
        states.append([v.numpy() for v in method.teacher.network.variables if "int" in str(v.dtype)])
        assert logs["skipped_steps"] == 0
        assert not np.array_equal(before, states[-1])
    np.testing.assert_array_equal(states[0], states[1])


def test_accumulation_takes_statistics_of_each_part():
    """The moving mean moves by the mean over the parts of their means: the mean of the batch; the variance differs."""
    batch = tiny.batch(labeled=4)
    statistics = []
    for parts in (1, 2):
        method = tiny.make("supervised", norm=True, compiled={"accumulate": parts})
        run(method, tiny.repeated(batch), 1)
        statistics.append([np.asarray(v) for v in method.student.network.non_trainable_variables])
    np.testing.assert_allclose(statistics[0][0], statistics[1][0], rtol=1e-5)
    assert np.abs(statistics[0][1] - statistics[1][1]).max() > 1e-4


def test_a_batch_that_lacks_a_part_is_refused():
    data = tiny.repeated({key: value for key, value in tiny.batch().items() if key != "x_u_weak"})
    with pytest.raises(Exception, match="batch: expected the keys x_l, y_l, x_u_weak, x_u_strong, got x_l"):
        tiny.make("mpl").fit(data, steps_per_epoch=1, verbose=0)
