"""A network run as a pure function of its weights: forward, backward and one step of its optimizer."""

from collections.abc import Callable
from typing import NamedTuple

import keras
import tensorflow as tf

from mpl_tf.base.errors import UsageError
from mpl_tf.devices import distribute
from mpl_tf.step import any_optimizer, checks, parts, purity
from mpl_tf.step.blocks import Blocks, pushed
from mpl_tf.step.optimizer import SGD, decay_mask, rate_factors, regularised


class Update(NamedTuple):
    """One step of a Learner, nothing assigned yet.

    Attributes:
        weights: the new trainable weights, list of tensors.
        assignments: [(variable, new value)] of the network and its optimizer.
        gradient_norm: global norm of the gradient with weight decay, before clipping; float32 scalar.
        first_step_coefficient: minus the derivative of a new weight of the classifier by this step's gradient (eta_S),
            float32 scalar; times the factor of clipping, as if that stayed when the gradient changes. None of another
            optimizer than SGD.
        pulled_back: function of a direction v of weights, lists of tensors: u such that the new weights move along v
            by -eta_S <u, dg> when the gradient g changes by dg; v itself unless weights have rates of their own or
            clipping acts.
    """

    weights: list
    assignments: list
    gradient_norm: tf.Tensor
    first_step_coefficient: tf.Tensor
    pulled_back: Callable


