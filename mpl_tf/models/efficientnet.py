"""EfficientNet (Tan and Le 2019) B0 to B8, L2 (Noisy Student, Xie et al. 2020) and B6-Wide (Meta Pseudo Labels).

The MPL paper (section 4) gives B6-Wide the depth of B6 and width 5.0, and 390 M weights; those factors make 316.6 M.
efficientnet_b6_wide has its factors, efficientnet_b6_wide_390m the width that makes its number of weights.

One network, scaled in width (channels, rounded to multiples of 8) and depth (repeats, rounded up). Swish, squeeze and
excitation at a quarter of the block's input, batch norm of decay 0.99 and epsilon 1e-3. The weights and the numbers are
those of keras.applications' EfficientNets but for the normalisation of the input, which is the data set's here, and
stochastic depth, which is that of wide_resnet.py: block l of L with chance stochastic_depth * l / L.

The Lite networks (released by Google for TensorFlow in 2020) have no squeeze and excitation, ReLU6 for swish, a stem of
32 and a head of 1,280 channels whatever the width, and the first and the last stage's repeats whatever the depth.
"""

import functools
import math

import keras

from mpl_tf.models import layers as plain

# Kernel, channels, stride, expansion and repeats of each stage of B0.
BLOCKS = (
    (3, 16, 1, 1, 1),
    (3, 24, 2, 6, 2),
    (5, 40, 2, 6, 2),
    (3, 80, 2, 6, 3),
    (5, 112, 1, 6, 3),
    (5, 192, 2, 6, 4),
    (3, 320, 1, 6, 1),
)
STEM, HEAD, SQUEEZE, DIVISOR = 32, 1280, 0.25, 8
NORM_AFTER = {"_expand_conv": "_bn0", "_depthwise_conv": "_bn1", "_project_conv": "_bn2"}  # As PyTorch names them.


def efficientnet(
    name, width, depth, shape, num_classes, dropout=0.0, stochastic_depth=0.0, layers=plain, blocks=BLOCKS, lite=False
):
    """An EfficientNet.

    Args:
        name: of the network.
        width, depth: factors of the channels and of the repeats.
        shape: (H, W, 3), as large as its row of the catalogue says.
        num_classes: number of logits.
        dropout: rate before the classifier, in [0, 1).
        stochastic_depth: chance of skipping a residual branch in the last block, in [0, 1).
        layers: namespace of the layers, with the names of mpl_tf.models.layers.
        blocks: kernel, channels, stride, expansion and repeats of each stage, before scaling.
        lite: whether it is one of the Lite networks.
    Returns:
        keras.Model, float32 [B, H, W, 3] -> logits float32 [B, num_classes].
    """
    activate = functools.partial(_activated, layers, "relu6" if lite else "swish")
    stem, head = (STEM, HEAD) if lite else (channels(STEM, width), channels(HEAD, width))
    inputs = layers.Input(shape)
    x = activate(_conv(layers, stem, 3, 2)(inputs))
    repeats = [math.ceil(depth * stage[-1]) for stage in blocks]
    if lite:
        repeats[0], repeats[-1] = blocks[0][-1], blocks[-1][-1]
    done = 0
    for (size, out, stride, expand, _), count in zip(blocks, repeats, strict=True):
        for index in range(count):
            done += 1
            skip = stochastic_depth * done / sum(repeats)
            shape = channels(out, width), size, 1 if index else stride, expand
            x = _block(layers, activate, x, *shape, skip, excited=not lite)
    x = activate(_conv(layers, head, 1, 1)(x))
    x = layers.Dropout(dropout)(layers.GlobalAveragePooling2D()(x))  # [B, head]
    uniform = keras.initializers.VarianceScaling(1 / 3, "fan_out", "uniform")
    logits = layers.Dense(num_classes, kernel_initializer=uniform, dtype="float32")(x)
    return keras.Model(inputs, logits, name=name)


