"""EfficientNet (Tan and Le 2019) B0 to B8, L2 (Noisy Student, Xie et al. 2020) and B6-Wide (Meta Pseudo Labels).

The MPL paper (section 4) gives B6-Wide the depth of B6 and width 5.0, and 390 M weights; those factors make 316.6 M.
efficientnet_b6_wide has its factors, efficientnet_b6_wide_390m the width that makes its number of weights.

One network, scaled in width (channels, rounded to multiples of 8) and depth (repeats, rounded up). Swish, squeeze and
excitation at a quarter of the block's input, batch norm of decay 0.99 and epsilon 1e-3. The weights and the numbers are
those of keras.applications' EfficientNets but for the normalisation of the input, which is the data set's here, and
stochastic depth, which is that of wide_resnet.py: block l of L with chance stochastic_depth * l / L.
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


def efficientnet(
    name, width, depth, shape, num_classes, dropout=0.0, stochastic_depth=0.0, layers=plain, blocks=BLOCKS
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
    Returns:
        keras.Model, float32 [B, H, W, 3] -> logits float32 [B, num_classes].
    """
    inputs = layers.Input(shape)
    x = _activated(layers, _conv(layers, channels(STEM, width), 3, 2)(inputs))
    repeats = [math.ceil(depth * stage[-1]) for stage in blocks]
    done = 0
    for (size, out, stride, expand, _), count in zip(blocks, repeats, strict=True):
        for index in range(count):
            done += 1
            skip = stochastic_depth * done / sum(repeats)
            x = _block(layers, x, channels(out, width), size, 1 if index else stride, expand, skip)
    x = _activated(layers, _conv(layers, channels(HEAD, width), 1, 1)(x))
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


def channels(count, width):
    """`count` channels scaled by `width`: the nearest multiple of 8, never more than a tenth below."""
    scaled = count * width
    rounded = max(DIVISOR, int(scaled + DIVISOR / 2) // DIVISOR * DIVISOR)
    return rounded + DIVISOR if rounded < 0.9 * scaled else rounded


def _block(layers, x, out, size, stride, expand, skip):
    """Inverted bottleneck with squeeze and excitation: expand, depthwise, excite, project."""
    into, y = x.shape[-1], x
    if expand != 1:
        y = _activated(layers, _conv(layers, into * expand, 1, 1)(y))
    depthwise = layers.DepthwiseConv2D(
        size, stride, padding="same", use_bias=False, depthwise_initializer=_initializer()
    )
    y = _activated(layers, depthwise(y))
    gate = layers.GlobalAveragePooling2D(keepdims=True)(y)  # [B, 1, 1, into * expand]
    gate = layers.Activation("swish")(_conv(layers, max(1, int(into * SQUEEZE)), 1, 1, use_bias=True)(gate))
    gate = layers.Activation("sigmoid")(_conv(layers, into * expand, 1, 1, use_bias=True)(gate))
    y = _conv(layers, out, 1, 1)(layers.Multiply()([y, gate]))
    y = layers.BatchNorm()(y)
    if stride != 1 or into != out:
        return y
    if skip:
        y = layers.StochasticDepth(skip)(y)
    return layers.Add()([y, x])


def _activated(layers, x):
    return layers.Activation("swish")(layers.BatchNorm()(x))


def _conv(layers, width, size, stride, use_bias=False):
    return layers.Conv2D(width, size, stride, padding="same", use_bias=use_bias, kernel_initializer=_initializer())


def _initializer():
    return keras.initializers.VarianceScaling(2.0, "fan_out", "truncated_normal")
