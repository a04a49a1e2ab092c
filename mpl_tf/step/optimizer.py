"""Learning rates, SGD as one pure function, weight decay, clipping and the average of weights."""

from typing import NamedTuple

import keras
import tensorflow as tf

from mpl_tf.base.errors import UsageError
from mpl_tf.devices import distribute


@keras.saving.register_keras_serializable("mpl_tf")
class WaitThenWarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """Rate 0 for `wait` steps, `warmup` steps of a linear rise, then another schedule from its own step 0.

    The k-th step of the rise, from 0, has (k + 1) / warmup of the peak, as released: none is at rate 0. Keras' own
    warm-up has k / warmup.
    """

    def __init__(self, wait, warmup, schedule):
        self.wait, self.warmup, self.schedule = wait, warmup, schedule

    def __call__(self, step):
        """The rate at an int or float scalar step, float32."""
        since = tf.cast(step, tf.float32) - self.wait
        risen = tf.clip_by_value((since + 1.0) / max(self.warmup, 1), 0.0, 1.0)
        return risen * self.schedule(tf.maximum(since - self.warmup, 0.0))

    def get_config(self):
        return {"wait": self.wait, "warmup": self.warmup, "schedule": self.schedule}


@keras.saving.register_keras_serializable("mpl_tf")
class Then(keras.optimizers.schedules.LearningRateSchedule):
    """One schedule up to a step, then another one from its own step 0."""

    def __init__(self, before, start, after):
        self.before, self.start, self.after = before, start, after

    def __call__(self, step):
        """The rate at an int or float scalar step, float32."""
        step = tf.cast(step, tf.float32)
        return tf.where(step < self.start, self.before(step), self.after(tf.maximum(step - self.start, 0.0)))

    def get_config(self):
        return {"before": self.before, "start": self.start, "after": self.after}


def learning_rate_schedule(peak, kind, steps, wait=0, warmup=0):
    """A run's learning rate: wait at 0, linear warm-up to the peak, then cosine decay to 0 or constant.

    Args:
        peak: rate after the warm-up, >= 0.
        kind: "cosine" or "constant".
        steps: steps of the whole run; of one that was made longer, pairs of the first and the last step of each of its
            stretches: from each on, and not before the warm-up's end, a cosine falls from the peak to 0 at its end.
        wait, warmup: steps at 0, steps of the warm-up.
    Returns:
        A Keras LearningRateSchedule.
    """
    alpha = 0.0 if kind == "cosine" else 1.0  # At alpha 1 the cosine is flat.
    schedule = None
    for first, last in ((0, steps),) if isinstance(steps, int) else steps:
        start = max(first - wait - warmup, 0)  # Counted from the warm-up's end.
        cosine = keras.optimizers.schedules.CosineDecay(peak, max(last - wait - warmup - start, 1), alpha)
        schedule = Then(schedule, start, cosine) if schedule and kind == "cosine" else schedule or cosine
    return WaitThenWarmUp(wait, warmup, schedule)


@keras.saving.register_keras_serializable("mpl_tf")
class SGD(keras.optimizers.SGD):
    """Keras' SGD, its rule a pure function of values, so that a step can use its result before it is assigned.

    With velocity v: v' = momentum v - rate g; value' = value + v', or with Nesterov value + momentum v' - rate g.

    Deviation from the released program: TF1's velocity has no rate in it (v' = momentum v + g, value' = value - rate
    v'), so that it gathers gradients during the waiting steps, and what it holds is rescaled when the rate changes.
    This is Keras' rule, for which there are optimizers and checkpoints. At a constant rate the two are the same.
    """

    def rule(self, value, velocity, gradient, rate):
        """New (value, velocity) of one variable; velocity is None where momentum is 0."""
        if velocity is None:
            return value - rate * gradient, None
        # Nesterov looks ahead: the value moves by the velocity that the same gradient would give next.
        velocity = self.momentum * velocity - rate * gradient
        return value + (self.momentum * velocity - rate * gradient if self.nesterov else velocity), velocity

    def update_step(self, gradient, variable, learning_rate):
        """Keras' own entry, for Model.fit of an ordinary model."""
        # The same rule as in `new_values`, its result assigned at once.
        slot = self.momentums[self._get_variable_index(variable)] if self.momentum else None
        velocity = None if slot is None else tf.convert_to_tensor(slot)
        value, velocity = self.rule(tf.convert_to_tensor(variable), velocity, gradient, learning_rate)
        self.assign(variable, value)
        if slot is not None:
            self.assign(slot, velocity)

    def new_values(self, weights, gradients, factors=None):
        """One step without assigning anything.

        Args:
            weights: tensors, the values of the variables the optimizer was built with.
            gradients: tensors of the same shapes.
            factors: of each weight's rate, list of floats (`rate_factors`); None: all are 1.
        Returns:
            (new weights, assignments): tensors, and the list of (variable, new value) of the optimizer itself.
        """
        # One rate for the whole step; the schedule reads the iterations, which count up with the assignments.
        rate = tf.convert_to_tensor(self.learning_rate)
        slots = list(self.momentums) or [None] * len(weights)
        factors = factors or [1.0] * len(weights)
        new, assignments = [], [(self.iterations, tf.convert_to_tensor(self.iterations) + 1)]
        for weight, slot, gradient, factor in zip(weights, slots, gradients, factors, strict=True):
            velocity = None if slot is None else tf.convert_to_tensor(slot)
            value, velocity = self.rule(weight, velocity, gradient, rate if factor == 1 else factor * rate)
            new.append(value)
            if slot is not None:
                assignments.append((slot, velocity))
        return new, assignments

    def first_step_coefficient(self):
        """eta_S: minus the derivative of a new weight by this step's gradient; (1 + momentum) rate with Nesterov.

        Of a weight whose rate has a factor it is that much of eta_S.
        """
        return tf.convert_to_tensor(self.learning_rate) * (1 + self.momentum if self.nesterov else 1.0)


