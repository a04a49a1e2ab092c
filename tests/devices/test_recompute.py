"""What is computed again gives the same gradients, once and twice, and waits for them."""

import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.devices import distribute
from mpl_tf.devices.recompute import in_turn, recomputed


def function(x, w):
    return [tf.sin(tf.square(x) @ w), tf.stop_gradient(x)]


@pytest.mark.parametrize("jit", [False, True])
def test_first_and_second_derivatives(jit):
    random = np.random.default_rng(0)
    x, w = (tf.constant(random.normal(size=shape), tf.float32) for shape in ([4, 3], [3, 2]))

    def derivatives(run):
        return tf.function(lambda: twice(run), jit_compile=jit, autograph=False)()

    def twice(run):
        with tf.GradientTape() as outer:
            outer.watch([x, w])
            with tf.GradientTape() as inner:
                inner.watch([x, w])
                y, held = run(x, w)
                loss = tf.reduce_sum(tf.square(y)) + tf.reduce_sum(held)
            first = inner.gradient(loss, [x, w])
            curved = tf.add_n([tf.reduce_sum(tf.square(gradient)) for gradient in first])
        return first, outer.gradient(curved, [x, w])

    again = recomputed(function, distribute.current().dot)
    for expected, got in zip(*map(tf.nest.flatten, map(derivatives, (function, again))), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def test_xla_computes_it_again_rather_than_keeping_it():
    """The optimised program has one product of matrices more: the one whose result is not kept."""

    def products(run):
        @tf.function(jit_compile=True, autograph=False)
        def gradient(x):
            with tf.GradientTape() as tape:
                tape.watch(x)
                (y,) = run(x)
                loss = tf.reduce_sum(tf.exp(y))
            return tape.gradient(loss, x)

        return gradient.experimental_get_compiler_ir(tf.ones([64, 64]))(stage="optimized_hlo").count(" dot(")

    def squared(x):
        return [tf.sin(x @ x) @ x]

    assert products(recomputed(squared, distribute.current().dot)) == products(squared) + 1


def part(number):
    """Two results with a gradient and one without."""

    def run(x, w):
        y = tf.tanh(float(number + 1) * x @ w, name=f"part_{number}")
        return [y, tf.square(y), tf.stop_gradient(y)]

    return run


def test_several_in_turn_have_the_gradients_of_their_sum():
    random = np.random.default_rng(0)
    x, w = (tf.constant(random.normal(size=shape), tf.float32) for shape in ([4, 3], [3, 2]))

    def gradient(results):
        with tf.GradientTape() as tape:
            tape.watch([x, w])
            found = results()
            loss = tf.add_n([tf.reduce_sum(y) + tf.reduce_sum(tf.square(z)) * k for k, (y, z, _) in enumerate(found)])
        return [*tf.nest.flatten(found), *tape.gradient(loss, [x, w])]

    functions = [part(number) for number in range(3)]
    run = in_turn(functions, distribute.current().dot, heads=2)
    expected = gradient(lambda: [function(x, w) for function in functions])
    for one, other in zip(expected, gradient(lambda: run(x, w)), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-5, atol=1e-6)


def test_each_waits_for_the_one_before_forwards_and_backwards():
    """Else all would be computed at once, and parts of a pass would save nothing."""

    @tf.function(autograph=False)
    def step(x, w):
        with tf.GradientTape() as tape:
            tape.watch(w)
            (y, *_), (z, *_) = in_turn([part(0), part(1)], distribute.current().dot, heads=2)(x, w)
            loss = tf.reduce_sum(y) + tf.reduce_sum(z)
        return tape.gradient(loss, w)

    def before(operation):
        """Names of all that an operation waits for."""
        names, waiting = set(), [operation]
        while waiting:
            for source in (tensor.op for tensor in waiting.pop().inputs):
                if source.name not in names:
                    names.add(source.name)
                    waiting.append(source)
        return names

    graph = step.get_concrete_function(tf.ones([4, 3]), tf.ones([3, 2])).graph
    first, first_again = (op for op in graph.get_operations() if op.name.rpartition("/")[2] in ("part_0", "part_0_1"))
    second, second_again = (op for op in graph.get_operations() if op.name.rpartition("/")[2] in ("part_1", "part_1_1"))
    assert first.name in before(second)
    assert second.name not in before(first)
    assert first_again.name in before(second_again)