class Learner:
    """A network with its optimizer, used as a function of its weights.

    Args:
        network: built keras.Model, images [B, ...] -> logits [B, C].
        optimizer: step.optimizer.SGD, or another of keras.optimizers that any_optimizer.chosen takes.
        weight_decay: L2 coefficient on all but batch-norm weights.
        clip_norm: bound on the gradient's global norm; 0 for none.
        accumulate: parts that each batch is cut into, >= 1; see `forward`.
        backbone_rate: factor of the learning rate of all weights below the classifier, >= 0.
        remat: "none", or "block": what passes between its blocks alone waits for the backward pass; see blocks.py.

    Attributes:
        loss_scale: variable [2], the scale and the steps since it changed, where the network computes in float16; else
            None. The method sets it.

    Raises:
        UsageError: the optimizer cannot be used as a pure function, or what step/checks.py and step/purity.py refuse.
    """

    def __init__(self, network, optimizer, weight_decay, clip_norm, accumulate, backbone_rate=1.0, remat="none"):
        if not isinstance(optimizer, keras.optimizers.Optimizer):
            raise UsageError(f"optimizer: expected one of keras.optimizers, got {type(optimizer).__name__}")
        checks.logits(network)
        purity.check(network)
        any_optimizer.check_own(optimizer, network)
        optimizer.build(network.trainable_variables)
        self.network, self.optimizer = network, optimizer
        self.weight_decay, self.clip_norm, self.accumulate = weight_decay, clip_norm, accumulate
        if remat not in ("none", "block"):
            raise UsageError(f"remat: expected none or block, got {remat}")
        self.remat, self.blocks = remat, Blocks(network) if remat == "block" else None
        self.loss_scale = None
        self.decay_mask = decay_mask(network)
        self.factors = rate_factors(network, backbone_rate)

    def weights(self):
        """The trainable weights' values, read now."""
        return [tf.convert_to_tensor(variable) for variable in self.network.trainable_variables]

    def state(self):
        """The non-trainable state's values (batch-norm statistics, random generators), read now."""
        return [tf.convert_to_tensor(variable) for variable in self.network.non_trainable_variables]

    def forward(self, weights, xs, state=None):
        """Training-mode pass at `weights` of several batches together, so that they share batch-norm statistics.

        With accumulate = n > 1 each batch is cut into n parts, and one part of each makes a pass of its own, one after
        the other; their activations are computed again in the backward pass instead of kept. Statistics are then
        those of a part, and the state's new values the mean over the parts; the parts share their dropout masks.

        Args:
            weights: list of tensors.
            xs: list of batches [B_i, ...], each B_i a multiple of accumulate.
            state: of the network before the pass; its present one if None.
        Returns:
            (logits, new state): list of float32 [B_i, C]; the moving statistics move only if the caller hands the new
            state to `update`.
        """
        state = self.state() if state is None else state
        return self._pass(weights, state, xs) if self.accumulate == 1 else self._pass_in_parts(weights, state, xs)

    def _pass(self, weights, state, xs):
        """One pass of all batches joined: ([logits of each], new state)."""
        x = distribute.join(xs)
        if self.blocks:
            z, state = self.blocks.forward(weights, state, x)
        else:
            z, state = self.network.stateless_call(weights, state, x, training=True)
        return distribute.split(z, xs), state

    def _pass_in_parts(self, weights, state, xs):
        """As `_pass`, one part of each batch after the other; see `forward`."""

        def function(part, *weights):
            zs, new = self._pass(list(weights), state, part)
            return [*zs, *map(tf.stop_gradient, new)]

        states = [tf.TensorSpec(value.shape, value.dtype) for value in state]
        found = self._each(function, weights, xs, ([tf.TensorSpec(None, tf.float32)] * len(xs), states))
        # Back to whole batches; of the random generators' states, whole numbers, the last part's counts.
        logits = [distribute.uncut(zs) for zs in found[: len(xs)]]  # [B_i, C]
        return logits, [
            tf.add_n(new) / self.accumulate if new[-1].dtype.is_floating else new[-1] for new in found[len(xs) :]
        ]

    def backward(self, tape, logits, weights, at_logits):
        """Gradient at the weights of what has these gradients at the logits, averaged over replicas.

        Args:
            tape: GradientTape that recorded `forward` at `weights`.
            logits: list of float32 [B_i, C].
            weights: list of tensors.
            at_logits: gradients of the replica's mean loss at the logits, list of float32 [B_i, C].
        Returns:
            list of float32 tensors. With a loss scale (float16), the pass is scaled by it and its result divided.
        """
        if self.loss_scale is None:
            return distribute.mean(_dense(tape.gradient(logits, weights, output_gradients=at_logits), weights))
        # Scaled where it enters the network, so that small gradients survive float16; the losses stay as they are.
        scale = tf.convert_to_tensor(self.loss_scale)[0]
        gradients = tape.gradient(logits, weights, output_gradients=[scale * gradient for gradient in at_logits])
        return distribute.mean([gradient / scale for gradient in _dense(gradients, weights)])

    def log_probability_derivative(self, weights, direction, x):
        """d/de log softmax f(x; weights + e direction) at e = 0, by reverse mode twice.

        The pullback u -> u^T J is linear in u, and the derivative of <u^T J, direction> by u is J direction. This takes
        the time of tf.autodiff.ForwardAccumulator (WRN-28-2), which is wrong where a pass sums over replicas, as
        synchronized batch norm does.

        Args:
            weights, direction: lists of tensors of the same shapes.
            x: [B, ...], B a multiple of accumulate.
        Returns:
            float32 [B, C].
        """
        # The state that the passes return is dropped: what is measured must not move the statistics.
        state = self.state()
        scale = 1.0 if self.loss_scale is None else tf.convert_to_tensor(self.loss_scale)[0]

        def derivative(xs, *weights):
            if self.blocks:
                z, moved = self.blocks.derivative(weights, direction, state, xs[0], scale)
                return [moved - tf.reduce_sum(tf.nn.softmax(z) * moved, axis=-1, keepdims=True)]

            def values(*weights):
                (z,), _ = self._pass(list(weights), state, xs)
                return [tf.nn.log_softmax(z)]

            return [pushed(values, weights, direction, scale)[1]]

        if self.accumulate == 1:
            return derivative([x], *weights)[0]
        (found,) = self._each(derivative, weights, [x], ([tf.TensorSpec(None, tf.float32)], []))  # Each [B / n, C].
        return distribute.uncut(found)

    def _each(self, function, weights, xs, signature):
        """parts.each of this network."""
        return parts.each(function, weights, xs, self.accumulate, signature, self.network)

    def rated(self, direction):
        """A direction of weights, list of tensors, times the factors of their learning rates."""
        if self.factors is None:
            return direction
        return [factor * v for factor, v in zip(self.factors, direction, strict=True)]

    def update(self, weights, gradients, state):
        """One optimizer step, nothing assigned.

        Args:
            weights: values to step from.
            gradients: of the global loss, averaged over replicas.
            state: new non-trainable state from `forward`.
        Returns:
            Update.
        """
        regular = regularised(gradients, weights, self.decay_mask, self.weight_decay, self.clip_norm)
        new, assignments = any_optimizer.new_values(self.optimizer, weights, regular.gradients, self.factors)
        assignments += zip(self.network.trainable_variables, new, strict=True)
        assignments += zip(self.network.non_trainable_variables, state, strict=True)
        # Clipping takes part in the step, so it takes part in the step's derivative.
        coefficient = self.optimizer.first_step_coefficient() if isinstance(self.optimizer, SGD) else None
        if coefficient is not None and regular.clip_factor is not None:
            coefficient *= regular.clip_factor
        # Each weight moves by its own rate, and the gradient changes before it is clipped.
        return Update(new, assignments, regular.norm, coefficient, lambda v: regular.pulled_back(self.rated(v)))


def _dense(gradients, weights):
    """Gradients as tensors: of weights that are gathered from they are slices, of those that a pass leaves out None."""
    return [
        tf.zeros_like(weight) if gradient is None else tf.convert_to_tensor(gradient)
        for gradient, weight in zip(gradients, weights, strict=True)
    ]