def default_sgd():
    """The SGD of compile() without an optimizer: the base rate and the momentum of flags/defaults.flags.

    The rate is constant: the program scales it by the batch, warms it up and lets it fall along a cosine; for that
    give SGD(learning_rate_schedule(...), momentum=0.9, nesterov=True).
    """
    return SGD(0.1, momentum=0.9, nesterov=True)


def decay_mask(network):
    """Which of the network's trainable weights are decayed: bool each; all but those of batch and layer norm."""
    # As released: scale and offset of batch norm are spared; foreign networks have layer norm in its place.
    spared = {
        id(weight)
        for layer in network._flatten_layers()
        if isinstance(layer, (keras.layers.BatchNormalization, keras.layers.LayerNormalization))
        for weight in layer.trainable_variables
    }
    return [id(weight) not in spared for weight in network.trainable_variables]


def rate_factors(network, backbone_rate):
    """Factors of the learning rates of a network's trainable weights: 1 for those of its classifier.

    Args:
        network: keras.Model.
        backbone_rate: that of all weights below the classifier, >= 0.
    Returns:
        list of floats; None where all are 1.
    Raises:
        UsageError: the network does not end in a layer of weights.
    """
    if backbone_rate == 1:
        return None
    classifier = {id(weight) for weight in network.layers[-1].trainable_variables}
    if not classifier or isinstance(network.layers[-1], keras.Model):
        raise UsageError(
            f"--backbone_rate: expected a network whose last layer is its classifier, {network.name} ends in "
            f"{network.layers[-1].name}; leave --backbone_rate out"
        )
    return [1.0 if id(weight) in classifier else float(backbone_rate) for weight in network.trainable_variables]


class Regularised(NamedTuple):
    """Gradients as the optimizer takes them.

    Attributes:
        gradients: with weight decay, and clipped: list of float32 tensors.
        norm: their global norm before clipping, float32 scalar.
        clip_factor: what clipping multiplied them by, float32 scalar in (0, 1]; None where nothing is clipped.
    """

    gradients: list
    norm: tf.Tensor
    clip_factor: tf.Tensor | None

    def pulled_back(self, direction):
        """How the gradients as taken change along a direction with those before clipping, over clip_factor.

        Of k = (c / |r|) r the derivative is dk = (c / |r|) (dr - r <r, dr> / |r|^2), so <v, dk> = (c / |r|) <u, dr>
        with u = v - r <r, v> / |r|^2: clipping that acts fixes the length, and what lies along r counts for nothing.

        Args:
            direction: v, list of tensors of the gradients' shapes.
        Returns:
            u, list of tensors: v itself where clipping does not act.
        """
        if self.clip_factor is None:
            return direction
        # The clipped gradients point as r does; their own lengths stand in for its.
        k = self.gradients
        share = tf.math.divide_no_nan(distribute.dot(k, direction), distribute.dot(k, k))
        share = tf.where(self.clip_factor < 1, share, 0.0)
        return [v - share * g for v, g in zip(direction, k, strict=True)]


def regularised(gradients, weights, mask, weight_decay, clip_norm):
    """Add the gradient of the L2 penalty, then bound the global norm, as the released code does.

    Args:
        gradients, weights: lists of tensors.
        mask: bool each, whether the weight is decayed.
        weight_decay: coefficient c of c / 2 |weight|^2.
        clip_norm: bound; 0 for none.
    Returns:
        Regularised.
    """
    # Coupled decay, a part of the gradient: it goes through momentum and clipping too.
    if weight_decay:
        gradients = [g + weight_decay * w if use else g for g, w, use in zip(gradients, weights, mask, strict=True)]
    norm = tf.sqrt(distribute.dot(gradients, gradients))
    if not clip_norm:
        return Regularised(gradients, norm, None)
    # tf.clip_by_global_norm keeps its factor to itself, which the feedback needs: the student's step shrinks by it.
    factor = tf.minimum(1.0, clip_norm / norm)
    return Regularised([g * factor for g in gradients], norm, factor)


def moving_average(old, new, decay, step):
    """Exponential moving average with the released warm-up: decay min(decay, (1 + t) / (10 + t)) at step t from 0.

    Args:
        old, new: lists of tensors; those that are not float (states of random generators) are taken from `new`.
        decay: in [0, 1).
        step: int scalar tensor.
    Keras' SwapEMAWeights has neither the warm-up nor the batch-norm statistics, which the released code averages too.
    """
    rate = 1.0 - warmed_up(decay, step)
    return [o + rate * (n - o) if n.dtype.is_floating else n for o, n in zip(old, new, strict=True)]


def warmed_up(decay, step):
    """A moving average's decay at step t from 0, min(decay, (1 + t) / (10 + t)), float32 scalar.

    Without it the average would hold what it started with for some 1 / (1 - decay) steps.
    """
    t = tf.cast(step, tf.float32)
    return tf.minimum(decay, (1.0 + t) / (10.0 + t))
