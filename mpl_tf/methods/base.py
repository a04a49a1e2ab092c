"""What all methods share: networks run as pure functions of their weights, and a step that assigns last.

A method's `step` computes every new value from values read at its start and returns them; `train_step` sums what the
replicas logged, refuses a step whose gradients are not finite, and only then assigns.
"""

import keras
import tensorflow as tf

from mpl_tf import distribute, optim
from mpl_tf.errors import UsageError


class Trained:
    """A network with its optimizer, used functionally.

    Args:
        network: built keras.Model, images [B, ...] -> logits [B, C].
        optimizer: mpl_tf.optim.SGD.
        weight_decay: L2 coefficient on all but batch-norm weights.
        clip_norm: bound on the gradient's global norm; 0 for none.
    Raises:
        UsageError: the optimizer cannot be used as a pure function.
    """

    def __init__(self, network, optimizer, weight_decay, clip_norm):
        if not isinstance(optimizer, optim.SGD):
            raise UsageError(f"optimizer: expected mpl_tf.optim.SGD, got {type(optimizer).__name__}")
        optimizer.build(network.trainable_variables)
        self.network, self.optimizer = network, optimizer
        self.weight_decay, self.clip_norm = weight_decay, clip_norm
        self.decay_mask = optim.decayed(network)

    def weights(self):
        """The trainable weights' values, read now."""
        return [tf.convert_to_tensor(variable) for variable in self.network.trainable_variables]

    def forward(self, weights, x):
        """Training-mode pass at `weights`: (logits float32, new values of the non-trainable state).

        The batch-norm statistics move only if the caller hands the new state to `update`.
        """
        state = [tf.convert_to_tensor(variable) for variable in self.network.non_trainable_variables]
        return self.network.stateless_call(weights, state, x, training=True)

    def update(self, weights, gradients, state):
        """One optimizer step, nothing assigned.

        Args:
            weights: values to step from.
            gradients: of the global loss, averaged over replicas.
            state: new non-trainable state from `forward`.
        Returns:
            (new weights, updates, gradient norm, first-step coefficient): tensors, [(variable, new value)], scalars.
        """
        gradients, norm, factor = optim.regularised(
            gradients, weights, self.decay_mask, self.weight_decay, self.clip_norm
        )
        coefficient = self.optimizer.first_step_coefficient() * factor
        new, updates = self.optimizer.new_values(weights, gradients)
        updates += zip(self.network.trainable_variables, new, strict=True)
        updates += zip(self.network.non_trainable_variables, state, strict=True)
        return new, updates, norm, coefficient


