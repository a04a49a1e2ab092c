"""Several two_moons data sets trained at once, each with networks of its own.

The step is the method's own (mpl_tf.methods): tf.vectorized_map runs it for all data sets together, so that every
weight has a leading data-set axis [D, ...] and every product is a batched one, while losses and feedback stay those of
one data set. A chunk of steps is one call, compiled with XLA. Unlabeled batches are drawn with NumPy between the calls:
inside XLA on a CPU, random numbers alone would take a third of the time.
"""

import functools

import keras
import numpy as np
import tensorflow as tf

from mpl_tf import data, methods, models
from mpl_tf.settings.catalogue import DATASETS

SHAPE, CLASSES = DATASETS["two_moons"].shape, DATASETS["two_moons"].classes
CHOICE, NOISE = range(2)  # Streams of randomness: which points a batch holds, and the strong view's noise.


class Points:
    """D generated data sets and the first weights of their networks, as the main program has them for these seeds.

    Args:
        config: Config of two_moons.
        seeds: one a data set.

    Attributes:
        seeds: int32 [D].
        x_l, y_l: the labeled points, float32 [D, L, 2] and int32 [D, L].
        x_u: the unlabeled points, float32 [D, U, 2].
        x, y: all points and their classes, float32 [D, N, 2] and int32 [D, N].
        teacher, student: first weights of the networks, lists of float32 [D, ...]; supervised and uda train the first.

    Raises:
        UsageError: a data set without unlabeled points.
    """

    def __init__(self, config, seeds):
        self.seeds = np.array(seeds, np.int32)
        datasets = [data.load(config.replace(seed=int(seed))) for seed in seeds]
        methods.check_data(config.method, datasets[0])
        self.x_l = np.stack([dataset.labeled.images for dataset in datasets])
        self.y_l = np.stack([dataset.labeled.labels for dataset in datasets])
        self.x_u = np.stack([dataset.unlabeled.images for dataset in datasets])
        self.x = np.stack([dataset.test.images for dataset in datasets])
        self.y = np.stack([dataset.test.labels for dataset in datasets])
        weights = []
        for seed in seeds:
            keras.utils.set_random_seed(int(seed))
            networks = [models.build(config.model, SHAPE, CLASSES) for _ in range(2)]  # The teacher, then the student.
            weights.append([network.get_weights() for network in networks])
        self.teacher, self.student = (stacked(one) for one in zip(*weights, strict=True))

    def batches(self, steps, size, stddev):
        """Unlabeled batches for ever, a chunk of steps at a time; a data set's do not depend on the others.

        Args:
            steps: steps in a chunk, S.
            size: points in a batch, B, drawn afresh with replacement.
            stddev: of the strong view's noise.
        Yields:
            (views, places): dict of x_u_weak and x_u_strong, float32 [S, D, B, 2], and the points' places in x_u,
            int32 [S, D, B].
        """
        choice, noise = ([np.random.default_rng([stream, seed]) for seed in self.seeds] for stream in (CHOICE, NOISE))
        while True:
            drawn = [one.integers(0, self.x_u.shape[1], (steps, size), np.int32) for one in choice]
            added = [one.standard_normal((steps, size, 2), np.float32) for one in noise]
            places = np.stack(drawn, axis=1)  # [S, D, B]
            weak = np.stack([x.take(at, axis=0) for x, at in zip(self.x_u, drawn, strict=True)], axis=1)
            strong = weak + np.float32(stddev) * np.stack(added, axis=1)  # [S, D, B, 2], as weak
            yield {"x_u_weak": weak, "x_u_strong": strong}, places


