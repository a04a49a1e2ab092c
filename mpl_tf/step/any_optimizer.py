"""The optimizers that compile() takes: SGD, whose step is a pure function, and any of Keras', made one here."""

import contextlib

import keras
import tensorflow as tf

from mpl_tf.base.errors import UsageError
from mpl_tf.step.optimizer import SGD, default_sgd

# Settings of an optimizer that work on the variables beside its step, and what there is in their place.
BESIDE = {
    "use_ema": "give the method ema_decay",
    "gradient_accumulation_steps": "give compile(accumulate=...)",
    "loss_scale_factor": "leave it out, the method scales the gradients of float16 itself",
}
# Those that the pure SGD does not read.
UNREAD = dict.fromkeys(("clipnorm", "global_clipnorm", "clipvalue"), "give compile(clip_norm=...)")
UNREAD |= {"weight_decay": "give compile(weight_decay=...)"}


def chosen(given):
    """The optimizer that compile() was given, ready for a Learner.

    Args:
        given: None or "sgd": default_sgd(); another name of keras.optimizers: with its defaults; an optimizer. One of
            Keras' own SGD is taken as the SGD of this program, which has the same rule.
    Returns:
        SGD or another keras.optimizers.Optimizer.
    Raises:
        UsageError: none of these, or one with settings that a step cannot follow.
    """
    if given is None or (isinstance(given, str) and given.lower() == "sgd"):
        return default_sgd()
    if isinstance(given, str):
        try:
            given = keras.optimizers.get(given)
        except ValueError as error:
            raise UsageError(f"optimizer: expected 'sgd' or a name of keras.optimizers, got {given!r}") from error
    if not isinstance(given, keras.optimizers.Optimizer):
        raise UsageError(f"optimizer: expected one of keras.optimizers, or its name, got {type(given).__name__}")
    if type(given) is keras.optimizers.SGD:
        given = SGD.from_config(given.get_config())
    _check(given)
    return given


def _check(optimizer):
    kind = type(optimizer).__name__
    # Keras' other steps are one call of update_step a variable; Nadam's and the loss scaler's are not.
    if type(optimizer)._backend_update_step is not keras.optimizers.Optimizer._backend_update_step or isinstance(
        optimizer, keras.optimizers.LossScaleOptimizer
    ):
        raise UsageError(
            f"optimizer: expected one whose step is made variable by variable, {kind} has a step of its own; give "
            "optimizer='sgd' or 'adam'"
        )
    unread = UNREAD if isinstance(optimizer, SGD) else {}
    for name, instead in (BESIDE | unread).items():
        if getattr(optimizer, name, None):
            raise UsageError(f"optimizer: expected {kind} without {name}, got {getattr(optimizer, name)}; {instead}")


def check_pure(optimizer, feedback):
    """Refuse an optimizer for a student whose feedback is made by the formula of SGD's step.

    Raises:
        UsageError: another optimizer than SGD.
    """
    if not isinstance(optimizer, SGD):
        raise UsageError(
            f"optimizer: expected SGD for the student of feedback='{feedback}', which is the derivative of SGD's step, "
            f"got {type(optimizer).__name__}; give optimizer='sgd', or the method feedback='taylor'"
        )


def check_own(optimizer, network):
    """Refuse an optimizer that was built for another network.

    Raises:
        UsageError: it was.
    """
    known = [id(variable) for variable in getattr(optimizer, "_trainable_variables", ())] if optimizer.built else None
    if known not in (None, [id(variable) for variable in network.trainable_variables]):
        raise UsageError(
            f"optimizer: expected one of its own for {network.name}, this {type(optimizer).__name__} trains another "
            "network; make one for each"
        )


def new_values(optimizer, weights, gradients, factors=None):
    """One step without assigning anything; arguments and result as SGD.new_values.

    Of an optimizer with weight_decay of its own (AdamW) the weights are decayed first, as Keras does.
    """
    if isinstance(optimizer, SGD):
        return optimizer.new_values(weights, gradients, factors)
    variables, factors = optimizer._trainable_variables, factors or [1.0] * len(weights)
    before = list(zip(variables, weights, strict=True))
    gradients = optimizer._clip_gradients(gradients)
    # Inside the scope a variable's value is what the step has made of it so far.
    with keras.StatelessScope(state_mapping=before) as scope, _recorded(optimizer, scope):
        rate = tf.convert_to_tensor(optimizer.learning_rate)
        for variable, gradient, factor in zip(variables, gradients, factors, strict=True):
            own = rate if factor == 1 else factor * rate
            if optimizer.weight_decay and optimizer._use_weight_decay(variable):
                value = tf.convert_to_tensor(variable)
                scope.add_update((variable, value - value * optimizer.weight_decay * own))
            optimizer.update_step(gradient, variable, own)
        iterations = tf.convert_to_tensor(optimizer.iterations) + 1
        new = [tf.convert_to_tensor(variable) for variable in variables]
        changed = [(variable, scope.get_current_value(variable)) for variable in optimizer.variables]
    counted = [(optimizer.iterations, iterations)]
    others = [(v, value) for v, value in changed if value is not None and v is not optimizer.iterations]
    return new, counted + others


@contextlib.contextmanager
def _recorded(optimizer, scope):
    """Inside it the optimizer's assignments go into a keras.StatelessScope.

    TensorFlow's optimizers (3.15) assign to the variables of TensorFlow, and know a variable by these: in a stateless
    scope they have tensors in their hands.
    """

    def assign(variable, value):
        scope.add_update((variable, tf.cast(value, variable.dtype)))

    def moved(sign):
        return lambda variable, value: assign(
            variable, tf.convert_to_tensor(variable) + sign * tf.cast(value, variable.dtype)
        )

    places = {id(variable): place for place, variable in enumerate(optimizer._trainable_variables)}
    hooks = {"assign": assign, "assign_add": moved(1), "assign_sub": moved(-1), "_var_key": id}
    hooks["_get_variable_index"] = lambda variable: places[id(variable)]
    # Of the object alone, past Keras' own __setattr__, which would track them.
    for name, hook in hooks.items():
        object.__setattr__(optimizer, name, hook)
    try:
        yield
    finally:
        for name in hooks:
            object.__delattr__(optimizer, name)
