"""Networks: sizes, shapes, and the forward pass against one written by hand."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from mpl_tf import models
from mpl_tf.errors import UsageError
from mpl_tf.models.layers import BatchNorm

SHAPES = {"mlp": (2,), "small_cnn": (8, 8, 3), "wide_resnet_28_2": (32, 32, 3), "wide_resnet_28_10": (16, 16, 3)}


@pytest.mark.parametrize("name", models.MODELS)
def test_float32_logits_in_any_precision_and_saved_models_open(name, tmp_path):
    for precision in ("float32", "mixed_bfloat16"):
        keras.config.set_dtype_policy(precision)
        try:
            network = models.build(name, SHAPES[name], 7, dropout=0.1)
        finally:
            keras.config.set_dtype_policy("float32")
        logits = network(tf.random.stateless_normal([2, *SHAPES[name]], [1, 2]))
        assert logits.shape == (2, 7)
        assert logits.dtype == tf.float32
    if name != "wide_resnet_28_10":  # 36 M weights; the same code as 28_2.
        network.save(tmp_path / "model.keras")
        again = keras.models.load_model(tmp_path / "model.keras")
        for a, b in zip(network.weights, again.weights, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", models.MODELS)
def test_the_seed_decides_the_weights_and_networks_differ(name):
    if name == "wide_resnet_28_10":
        pytest.skip("the same code as wide_resnet_28_2")
    found = []
    for _ in range(2):
        keras.utils.set_random_seed(5)
        found += [models.build(name, SHAPES[name], 3).get_weights() for _ in range(2)]
    for first, other, again in zip(found[0], found[1], found[2], strict=True):
        np.testing.assert_array_equal(first, again)
        assert first.ndim == 1 or not np.array_equal(first, other)


def wide_resnet_weights(k, classes):
    """Trainable weights, counted by hand."""
    count = 3 * 9 * 16 * k
    before = 16 * k
    for width in (16 * k, 32 * k, 64 * k):
        for block in range(4):
            into = before if block == 0 else width
            count += 9 * into * width + 9 * width * width + 2 * into + 2 * width  # Two convolutions, two batch norms.
            count += into * width if into != width else 0  # The projection.
        before = width
    return count + 2 * before + before * classes + classes


@pytest.mark.parametrize(("k", "millions"), [(2, 1.47), (10, 36.7)])
def test_wide_resnet_counts(k, millions):
    network = models.build(f"wide_resnet_28_{k}", (32, 32, 3), 10)
    count = sum(int(np.prod(weight.shape)) for weight in network.trainable_weights)
    assert count == wide_resnet_weights(k, 10)
    assert count / 1e6 == pytest.approx(millions, abs=0.05 if k == 10 else 0.005)
    convolutions = [layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D)]
    assert len([layer for layer in convolutions if layer.kernel_size == (3, 3)]) == 25
    assert len([layer for layer in convolutions if layer.kernel_size == (1, 1)]) == 2


def in_order_of_creation(network, kind):
    """Keras numbers the names of its layers: conv2d, conv2d_1, conv2d_2."""
    layers = [layer for layer in network.layers if isinstance(layer, kind)]
    return sorted(layers, key=lambda layer: [int(digits) for digits in re.findall(r"_(\d+)$", layer.name)])


def test_wide_resnet_forward_by_hand():
    """The network's own weights, in order of creation, through plain TensorFlow operations in inference mode."""
    keras.utils.set_random_seed(3)
    network = models.build("wide_resnet_28_2", (16, 16, 3), 5)
    random = np.random.default_rng(0)
    for layer in network.layers:
        if isinstance(layer, BatchNorm):
            layer.set_weights([random.uniform(0.5, 1.5, size=w.shape) for w in layer.get_weights()])
    x = tf.constant(random.normal(size=(2, 16, 16, 3)), tf.float32)
    convolutions = iter([layer.kernel for layer in in_order_of_creation(network, keras.layers.Conv2D)])
    norms = iter(in_order_of_creation(network, BatchNorm))

    def conv(value, stride):
        return tf.nn.conv2d(value, tf.convert_to_tensor(next(convolutions)), stride, "SAME")

    def activate(value):
        gamma, beta, mean, variance = (tf.convert_to_tensor(w) for w in next(norms).weights)
        normal = (value - mean) / tf.sqrt(variance + 1e-3) * gamma + beta
        return tf.where(normal > 0, normal, 0.2 * normal)

    def block(value, width, stride):
        activated = activate(value)
        shortcut = value if value.shape[-1] == width and stride == 1 else conv(activated, stride)
        return conv(activate(conv(activated, stride)), 1) + shortcut

    value = conv(x, 1)
    for group, width in enumerate((32, 64, 128)):
        for index in range(4):
            value = block(value, width, 2 if group and index == 0 else 1)
    dense = network.layers[-1]
    expected = tf.reduce_mean(activate(value), axis=(1, 2)) @ dense.kernel + dense.bias
    np.testing.assert_allclose(network(x), expected, rtol=1e-4, atol=1e-4)
    assert next(convolutions, None) is None
    assert next(norms, None) is None