class Trainer:
    """The steps of a method on D data sets at once; the same object serves any D.

    Args:
        config: Config of the method.

    Attributes:
        method: its Method, whose variables stand for those of all data sets.
        variables: all of the method's state, in one order.
        networks: {role: keras.Model}.
    """

    def __init__(self, config):
        self.config = config
        self.method = methods.make(config, SHAPE, CLASSES)
        self.variables = [variable for part in self.method.state().values() for variable in part]
        self.networks = {role: learner.network for role, learner in self.method.learners().items()}
        self.run = tf.function(self._run, jit_compile=self.method.jit_compile, autograph=False)

    def start(self, weights):
        """A new run's values of `variables`, [D, ...] each.

        Args:
            weights: of each network, lists of [D, ...].
        """
        given = {}
        for network, values in zip(self.networks.values(), weights, strict=True):
            given |= {id(variable): value for variable, value in zip(network.weights, values, strict=True)}
        count = len(weights[0][0])
        return [
            tf.constant(given[id(v)] if id(v) in given else np.stack([v.numpy()] * count), v.dtype)
            for v in self.variables
        ]

    def step(self, values, batch, seeds):
        """One step of each data set.

        Args:
            values: of `variables`, [D, ...] each.
            batch: dict of what the method reads, [D, B, ...] each.
            seeds: of the labels' sampling, int32 [D].
        Returns:
            The new values.
        """
        return tf.vectorized_map(self._step_of_one, (values, batch, seeds))

    def _step_of_one(self, arguments):
        """The method's own step of one data set: (values, batch, seed), of vectorized_map, without the axis D."""
        values, batch, self.method.kept_seed = arguments
        # Within the scope the method reads these values in place of its variables'.
        with keras.StatelessScope(state_mapping=list(zip(self.variables, values, strict=True))):
            result = self.method.step(batch)
        new = {id(variable): value for variable, value in result.assignments}
        return [tf.cast(new.get(id(v), old), old.dtype) for v, old in zip(self.variables, values, strict=True)]

    def _run(self, values, fixed, changing, seeds, steps):
        """`steps` steps (a scalar tensor): `fixed` parts of the batch are [D, ...], `changing` ones [S, D, ...]."""
        body = functools.partial(self._step_of_chunk, fixed, changing, seeds)
        return tf.while_loop(lambda s, _: s < steps, body, (0, values))[1]

    def _step_of_chunk(self, fixed, changing, seeds, s, values):
        """Step s of a chunk, as while_loop has it: (s + 1, the new values); arguments as in `_run`."""
        batch = fixed | {name: part[s] for name, part in changing.items()}
        return s + 1, self.step(values, batch, seeds)

    def weights(self, values):
        """Weights of each network among `values`: {role: list of float32 [D, ...]}."""
        found = {id(variable): value.numpy() for variable, value in zip(self.variables, values, strict=True)}
        return {role: [found[id(variable)] for variable in network.weights] for role, network in self.networks.items()}


def train(trainer, points, weights, labels=None, stopped=lambda: False):
    """Train the networks of D data sets.

    Args:
        trainer: Trainer of the method.
        points: Points.
        weights: first weights of each network, lists of [D, ...].
        labels: classes of the unlabeled points to learn from instead of the labeled points, int32 [D, U].
        stopped: a function asked between chunks whether to give up.
    Returns:
        Weights of each network, {role: list of float32 [D, ...]}; None where it gave up.
    """
    steps, values = trainer.config.steps_per_execution, trainer.start(weights)
    # With labels of a teacher these parts come with the chunks too.
    fixed = {} if labels is not None else {"x_l": tf.constant(points.x_l), "y_l": tf.constant(points.y_l)}
    for changing in chunks(trainer, points, labels):
        if stopped():
            return None
        values = trainer.run(values, fixed, changing, tf.constant(points.seeds), tf.constant(steps))
    return trainer.weights(values)


def chunks(trainer, points, labels):
    """The parts of the batches that change with the step, chunk by chunk to the run's end.

    Args:
        trainer, points, labels: as in `train`.
    Yields:
        dict of [S, D, B, ...]; empty for a method that learns from the labeled points alone.
    """
    config = trainer.config
    unlabeled = labels is not None or "x_u_weak" in trainer.method.batch_keys
    draws = points.batches(config.steps_per_execution, config.mu * config.labeled_batch, config.noise)
    for _ in range(config.train_steps // config.steps_per_execution):
        changing, places = next(draws) if unlabeled else ({}, None)
        # A teacher's labels: what is drawn stands in the place of the labeled points.
        if labels is not None:
            y = np.take_along_axis(labels[None], places, axis=2)  # [S, D, B]
            changing = {"x_l": changing["x_u_weak"], "y_l": y}
        yield {name: tf.constant(part) for name, part in changing.items()}


def predict(network, weights, x):
    """Classes that D sets of weights of one network give: int32 [D, N].

    Args:
        network: keras.Model.
        weights: list of [D, ...].
        x: float32 [D, N, 2].
    """
    one = functools.partial(_classes_of_one, network)
    return tf.vectorized_map(one, ([tf.constant(part) for part in weights], tf.constant(x))).numpy()


def _classes_of_one(network, arguments):
    """`predict` of one data set, (weights, x) without their axis D: int32 [N]."""
    weights, x = arguments
    return tf.argmax(network.stateless_call(weights, [], x)[0], axis=-1, output_type=tf.int32)


def stacked(weights):
    """[weights of a network] of D data sets as a list of [D, ...]."""
    return [np.stack(parts) for parts in zip(*weights, strict=True)]
