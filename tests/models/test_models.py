"""Networks: sizes, shapes, and the forward pass against one written by hand.

Covers: __init__.py, cnn13.py, layers.py, mlp.py, small_cnn.py, wide_resnet.py
"""

import re
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf

from mpl_tf import models
from mpl_tf.base.errors import UsageError
from mpl_tf.data import Dataset, Source
from mpl_tf.models.layers import BatchNorm
from mpl_tf.run import export
from mpl_tf.settings.catalogue import NETWORKS

SHAPES = {name: (row.smallest, row.smallest, 3) if row.smallest else (2,) for name, row in NETWORKS.items()}
LARGE = [name for name in NETWORKS if name == "resnet_50" or name.startswith("efficientnet_")]
BUILT = [name for name in NETWORKS if name not in LARGE]  # The others: test_imagenet_networks.py.


@pytest.mark.parametrize("name", BUILT)
def test_float32_logits_in_any_precision_and_saved_models_open(name, tmp_path):
    if name == "wide_resnet_28_10":
        pytest.skip("the same code as wide_resnet_28_2")
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


@pytest.mark.parametrize("name", BUILT)
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


@pytest.mark.parametrize(("name", "widths"), [("small_cnn", (32, 32, 64, 64)), ("narrow_cnn", (16, 16, 32, 32))])
def test_small_networks_by_hand(name, widths):
    """Sizes and the forward pass, in inference mode."""
    network = models.build(name, (10, 8, 3), 7)
    sizes = zip((3, *widths[:-1]), widths, strict=True)
    count = sum(9 * into * width + 2 * width for into, width in sizes) + widths[-1] * 7 + 7
    assert sum(int(np.prod(weight.shape)) for weight in network.trainable_weights) == count
    expected = plain_forward(network, ((1, 1, "SAME"), (1, 2, "SAME")) * 2)
    np.testing.assert_allclose(network(IMAGES[:, :10, :8]), expected(IMAGES[:, :10, :8]), rtol=1e-4, atol=1e-4)


def test_cnn13_by_hand():
    """Sizes and the forward pass, in inference mode, at the smallest side, CIFAR's and one of no multiple of 4."""
    network = models.build("cnn13", (32, 32, 3), 10, dropout=0.5)
    convolutions = 9 * (3 * 128 + 2 * 128**2 + 128 * 256 + 2 * 256**2 + 256 * 512) + 512 * 256 + 256 * 128
    count = convolutions + 2 * (3 * 128 + 3 * 256 + 512 + 256 + 128) + 128 * 10 + 10
    assert sum(int(np.prod(weight.shape)) for weight in network.trainable_weights) == count == 3_121_802
    kinds = [type(layer).__name__ for layer in network.layers]
    assert (kinds.count("Conv2D"), kinds.count("BatchNorm"), kinds.count("MaxPooling2D")) == (9, 9, 2)
    after_pool = [kinds[index + 1] for index, kind in enumerate(kinds) if kind == "MaxPooling2D"]
    assert after_pool == ["Dropout"] * 2 and kinds.count("Dropout") == 2
    stages = [(1, 1, "SAME"), (1, 1, "SAME"), (1, 2, "SAME")] * 2 + [(1, 1, "VALID")] * 3
    for side, last in ((12, 1), (14, 1), (32, 6)):
        network = models.build("cnn13", (side, side, 3), 10, dropout=0.5)
        before_average = next(x for x in network.layers if isinstance(x, keras.layers.GlobalAveragePooling2D))
        assert before_average.input.shape == (None, last, last, 128)
        images = IMAGES[:, :side, :side]
        expected = plain_forward(network, stages)
        np.testing.assert_allclose(network(images), expected(images), rtol=1e-4, atol=1e-4)


IMAGES = tf.random.stateless_normal([2, 32, 32, 3], [4, 2])


def plain_forward(network, stages):
    """The network by plain TensorFlow, its norms drawn anew: convolution, norm, leaky ReLU, pooling, then the head.

    Each stage is (stride, side of the max-pooling after it, padding).
    """
    random = np.random.default_rng(0)
    convolutions = in_order_of_creation(network, keras.layers.Conv2D)
    norms = in_order_of_creation(network, BatchNorm)
    for layer in norms:
        layer.set_weights([random.uniform(0.5, 1.5, size=weight.shape) for weight in layer.get_weights()])

    def forward(x):
        for convolution, norm, (stride, pool, padding) in zip(convolutions, norms, stages, strict=True):
            gamma, beta, mean, variance = (tf.convert_to_tensor(weight) for weight in norm.weights)
            x = tf.nn.conv2d(x, tf.convert_to_tensor(convolution.kernel), stride, padding)
            x = (x - mean) / tf.sqrt(variance + 1e-3) * gamma + beta
            x = tf.where(x > 0, x, 0.1 * x)
            x = tf.nn.max_pool2d(x, pool, pool, "VALID")
        dense = network.layers[-1]
        return tf.reduce_mean(x, axis=(1, 2)) @ dense.kernel + dense.bias

    return forward


# ---- Stochastic depth ---------------------------------------------------------------------------------------------


def skipping(network):
    """The layers that skip residual branches, in order of depth."""
    return [layer for layer in in_order_of_creation(network, keras.layers.Dropout) if layer.noise_shape]


