"""Where a network is cut, by hand, and that its pieces in a row are the network."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mpl_tf import models
from mpl_tf.base.errors import UsageError
from mpl_tf.models.pieces import chosen, elements, passages, pieces


def forked():
    """8 -> 4 -> (a fork of 6 and 4, added) -> 2."""
    x = keras.Input((8,))
    y = keras.layers.Dense(4, name="before")(x)
    inner = keras.layers.Dense(6, name="inside")(y)
    added = keras.layers.Add(name="after")([y, keras.layers.Dense(4, name="narrowed")(inner)])
    return keras.Model(x, keras.layers.Dense(2, name="last")(added))


def test_passages_are_where_one_tensor_waits_alone():
    tensors, sizes = passages(forked())
    assert [tensor.shape[1] for tensor in tensors] == [4, 4]
    assert sizes == [4, 6 + 4 + 4, 2]


@pytest.mark.parametrize(
    ("sizes", "kept"),
    [
        ([3, 3, 3], []),  # 9 alone; one kept 2 * 4 + 6, both 2 * 8 + 3.
        ([100, 100, 100], [0, 1]),  # 2 * 8 + 100; one kept 2 * 4 + 200.
        ([100, 5, 100], [1]),  # 2 * 4 + 105; both 2 * 8 + 100.
    ],
)
def test_those_are_kept_that_take_least(sizes, kept):
    tensors = [keras.Input((4,)), keras.Input((4,))]
    assert [id(tensor) for tensor in chosen(tensors, sizes)] == [id(tensors[number]) for number in kept]


def test_an_efficientnet_is_cut_at_its_blocks_inputs():
    """Narrow tensors, as the rest of a block is six times as wide; the widest images are never kept at their widest."""
    with tf.Graph().as_default():
        network = models.build("efficientnet_b0", (224, 224, 3), 1000)
        kept = chosen(*passages(network))
        outputs = {id(layer.output): type(layer).__name__ for layer in network.layers}
    assert {outputs[id(tensor)] for tensor in kept} <= {"Add", "BatchNorm", "Activation"}
    assert sum(map(elements, kept)) < 500_000  # Of 14.5 M in all.
    assert (112, 112, 96) not in {tensor.shape[1:] for tensor in kept}


def test_the_pieces_in_a_row_are_the_network():
    network = models.build("wide_resnet_28_2", (32, 32, 3), 10)
    x = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype("float32")
    row = pieces(network)
    assert len(row) > 3
    assert [id(v) for piece in row for v in piece.trainable_variables] == [id(v) for v in network.trainable_variables]
    y = x
    for piece in row:
        y = piece(y)
    np.testing.assert_array_equal(y, network(x))


def test_a_network_of_another_kind_is_refused():
    class Own(keras.Model):
        """No graph of layers."""

    with pytest.raises(UsageError, match="--remat: block takes networks of keras.layers apart"):
        pieces(Own(name="own"))
