"""What is computed again gives the same gradients, once and twice, and waits for them."""

import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.devices import distribute
from mpl_tf.devices.recompute import recomputed


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
