"""Batch norm over groups of replicas, against Keras' own layer on each group's images together."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from mpl_tf import methods
from mpl_tf.models.layers import BatchNorm

ROOT = Path(__file__).resolve().parents[2]
SHAPE = (4, 6, 3, 3, 5)  # Replicas, images of each, pixels, channels.
# Four logical devices must be asked for before TensorFlow starts: a process of its own.
SCRIPT = """
import sys
import numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 4)
strategy = tf.distribute.MirroredStrategy([f"CPU:{n}" for n in range(4)])
from mpl_tf.models.layers import BatchNorm
data = np.load(sys.argv[1])
found = {}
for groups in (1, 2, 4):
    with strategy.scope():
        layer = BatchNorm(groups=groups)
        layer.build((None, 3, 3, 5))
    layer.gamma.assign(data["gamma"])

    @tf.function
    def run(x, weights):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y, (mean, variance) = layer.stateless_call(
                [tf.convert_to_tensor(v) for v in layer.trainable_variables],
                [tf.convert_to_tensor(v) for v in layer.non_trainable_variables], x, training=True)
            loss = tf.reduce_sum(weights * y)
        return y, tape.gradient(loss, x), mean, variance

    arguments = [
        strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(data[name][context.replica_id_in_sync_group]))
        for name in ("x", "weights")
    ]
    for name, value in zip(("y", "gradient", "mean", "variance"), strategy.run(run, args=arguments)):
        found[f"{name}{groups}"] = np.stack([v.numpy() for v in strategy.experimental_local_results(value)])
np.savez(sys.argv[2], **found)
"""


@pytest.fixture(scope="module")
def four(tmp_path_factory):
    """What went into four replicas, and what came out of each."""
    folder = tmp_path_factory.mktemp("groups")
    random = np.random.default_rng(0)
    x = random.normal(size=SHAPE) + np.arange(4)[:, None, None, None, None]  # Every replica has another mean.
    given = {"x": x, "weights": random.normal(size=SHAPE), "gamma": random.uniform(0.5, 2, SHAPE[-1])}
    given = {name: value.astype(np.float32) for name, value in given.items()}
    np.savez(folder / "given.npz", **given)
    command = [sys.executable, "-c", SCRIPT, folder / "given.npz", folder / "found.npz"]
    done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return given, dict(np.load(folder / "found.npz"))


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_statistics_are_those_of_the_groups_images_and_gradients_follow(groups, four):
    given, found = four
    size = 4 // groups
    means, variances = [], []
    for group in range(groups):
        part = slice(group * size, (group + 1) * size)
        x, weights = (tf.reshape(given[name][part], [-1, *SHAPE[2:]]) for name in ("x", "weights"))
        layer = keras.layers.BatchNormalization(epsilon=1e-3, momentum=0.0)
        layer.build(x.shape)
        layer.gamma.assign(given["gamma"])
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
            loss = tf.reduce_sum(weights * y)
        for name, expected in (("y", y), ("gradient", tape.gradient(loss, x))):
            whole = found[f"{name}{groups}"][part].reshape(expected.shape)
            np.testing.assert_allclose(whole, expected, rtol=1e-4, atol=1e-5)
        means.append(layer.moving_mean.numpy())  # Momentum 0: the group's own.
        variances.append(layer.moving_variance.numpy())
    for replica in range(4):  # Equal on all, as mirrored variables must be.
        np.testing.assert_allclose(found[f"mean{groups}"][replica], 0.01 * np.mean(means, axis=0), rtol=1e-5)
        expected = 0.99 + 0.01 * np.mean(variances, axis=0)
        np.testing.assert_allclose(found[f"variance{groups}"][replica], expected, rtol=1e-5)


def test_the_flag_reaches_every_layer_and_its_copies(make_config):
    method = methods.make(make_config(batch_norm_groups=2, ema_decay=0.9), (8, 8, 3), 10)
    for network in (method.teacher.network, method.student.network, method.averaged):
        layers = [layer for layer in network.layers if isinstance(layer, BatchNorm)]
        assert layers
        assert {layer.groups for layer in layers} == {2}
        assert "groups" not in layers[0].plain().get_config()
