"""Networks whose layers draw or remember what the step cannot hand on are refused by the layer's name."""

import keras
import pytest
import tensorflow as tf

from mpl_tf.base.errors import UsageError
from mpl_tf.step import purity
from mpl_tf.step.network import Learner
from tests import tiny

DRAWN = "draws random numbers by no seed of the network's state"


class Noise(keras.layers.Layer):
    """Adds noise by a function of (shape, the layer)."""

    def __init__(self, draw, **kwargs):
        super().__init__(**kwargs)
        self.draw, self.generator = draw, keras.random.SeedGenerator(1)

    def call(self, x, training=False):
        return x + self.draw(tf.shape(x), self) if training else x


class Counting(keras.layers.Layer):
    """Counts its calls in a variable that Keras does not know of."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.hidden = [tf.Variable(0.0, trainable=False)]

    def call(self, x):
        self.hidden[0].assign_add(1.0)
        return x + self.hidden[0]


def network(layer):
    return keras.Sequential([keras.Input((5,)), keras.layers.Dense(4), layer, keras.layers.Dense(3)], name="net")


@pytest.mark.parametrize(
    ("draw", "told"),
    [
        (lambda shape, _: tf.random.normal(shape), DRAWN),
        (lambda shape, _: tf.random.stateless_uniform(shape, [1, 2]), DRAWN),
        (lambda shape, _: keras.random.uniform(shape), "remembers what is not among the network's variables"),
        (lambda shape, layer: keras.random.uniform(shape, seed=layer.generator), None),
        (lambda shape, _: tf.zeros(shape), None),
    ],
)
def test_noise_must_come_from_a_seed_of_the_state(draw, told):
    found = network(Noise(draw, name="noise"))
    if not told:
        purity.check(found)
        return
    with pytest.raises(UsageError, match=f"^network: net has a layer that {told}, noise \\(Noise\\); take"):
        purity.check(found)
    with pytest.raises(UsageError, match="noise"):  # From a notebook too.
        Learner(found, tiny.sgd(0.1, 0.9), 0.0, 0.0, 1)


def test_a_hidden_variable_is_refused():
    with pytest.raises(UsageError, match=r"remembers what is not among .* variables, counting \(Counting\)"):
        purity.check(network(Counting(name="counting")))


def test_layers_of_keras_need_no_look_and_functions_of_the_user_do(monkeypatch):
    with pytest.raises(UsageError, match=DRAWN):
        purity.check(network(keras.layers.Lambda(lambda x: x * tf.random.uniform([]))))
    monkeypatch.setattr(purity, "_traced", None)
    purity.check(network(keras.layers.Dropout(0.5)))


def test_convnexts_own_stochastic_depth_is_refused():
    """keras.applications gives it no seed; its networks come without it."""
    from keras.src.applications.convnext import StochasticDepth

    with pytest.raises(UsageError, match=r"skip \(StochasticDepth\)"):
        purity.check(network(StochasticDepth(0.5, name="skip")))
