"""What a call of fit()'s loop has on the host beside its batches."""

import pytest
import tensorflow as tf

from mpl_tf.base.errors import RunError
from mpl_tf.methods.supervised import Supervised
from tests import tiny
from tools._cost import loop


def method(steps):
    made = Supervised(tiny.network(1), ema_decay=0.9)
    made.compile(tiny.sgd(0.1, 0.9), jit_compile=True, steps_per_execution=steps)
    return made


SPEC = {"x_l": tf.TensorSpec([4, tiny.FEATURES]), "y_l": tf.TensorSpec([4], tf.int32)}


@pytest.mark.parametrize("steps", [1, 5])
def test_a_call_has_one_program_a_step_and_nothing_beside(steps):
    assert loop.around(method(steps), SPEC) == (1, [])


def test_what_works_between_the_steps_is_named():
    step = tf.function(lambda x: x + 1.0, jit_compile=True)

    @tf.function(autograph=False)
    def call(x):
        def body(x, count):
            y = step(x)
            tf.print(y)
            return 2.0 * y, count + 1

        return tf.while_loop(lambda x, count: count < 5, body, [x, tf.constant(0)])

    graph = call.get_concrete_function(tf.TensorSpec([3])).graph.as_graph_def()
    assert loop.operations(graph) == (1, ["Mul", "PrintV2", "StringFormat"])


def test_another_loop_is_refused(monkeypatch):
    made = method(2)
    monkeypatch.setattr(made, "make_train_function", lambda force: setattr(made, "train_function", lambda batch: batch))
    with pytest.raises(RunError, match="^--cost: expected Keras' own loop of steps"):
        loop.around(made, SPEC)
