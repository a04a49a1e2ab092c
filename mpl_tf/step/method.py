"""What all methods share: networks with their optimizers, the average of the weights, and what is deployed."""

import types

import tensorflow as tf

from mpl_tf.base.errors import UsageError
from mpl_tf.models.layers import twin
from mpl_tf.step import any_optimizer, checks, losses
from mpl_tf.step.fit import SteppedModel
from mpl_tf.step.optimizer import moving_average
from mpl_tf.step.restorable import Restorable


class Method(Restorable, SteppedModel):
    """A training method: subclasses define `make_learners`, `learners`, `step`, `batch_keys` and `log_names`.

    What a constructor and compile() take by default is what flags/defaults.flags and flags/method_NAME.flags say, so
    that a notebook trains what the program trains. What the program has to know before it makes a method stands in the
    method's row of the catalogue.

    Args:
        student_network: built keras.Model of logits, the network to be deployed.
        ema_decay: decay of the deployed average of its weights, in [0, 1); 0 for none.
        seed: of what the steps draw.
        class_weights: how much a labeled example of each class counts, C floats >= 0; None: all alike.

    Attributes:
        student_network: the network that is trained to be deployed, itself or through the average of its weights.
        averaged: a copy of it with that average; None without ema_decay.
        class_weights: variable float32 [C], or None.
    Raises:
        UsageError: a network that is not built, class_weights of another length, or negative ones.
    """

    def __init__(self, student_network, ema_decay=0.995, seed=0, class_weights=None, **kwargs):
        checks.classes(student_network)
        super().__init__(seed, student_network.dtype_policy.compute_dtype == "float16", **kwargs)
        self.ema_decay = ema_decay
        self.student_network = student_network
        self.averaged = None
        # A variable, not a constant of the graph: runs that share a traced step may have other labeled sets.
        self.class_weights = None
        if class_weights is not None:
            if len(class_weights) != self.num_classes or min(class_weights) < 0:
                raise UsageError(f"class_weights: expected {self.num_classes} numbers >= 0, got {class_weights}")
            self.class_weights = self.new_state((self.num_classes,))
            self.class_weights.assign(class_weights)
        # A second network of the same weights, for Keras to predict with as with any other.
        if ema_decay:
            self.averaged = twin(student_network)

    def make_learners(self, optimizer, **options):
        """Give the networks their optimizers.

        Args:
            optimizer: as step/any_optimizer.py chose it.
            **options: weight_decay, clip_norm, accumulate, backbone_rate and remat, as Learner has them.
        """
        raise NotImplementedError

    def learners(self):
        """The Learners by role, for checkpoints and evaluation: dict of str to Learner."""
        raise NotImplementedError

    def compile(
        self,
        optimizer=None,
        weight_decay=5e-4,
        clip_norm=0.0,
        accumulate=1,
        backbone_rate=1.0,
        remat="none",
        run_eagerly=False,
        steps_per_execution=1,
        jit_compile=False,
        **kwargs,
    ):
        """Make the Learners, and set Keras up for fit().

        Args:
            optimizer: "sgd" (None), another name of keras.optimizers, or one of them; see any_optimizer.chosen.
            weight_decay, clip_norm, accumulate, backbone_rate, remat: of each Learner.
            run_eagerly, steps_per_execution, jit_compile, **kwargs: as in keras.Model.compile; metrics are those of
                evaluate() and of fit's validation_data.
        Raises:
            UsageError: an optimizer that a step cannot follow, or a network that gives no logits.
        """
        options = {"weight_decay": weight_decay, "clip_norm": clip_norm, "backbone_rate": backbone_rate}
        options |= {"accumulate": accumulate, "remat": remat}
        self.make_learners(any_optimizer.chosen(optimizer), **options)

        learners = list(self.learners().values())
        for learner in learners:
            learner.loss_scale = self.scaling
        # Keras wants one optimizer and would scale its loss; the steps are the Learners', and so is the scale.
        how = {
            "run_eagerly": run_eagerly,
            "steps_per_execution": steps_per_execution,
            "jit_compile": jit_compile,
        } | kwargs
        super().compile(**{"auto_scale_loss": False} | how, optimizer=learners[0].optimizer)
        # What LearningRateScheduler looks for; no tuple, as load_model would walk in the circle.
        if len(learners) > 1:
            self.optimizer.optimizers = {role: learner.optimizer for role, learner in self.learners().items()}.values()
        self.compiled_with = types.SimpleNamespace(options=options | how)

    def average(self, new, state, step):
        """Assignments of the averaged network from the student's new weights and state, at step `step` from 0."""
        if self.averaged is None:
            return []
        # Batch norm's statistics are averaged like the weights; a random generator's state is taken over.
        variables = self.averaged.trainable_variables + self.averaged.non_trainable_variables
        old = [tf.convert_to_tensor(variable) for variable in variables]
        return list(zip(variables, moving_average(old, [*new, *state], self.ema_decay, step), strict=True))

    @property
    def num_classes(self):
        """C, values of the networks' outputs."""
        return self.student_network.output_shape[-1]

    def labeled_loss(self, y, z, smoothing=0.0):
        """Mean CE of logits float32 [b, C] against labels int32 [b], by the classes' weights: a scalar.

        Args:
            smoothing: of the labels.
        """
        return losses.labeled(y, z, smoothing, self.class_weights)

    def deployed(self):
        """The network to predict with: the average of the student's weights, or the student itself."""
        return self.averaged or self.student_network

    def call(self, inputs, training=False):
        """Logits of the deployed network."""
        return self.deployed()(inputs, training=training)

    def scored_learners(self):
        """Those of `learners` whose networks take examples as the deployed one does, by role: those to be scored."""
        shape = self.student_network.input_shape
        return {role: learner for role, learner in self.learners().items() if learner.network.input_shape == shape}

    def state(self):
        """All variables of the run by part, for checkpoints: dict of str to list."""
        parts = {"counters": list(self.counters)}
        for role, learner in self.learners().items():
            parts[role] = list(learner.network.variables)
            parts[f"{role}_optimizer"] = list(learner.optimizer.variables)
        if self.averaged is not None:
            parts["average"] = list(self.averaged.variables)
        return parts