def test_two_moons_network_is_the_papers():
    keras.utils.set_random_seed(0)
    network = models.build("mlp", (2,), 2)
    assert [weight.shape for weight in network.weights] == [(2, 8), (8,), (8, 8), (8,), (8, 2), (2,)]
    everything = np.concatenate([weight.numpy().ravel() for weight in network.weights])
    assert 0.08 < np.abs(everything).max() <= 0.1
    w1, b1, w2, b2, w3, b3 = network.get_weights()
    x = np.array([[0.3, -1.0]], np.float32)
    hidden = 1 / (1 + np.exp(-(x @ w1 + b1)))
    hidden = 1 / (1 + np.exp(-(hidden @ w2 + b2)))
    np.testing.assert_allclose(network(x), hidden @ w3 + b3, rtol=1e-5)


@pytest.mark.parametrize(("name", "shape"), [("mlp", (8, 8, 3)), ("small_cnn", (2,)), ("wide_resnet_28_2", (4, 32, 3))])
def test_examples_a_network_cannot_take_are_refused_by_flag(name, shape):
    with pytest.raises(UsageError, match=f"^--model: {name} takes .*give --"):
        models.build(name, shape, 2)
    with pytest.raises(UsageError, match="--model: expected one of mlp, .*got nonsense"):
        models.build("nonsense", shape, 2)


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_fused_batch_norm_has_keras_numbers(precision):
    """Forward, backward and moving statistics."""
    x = tf.constant(np.random.default_rng(0).normal(2, 3, size=(4, 5, 6, 3)), tf.float32)
    results = []
    for kind in (BatchNorm, keras.layers.BatchNormalization):
        layer = kind(momentum=0.9, epsilon=1e-3, dtype=precision)
        layer.build(x.shape)
        layer.set_weights([np.array([0.5, 1.0, 2.0]), np.array([1.0, 0.0, -1.0]), np.zeros(3), np.ones(3)])
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
            loss = tf.reduce_sum(tf.cast(y, tf.float32) ** 3)
        gradients = tape.gradient(loss, [x, *layer.trainable_variables])
        results.append([y, *gradients, layer.moving_mean, layer.moving_variance, layer(x, training=False)])
        assert y.dtype == layer.compute_dtype
    tolerance = 1e-4 if precision == "float32" else 0.05
    for ours, theirs in zip(*results, strict=True):
        expected = np.asarray(theirs, np.float32)
        margin = tolerance * np.abs(expected).max()
        np.testing.assert_allclose(np.asarray(ours, np.float32), expected, rtol=tolerance, atol=margin)


def test_batch_norm_is_the_fused_kernel_and_its_plain_twin_takes_its_weights():
    layer = BatchNorm()
    layer.build((None, 4, 4, 3))
    graph = tf.function(lambda x: layer(x, training=True)).get_concrete_function(tf.TensorSpec([2, 4, 4, 3])).graph
    assert "FusedBatchNormV3" in {operation.type for operation in graph.get_operations()}
    plain = layer.plain()
    assert type(plain) is keras.layers.BatchNormalization
    assert (plain.momentum, plain.epsilon) == (layer.momentum, layer.epsilon)