class Method(keras.Model):
    """A training method: subclasses define `step`, `deployed` and `log_names`, and call `_compile` in compile().

    Class attributes:
        batch_keys: the parts of a batch that `step` reads.
        log_names: the quantities that `step` returns, averaged over the steps of an epoch in the logs.
        finetuned: whether the deployed network has seen no labels and is to be finetuned.
    """

    batch_keys = ("x_l", "y_l")
    log_names = ()
    finetuned = False

    def __init__(self, deployed, ema_decay=0.0, seed=0, **kwargs):
        super().__init__(**kwargs)
        self.seed, self.ema_decay = seed, ema_decay
        self.trained = deployed
        self.averaged = None
        if ema_decay:
            self.averaged = keras.models.clone_model(deployed)
            self.averaged.set_weights(deployed.get_weights())
        self.within_epoch = False  # Set after restoring a checkpoint from the middle of an epoch.
        self.counters = []  # The method's own variables.
        self.sums = self._state((len(self.log_names) + 1,))
        self.skipped = self._state((2,))  # Steps refused in all, and in a row.
        self.built = True

    def _state(self, shape=()):
        variable = self.add_weight(shape=shape, initializer="zeros", dtype="float32", trainable=False, autocast=False)
        self.counters.append(variable)
        return variable

    def compile(self, optimizer=None, run_eagerly=False, steps_per_execution=1, jit_compile=False, **kwargs):
        """Set Keras up for fit(); subclasses make their Trained networks first."""
        super().compile(
            optimizer=optimizer,
            run_eagerly=run_eagerly,
            steps_per_execution=steps_per_execution,
            jit_compile=jit_compile,
            auto_scale_loss=False,
            **kwargs,
        )

    def deployed(self):
        """The network to predict with: the average of the trained one's weights, or the trained one itself."""
        return self.averaged or self.trained

    def networks(self):
        """Trained networks by role, for checkpoints and evaluation."""
        raise NotImplementedError

    def step(self, batch):
        """One step of the algorithm on a replica's batch.

        Args:
            batch: dict of the tensors named in `batch_keys`.
        Returns:
            (updates, logs, norms): [(variable, new value)], equal on all replicas; dict of `log_names` to scalars, to
            be averaged over replicas; list of gradient norms, one a network.
        """
        raise NotImplementedError

    def call(self, inputs, training=False):
        """Logits of the deployed network."""
        return self.deployed()(inputs, training=training)

    def state(self):
        """All variables of the run by part, for checkpoints: dict of str to list."""
        parts = {"counters": list(self.counters)}
        for role, part in self.networks().items():
            parts[role] = list(part.network.variables)
            parts[f"{role}_optimizer"] = list(part.optimizer.variables)
        if self.averaged is not None:
            parts["average"] = list(self.averaged.variables)
        return parts

    def train_step(self, batch):
        """Keras' hook: one step, its new values assigned at the end.

        Args:
            batch: dict of tensors, as `step` takes it.
        Returns:
            dict of str to float32 scalars: the epoch's means of `log_names`, and the steps skipped.
        """
        updates, logs, norms = self.step(batch)
        finite = tf.math.is_finite(tf.add_n(norms))
        updates = [(var, tf.where(finite, tf.cast(new, var.dtype), tf.convert_to_tensor(var))) for var, new in updates]
        values = distribute.mean(tf.stack([tf.cast(logs[name], tf.float32) for name in self.log_names]))
        sums = tf.convert_to_tensor(self.sums)
        sums = tf.where(finite, sums + tf.concat([values, [1.0]], axis=0), sums)  # [log_names + 1]
        in_all, in_row = tf.unstack(tf.convert_to_tensor(self.skipped))
        skipped = tf.where(finite, tf.stack([in_all, 0.0]), tf.stack([in_all + 1, in_row + 1]))
        distribute.assign([*updates, (self.sums, sums), (self.skipped, skipped)])
        means = tf.unstack(tf.math.divide_no_nan(sums[:-1], sums[-1]))
        return dict(zip(self.log_names, means, strict=True)) | {
            "skipped_steps": skipped[0],
            "skipped_in_a_row": skipped[1],
        }

    def reset_metrics(self):
        """Start a new mean of the logged quantities; fit() calls it at each epoch's start.

        The mean of an epoch that was begun before a resume goes on.
        """
        if not self.within_epoch:
            self.sums.assign(tf.zeros_like(self.sums))
        self.within_epoch = False

    def average(self, new, state, step):
        """Updates of the averaged network from the deployed one's new weights and state, at step `step` from 0."""
        if self.averaged is None:
            return []
        variables = self.averaged.trainable_variables + self.averaged.non_trainable_variables
        old = [tf.convert_to_tensor(variable) for variable in variables]
        return list(zip(variables, optim.average(old, [*new, *state], self.ema_decay, step), strict=True))


def logit_gradients(z, parts):
    """Gradients of the parts of a loss at the logits.

    Args:
        z: float32 [B, C].
        parts: function of z, returning a dict of str to scalar losses.
    Returns:
        dict of str to float32 [B, C]; backpropagating their sum trains the network on the sum of the losses.
    """
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(z)
        computed = parts(z)
    zeros = tf.UnconnectedGradients.ZERO
    return {name: tape.gradient(loss, z, unconnected_gradients=zeros) for name, loss in computed.items()}


def norms(gradients):
    """Norms over the global batch of logit gradients that each replica computed of its own mean loss."""
    squares = tf.stack([tf.reduce_sum(g * g) for g in gradients.values()])
    squares = distribute.mean(squares) / distribute.replicas()  # A replica's part of the global gradient is g / R.
    return dict(zip(gradients, tf.unstack(tf.sqrt(squares)), strict=True))
