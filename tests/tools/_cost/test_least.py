"""The least of a network by hand: triples of an input value, a weight and an output value, none in the padding."""

import keras
import pytest

from mpl_tf import models
from mpl_tf.base.errors import UsageError
from mpl_tf.models.layers import BatchNorm
from tools._cost import least
from tools._cost.passes import DERIVATIVE, FORWARD, GRADIENT, Pass


def network():
    """4 x 4 x 3 -> convolution of 8 -> depthwise of stride 2 -> mean -> 5."""
    x = inputs = keras.Input((4, 4, 3))
    x = keras.layers.Conv2D(8, 3, padding="same")(x)
    x = keras.layers.Activation("relu")(BatchNorm()(x))
    x = keras.layers.DepthwiseConv2D(3, 2, padding="same")(x)
    return keras.Model(inputs, keras.layers.Dense(5)(keras.layers.GlobalAveragePooling2D()(x)))


CONV, DEPTHWISE, DENSE = 2 * 10 * 10 * 3 * 8, 2 * 5 * 5 * 8, 2 * 8 * 5


def test_places_in_the_padding_do_not_count():
    assert least.pairs(4, 4, 3, 1, 1, "same") == 3 * 4 - 2  # One is missing at either end.
    assert least.pairs(4, 2, 3, 2, 1, "same") == 3 + 2  # TensorFlow pads an even side at its end alone.
    assert least.pairs(4, 2, 3, 1, 1, "valid") == 2 * 3
    assert least.pairs(5, 5, 3, 1, 2, "same") == 5 + 3 + 3  # The middle always, those two places away thrice each.
    assert least.pairs(2, 2, 5, 1, 1, "same") == 4


def test_the_layers_of_a_network():
    found = least.layers(network())
    assert [layer.flops for layer in found] == [CONV, DEPTHWISE, DENSE]
    assert [layer.first for layer in found] == [True, False, False]
    assert [layer.moved for layer in found] == [16 * 3 + 16 * 8, 16 * 8 + 4 * 8, 8 + 5]
    assert [layer.weights for layer in found] == [9 * 3 * 8, 9 * 8, 8 * 5]
    assert [layer.size for layer in found] == [4, 4, 4]


@pytest.mark.parametrize(("kind", "first", "other"), [(FORWARD, 1, 1), (GRADIENT, 2, 3), (DERIVATIVE, 1, 2)], ids=str)
def test_the_least_of_a_pass(kind, first, other):
    flops, moved = least.of_step([Pass("student", kind, 7)], {"student": network()})
    assert flops == 7 * (first * CONV + other * (DEPTHWISE + DENSE))
    conv, depthwise, dense = 7 * 176 + 216, 7 * 160 + 72, 7 * 13 + 40
    assert moved == 4 * (first * conv + other * (depthwise + dense))


def test_passes_add_up_over_networks():
    networks = {"teacher": network(), "student": network()}
    one = [Pass("teacher", GRADIENT, 2)], [Pass("student", FORWARD, 3)]
    apart = [least.of_step(passes, networks) for passes in one]
    assert least.of_step([*one[0], *one[1]], networks) == tuple(map(sum, zip(*apart, strict=True)))


def test_grouped_and_bfloat16_layers():
    conv = keras.layers.Conv2D(4, 1, groups=2, use_bias=False, dtype="mixed_bfloat16")
    (layer,) = least.layers(keras.Sequential([keras.Input((3, 3, 8)), conv]))
    assert layer.flops == 2 * 9 * (8 // 2) * 4
    assert layer.size == 2


def test_the_products_of_wide_resnet():
    network = models.build("wide_resnet_28_2", (32, 32, 3), 10)
    assert len(least.layers(network)) == 27 + 1  # The stem, 24 in blocks, two projections; the classifier.
    assert sum(layer.first for layer in least.layers(network)) == 1


def test_layers_of_other_kinds_are_refused():
    with pytest.raises(UsageError, match="^--cost: expected networks of convolutions and dense layers, .* Embedding$"):
        least.layers(keras.Sequential([keras.Input((3,)), keras.layers.Embedding(10, 4)]))
