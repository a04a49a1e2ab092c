"""A network run piece by piece (models/pieces.py): each piece's inner values are made again in the backward pass."""

import tensorflow as tf

from mpl_tf.devices import distribute
from mpl_tf.devices.recompute import recomputed
from mpl_tf.models.pieces import pieces


class Blocks:
    """A network's training pass that keeps only what passes between its pieces.

    A piece gives its moving statistics and its random generators' states back as values, so that they move once
    whatever is computed again, and draws the same masks again.

    Args:
        network: as models.pieces.pieces takes it.
    Raises:
        UsageError: see there.
    """

    def __init__(self, network):
        places = [
            {id(variable): number for number, variable in enumerate(variables)}
            for variables in (network.trainable_variables, network.non_trainable_variables)
        ]
        self.pieces = [
            (piece, *([of[id(v)] for v in vs] for of, vs in zip(places, _variables(piece), strict=True)))
            for piece in pieces(network)
        ]

    def forward(self, weights, state, x):
        """As network.stateless_call(weights, state, x, training=True): (z, new state)."""
        images = x
        for piece, own, remembered in self.pieces:
            function = _function(piece, [state[number] for number in remembered], images)
            values = [*([] if x is images else [x]), *[weights[number] for number in own]]
            run = recomputed(function, distribute.current().dot) if values else function
            x, *new = run(*values)
            state, images = _replaced(state, remembered, new), None
        return x, state

    def derivative(self, weights, direction, state, x, scale):
        """The logits on x and their derivative along a direction of the weights, one piece's values at a time.

        Along the pass, not against it: the derivative of a piece's result follows from that of its argument, so that
        nothing waits for the pieces after it. Of a piece it is made as that of Learner.log_probability_derivative.

        Args:
            weights, direction: lists of tensors of the same shapes.
            state: of the network, which stays as it is.
            x: [B, ...].
            scale: of the pullbacks, for float16.
        Returns:
            (z, derivative), float32 [B, C] each.
        """
        images, moved = x, None
        for piece, own, remembered in self.pieces:
            function = _function(piece, [state[number] for number in remembered], images)
            before = [] if x is images else [(x, moved)]
            pairs = [*before, *[(weights[number], direction[number]) for number in own]]
            (x, *new), moved = pushed(function, *([pair[side] for pair in pairs] for side in (0, 1)), scale)
            state, images = _replaced(state, remembered, new), None
        return x, moved


def pushed(function, values, along, scale):
    """(results, derivative of the first one along a direction of the values), by reverse mode twice.

    Args:
        function: of tensors -> list of tensors of which the first has a derivative.
        values, along: lists of tensors of the same shapes.
        scale: of the pullbacks, for float16; float32 scalar or 1.0.
    """
    with tf.GradientTape() as outer:
        with tf.GradientTape() as inner:
            inner.watch(values)
            results = function(*values)
        # The point u at which the linear pullback is differentiated does not matter.
        u = tf.zeros_like(results[0])
        if not values:
            return results, u
        outer.watch(u)
        pullback = inner.gradient(
            results[0],
            values,
            output_gradients=tf.cast(scale, u.dtype) * u,
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )
        # Gradients of weights that are gathered from are slices.
        floats = [[tf.cast(tf.convert_to_tensor(one), tf.float32) for one in side] for side in (pullback, along)]
        product = distribute.dot(*floats)
    return results, outer.gradient(product, u) / tf.cast(scale, u.dtype)


def _variables(network):
    return network.trainable_variables, network.non_trainable_variables


def _function(piece, held, images=None):
    """The piece as a function of its argument and its weights, the images being no argument: [result, *new state].

    A gradient by the images would go nowhere.
    """

    def run(*values):
        x, *weights = values if images is None else (images, *values)
        y, new = piece.stateless_call(weights, held, x, training=True)
        return [y, *map(tf.stop_gradient, new)]

    return run


def _replaced(values, places, new):
    """A list with new values at these places."""
    found = dict(zip(places, new, strict=True))
    return [found.get(number, value) for number, value in enumerate(values)]