def test_each_residual_branch_is_skipped_more_often_than_the_one_before():
    network = models.build("wide_resnet_28_2", (8, 8, 3), 3, dropout=0.1, stochastic_depth=0.6)
    layers = skipping(network)
    np.testing.assert_allclose([layer.rate for layer in layers], [0.6 * number / 12 for number in range(1, 13)])
    sums = in_order_of_creation(network, keras.layers.Add)
    for layer, together in zip(layers, sums, strict=True):
        assert together.input[0] is layer.output  # the branch, not the shortcut
        assert layer.input is not together.input[1]


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_an_example_takes_a_branch_whole_or_not_at_all_and_keeps_its_mean(precision):
    keras.utils.set_random_seed(1)
    keras.config.set_dtype_policy(precision)
    try:
        network = models.build("wide_resnet_28_2", (8, 8, 3), 3, stochastic_depth=0.5)
    finally:
        keras.config.set_dtype_policy("float32")
    images = tf.random.stateless_normal([512, 8, 8, 3], [7, 7])
    kept_by_block = []
    for layer in (skipping(network)[5], skipping(network)[-1]):
        branch = keras.Model(network.inputs, [layer.input, layer.output])
        before, after = (np.asarray(value, np.float64) for value in branch(images, training=True))
        kept = np.abs(after).max(axis=(1, 2, 3)) > 0
        factor = 1 / (1 - layer.rate)
        tolerance = 1e-6 if precision == "float32" else 1e-2
        np.testing.assert_allclose(after[kept], factor * before[kept], rtol=tolerance)
        assert not after[~kept].any() and np.abs(before[~kept]).max(axis=(1, 2, 3)).all()
        share = 1 - layer.rate
        assert kept.mean() == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / 512))
        kept_by_block.append(kept)
        draws = np.stack([layer(tf.ones([4000, 1, 1, 2]), training=True) for _ in range(2)]).astype(np.float64)
        assert draws.mean() == pytest.approx(1, abs=4 * np.sqrt(layer.rate / share / 8000) + 0.01 * (tolerance > 1e-3))
        assert not np.array_equal(draws[0], draws[1])
    assert not np.array_equal(*kept_by_block)


def test_a_skipped_branch_leaves_the_shortcut():
    """The last block's sum, training: shortcut + branch / kept share, or the shortcut alone."""
    keras.utils.set_random_seed(2)
    network = models.build("wide_resnet_28_2", (8, 8, 3), 3, stochastic_depth=0.5)
    together = in_order_of_creation(network, keras.layers.Add)[-1]
    branch, shortcut = together.input
    parts = keras.Model(network.inputs, [skipping(network)[-1].input, branch, shortcut, together.output])
    raw, branch, shortcut, total = parts(tf.random.stateless_normal([32, 8, 8, 3], [7, 8]), training=True)
    kept = np.abs(np.asarray(branch)).max(axis=(1, 2, 3), keepdims=True) > 0
    assert 0 < kept.sum() < 32
    np.testing.assert_allclose(total, shortcut + np.where(kept, 2 * np.asarray(raw), 0), rtol=1e-5, atol=1e-6)


def test_inference_and_an_exported_model_take_every_branch(tmp_path):
    networks = [models.build("wide_resnet_28_2", (8, 8, 3), 3, stochastic_depth=rate) for rate in (0.0, 0.7)]
    networks[1].set_weights(weights := networks[0].get_weights())
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
    scaled = tf.cast(images, tf.float32) / 255
    np.testing.assert_array_equal(networks[1](scaled), networks[0](scaled))
    source = Source(images, np.arange(3, dtype=np.int32))
    dataset = Dataset("tiny", source, None, source, ("a", "b", "c"), (0.0,) * 3, (1.0,) * 3)
    export.save(export.deployable(networks[1], dataset), tmp_path / "student.keras", dataset.class_names)
    with zipfile.ZipFile(tmp_path / "student.keras") as file:
        assert "mpl_tf" not in file.read("config.json").decode()  # so it opens with Keras alone
    exported = keras.models.load_model(tmp_path / "student.keras")
    np.testing.assert_allclose(exported(images), networks[0](scaled), rtol=1e-4, atol=1e-5)
    assert len(exported.layers[-1].get_weights()) == len(weights)


def test_without_stochastic_depth_there_is_no_layer_for_it():
    network = models.build("wide_resnet_28_2", (8, 8, 3), 3, dropout=0.1)
    assert [layer.rate for layer in network.layers if isinstance(layer, keras.layers.Dropout)] == [0.1]


@pytest.mark.parametrize("name", [name for name, row in NETWORKS.items() if not row.residual])
def test_networks_without_residual_branches_refuse_stochastic_depth(name):
    with pytest.raises(UsageError) as caught:
        models.build(name, SHAPES[name], 2, stochastic_depth=0.3)
    told = f"--stochastic_depth: expected 0 with {name}, which has no residual branches, got 0.3; it goes with fast_"
    assert str(caught.value).startswith(told)


# ---- Other networks and layers ------------------------------------------------------------------------------------


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


REFUSED = [("mlp", (8, 8, 3)), ("small_cnn", (2,)), ("wide_resnet_28_2", (4, 32, 3)), ("cnn13", (32, 11, 3))]


@pytest.mark.parametrize(("name", "shape"), REFUSED)
def test_examples_a_network_cannot_take_are_refused_by_flag(name, shape):
    for flag in ("model", "teacher_model"):
        with pytest.raises(UsageError, match=f"^--{flag}: {name} takes .*; use "):
            models.build(name, shape, 2, flag=flag)
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
