"""What Keras' fit() needs of a method: a training step that assigns last, and an epoch's means of what it logs.

A method's `step` computes every new value from values read at its start and returns them; `train_step` sums what the
replicas logged, refuses a step whose gradients are not finite, and only then assigns.
"""

from typing import NamedTuple

import keras
import tensorflow as tf

from mpl_tf.devices import distribute
from mpl_tf.step import checks
from mpl_tf.step.scoring import ScoredModel

SKIPPED = ("skipped_steps", "skipped_in_a_row")  # What the logs hold beside a method's own quantities.
FIRST_LOSS_SCALE, LOSS_SCALE_GROWTH_STEPS = 2.0**15, 2000  # As Keras' LossScaleOptimizer.


class StepResult(NamedTuple):
    """What one step of an algorithm gives, nothing assigned yet.

    Attributes:
        assignments: [(variable, new value)], equal on all replicas.
        logs: dict of `log_names` to scalars, to be averaged over replicas.
        gradient_norms: list of float32 scalars, one a Learner, then sums of what else must be finite; the step is
            refused where one is not.
    """

    assignments: list
    logs: dict
    gradient_norms: list


class SteppedModel(ScoredModel):
    """A keras.Model that fit() trains by its `step`, and evaluate() scores.

    Args:
        seed: of what the steps draw.
        float16: whether a network computes in float16 and its gradients are to be scaled.

    Class attributes:
        batch_keys: the parts of a batch that `step` reads.
        log_names: the quantities that `step` returns, averaged over the steps of an epoch in the logs.

    Attributes:
        devices: Devices (mpl_tf/devices) whose scope was open when the model was made; it trains there.
        arrival: function of a batch as it comes to the device -> the batch that `step` reads, as pipeline.arrival makes
            it; None: it comes so.
        features: function of images [b, H, W, 3] -> features [b, F] that a batch's views go through before `step`, as
            a frozen network's; None: `step` takes them as they are.
    """

    batch_keys = ("x_l", "y_l")
    log_names = ()

    def __init__(self, seed, float16, **kwargs):
        super().__init__(**kwargs)
        self.devices = distribute.current()
        self.arrival = self.features = None
        self.within_epoch = False  # Set after restoring a checkpoint from the middle of an epoch.

        # The model's own variables, which checkpoints hold beside those of its networks, in this order.
        self.counters = []
        self.kept_seed = self.new_state(dtype="int64", value=seed)
        self.sums = self.new_state((len(self.log_names) + 1,))
        self.skipped = self.new_state((2,))  # Steps refused in all, and in a row.
        self.scaling = None  # Loss scale and steps since it changed, where a network computes in float16.
        if float16:
            self.scaling = self.new_state((2,))
            self.scaling.assign([FIRST_LOSS_SCALE, 0.0])
        self.built = True  # The networks came built; Keras need not call the method to find its shapes.

    def new_state(self, shape=(), dtype="float32", value=0):
        """A variable of the method itself, filled with `value`: checkpoints hold it, `step` returns its new values.

        What a method remembers of each unlabeled example is [num_unlabeled]; the batch's `i_u` says which are in it.
        Whole numbers are int64: TensorFlow has no int32 variables on a GPU, it puts them into the host's memory, where
        a step that XLA compiled cannot read them.
        """
        fill = keras.initializers.Constant(value)
        variable = self.add_weight(shape=shape, initializer=fill, dtype=dtype, trainable=False, autocast=False)
        self.counters.append(variable)
        return variable

    @property
    def seed(self):
        """What the draws of a step start from, int32 scalar."""
        return tf.cast(self.kept_seed, tf.int32)

    @property
    def num_classes(self):
        """C, values of the networks' outputs."""
        raise NotImplementedError

    def step(self, batch):
        """One step of the algorithm on a replica's batch.

        Args:
            batch: dict of the tensors named in `batch_keys`.
        Returns:
            StepResult.
        """
        raise NotImplementedError

    def train_step(self, batch):
        """Keras' hook: one step, its new values assigned at the end.

        Args:
            batch: dict of tensors, as `step` takes it; (x, y) where that has x_l and y_l alone, or x is a dict of the
                other parts.
        Returns:
            dict of str to float32 scalars: the epoch's means of `log_names`, and the steps skipped.
        Raises:
            UsageError: a part of the batch is missing, or its labels are no classes (step/checks.py).
        """
        # A notebook makes its own batches; the pipeline's hold what `batch_keys` names.
        batch = checks.batch(self.arrival(batch) if self.arrival else batch, self.batch_keys)
        batch |= {"y_l": checks.labels(batch["y_l"], self.num_classes)}
        if self.features is not None:
            batch |= {key: self.features(x) for key, x in batch.items() if key.startswith("x_")}
        result = self.step(batch)

        # A gradient that is not finite leaves every variable as it was; norms are equal on all replicas, so all agree.
        finite = tf.math.is_finite(tf.add_n(result.gradient_norms))
        assignments = [
            (variable, _chosen(finite, tf.cast(new, variable.dtype), tf.convert_to_tensor(variable)))
            for variable, new in result.assignments
        ]

        # Logs are summed in a variable of the run, so that an epoch's means survive a resume within it.
        values = distribute.mean(tf.stack([tf.cast(result.logs[name], tf.float32) for name in self.log_names]))
        sums = tf.convert_to_tensor(self.sums)
        sums = _chosen(finite, sums + tf.concat([values, [1.0]], axis=0), sums)  # [log_names + 1]

        # Refused steps are counted: many in a row end the run (run/callbacks.py).
        in_all, in_row = tf.unstack(tf.convert_to_tensor(self.skipped))
        skipped = _chosen(finite, tf.stack([in_all, 0.0]), tf.stack([in_all + 1, in_row + 1]))
        assignments += [(self.sums, sums), (self.skipped, skipped)]
        if self.scaling is not None:
            assignments.append((self.scaling, _next_scale(tf.convert_to_tensor(self.scaling), finite)))

        # Everything has been read: from here on variables change.
        distribute.assign(assignments)
        means = tf.unstack(tf.math.divide_no_nan(sums[:-1], sums[-1]))
        return dict(zip(self.log_names, means, strict=True)) | dict(zip(SKIPPED, tf.unstack(skipped), strict=True))

    def fit(self, *args, **kwargs):
        """Keras' own; UsageError in one line where a label is none of the network's classes."""
        with checks.one_line():
            return super().fit(*args, **kwargs)

    def reset_metrics(self):
        """Start a new mean of the logged quantities; fit() calls it at each epoch's start.

        The mean of an epoch that was begun before a resume goes on; an evaluation has metrics of its own.
        """
        if self.scoring:
            super().reset_metrics()
            return
        if not self.within_epoch:
            self.sums.assign(tf.zeros_like(self.sums))
        self.within_epoch = False

    @property
    def jit_compile(self):
        """Whether XLA compiles the step, as asked: Keras' own drops it, silently, under op determinism."""
        return self.xla

    @jit_compile.setter
    def jit_compile(self, asked):
        """Set by Keras' compile()."""
        self.xla = bool(asked)

    def make_train_function(self, force=False):
        """Keras' hook: its own function, or the devices' where they have one."""
        if self.train_function is not None and not force:
            return self.train_function
        names = (*self.log_names, *SKIPPED)
        own = self.devices.train_function(self.train_step, names, self.steps_per_execution)
        if own is None or self.run_eagerly:
            return super().make_train_function(force)
        self.train_function = own
        return own

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Keras' hook of fit(): nothing is left to build here.

        Keras' own (3.15) fails on the dict of values that several workers yield (keras-team/keras issue 20585).
        """


def _chosen(condition, new, old):
    """`new` where the scalar holds, else `old`; DTensor crashes on a scalar beside a value split over devices."""
    return tf.where(tf.reshape(condition, [1] * len(new.shape)), new, old)


def _next_scale(scaling, finite):
    """[scale, steps]: halved at a step that is not finite, doubled after enough that are."""
    scale, steps = scaling[0], scaling[1] + 1
    grown = steps >= LOSS_SCALE_GROWTH_STEPS
    good = tf.stack([tf.where(grown, 2 * scale, scale), tf.where(grown, 0.0, steps)])
    return _chosen(finite, good, tf.stack([scale / 2, 0.0]))