# Width and depth of each size.
efficientnet_b0 = functools.partial(efficientnet, "efficientnet_b0", 1.0, 1.0)
efficientnet_b1 = functools.partial(efficientnet, "efficientnet_b1", 1.0, 1.1)
efficientnet_b2 = functools.partial(efficientnet, "efficientnet_b2", 1.1, 1.2)
efficientnet_b3 = functools.partial(efficientnet, "efficientnet_b3", 1.2, 1.4)
efficientnet_b4 = functools.partial(efficientnet, "efficientnet_b4", 1.4, 1.8)
efficientnet_b5 = functools.partial(efficientnet, "efficientnet_b5", 1.6, 2.2)
efficientnet_b6 = functools.partial(efficientnet, "efficientnet_b6", 1.8, 2.6)
efficientnet_b7 = functools.partial(efficientnet, "efficientnet_b7", 2.0, 3.1)
efficientnet_b8 = functools.partial(efficientnet, "efficientnet_b8", 2.2, 3.6)
efficientnet_l2 = functools.partial(efficientnet, "efficientnet_l2", 4.3, 5.3)
efficientnet_b6_wide = functools.partial(efficientnet, "efficientnet_b6_wide", 5.0, 2.6)
efficientnet_b6_wide_390m = functools.partial(efficientnet, "efficientnet_b6_wide_390m", 5.55, 2.6)
efficientnet_lite0 = functools.partial(efficientnet, "efficientnet_lite0", 1.0, 1.0, lite=True)
efficientnet_lite1 = functools.partial(efficientnet, "efficientnet_lite1", 1.0, 1.1, lite=True)
efficientnet_lite2 = functools.partial(efficientnet, "efficientnet_lite2", 1.1, 1.2, lite=True)
efficientnet_lite3 = functools.partial(efficientnet, "efficientnet_lite3", 1.2, 1.4, lite=True)
efficientnet_lite4 = functools.partial(efficientnet, "efficientnet_lite4", 1.4, 1.8, lite=True)


def channels(count, width):
    """`count` channels scaled by `width`: the nearest multiple of 8, never more than a tenth below."""
    scaled = count * width
    rounded = max(DIVISOR, int(scaled + DIVISOR / 2) // DIVISOR * DIVISOR)
    return rounded + DIVISOR if rounded < 0.9 * scaled else rounded


def _block(layers, activate, x, out, size, stride, expand, skip, excited):
    """Inverted bottleneck: expand, depthwise, squeeze and excitation unless it is Lite, project."""
    into, y = x.shape[-1], x
    if expand != 1:
        y = activate(_conv(layers, into * expand, 1, 1)(y))
    depthwise = layers.DepthwiseConv2D(
        size, stride, padding="same", use_bias=False, depthwise_initializer=_initializer()
    )
    y = activate(depthwise(y))
    if excited:
        gate = layers.GlobalAveragePooling2D(keepdims=True)(y)  # [B, 1, 1, into * expand]
        gate = layers.Activation("swish")(_conv(layers, max(1, int(into * SQUEEZE)), 1, 1, use_bias=True)(gate))
        gate = layers.Activation("sigmoid")(_conv(layers, into * expand, 1, 1, use_bias=True)(gate))
        y = layers.Multiply()([y, gate])
    y = layers.BatchNorm()(_conv(layers, out, 1, 1)(y))
    if stride != 1 or into != out:
        return y
    if skip:
        y = layers.StochasticDepth(skip)(y)
    return layers.Add()([y, x])


def _activated(layers, activation, x):
    return layers.Activation(activation)(layers.BatchNorm()(x))


def torch_names(network):
    """Names of the layers that have weights, in the network's order, as EfficientNets of PyTorch call them.

    Args:
        network: keras.Model as `efficientnet` makes it.
    Returns:
        list of str: "_conv_stem", "_bn0", "_blocks.0._depthwise_conv", ..., "_fc".
    """
    weighted = [layer for layer in network.layers if layer.weights]
    names, part, block = ["_conv_stem", "_bn0"], "", 0
    for layer in weighted[2:-3]:
        if isinstance(layer, keras.layers.BatchNormalization):
            part = NORM_AFTER[part]
        elif isinstance(layer, keras.layers.DepthwiseConv2D):
            part = "_depthwise_conv"
        elif layer.use_bias:
            part = "_se_expand" if part == "_se_reduce" else "_se_reduce"
        else:
            part = "_expand_conv" if part in ("", "_bn2") else "_project_conv"
        names.append(f"_blocks.{block}.{part}")
        block += part == "_bn2"  # A block's last.
    return [*names, "_conv_head", "_bn1", "_fc"]


def _conv(layers, width, size, stride, use_bias=False):
    return layers.Conv2D(width, size, stride, padding="same", use_bias=use_bias, kernel_initializer=_initializer())


def _initializer():
    return keras.initializers.VarianceScaling(2.0, "fan_out", "truncated_normal")
