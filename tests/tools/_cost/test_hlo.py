"""XLA's count of small programs, by hand."""

import sys

import pytest
import tensorflow as tf

from mpl_tf.base.errors import UsageError
from tools._cost import hlo
from tools._cost.hlo import Product

pytest.importorskip("jaxlib", reason="jaxlib is not installed; mpl-tf[cost] brings it")

PROGRAM = """HloModule small
ENTRY main {
  images = f32[2,4,4,3]{3,2,1,0} parameter(0)
  kernel = f32[3,3,3,8]{3,2,1,0} parameter(1)
  rows = f32[5,6]{1,0} parameter(2)
  columns = f32[6,7]{1,0} parameter(3)
  conv = f32[2,4,4,8]{3,2,1,0} convolution(images, kernel), window={size=3x3 pad=1_1x1_1}, dim_labels=b01f_01io->b01f
  twice = f32[2,4,4,8]{3,2,1,0} add(conv, conv)
  matrix = f32[5,7]{1,0} dot(rows, columns), lhs_contracting_dims={1}, rhs_contracting_dims={0}
  ROOT both = (f32[2,4,4,8]{3,2,1,0}, f32[5,7]{1,0}) tuple(twice, matrix)
}"""
TALKING = """HloModule talking
ENTRY main {
  start = token[] after-all()
  given = (f32[2]{0}, token[]) infeed(start)
  value = f32[2]{0} get-tuple-element(given), index=0
  done = token[] outfeed(value, start), outfeed_shape=f32[2]{0}
  told = f32[2]{0} custom-call(value), custom_call_target="xla_python_cpu_callback"
  ROOT other = f32[2]{0} custom-call(told), custom_call_target="TopK"
}"""


def test_products_and_all_operations_are_counted():
    program = hlo.Program(PROGRAM)
    conv, matrix = program.products()
    assert conv == Product(((2, 4, 4, 3), (3, 3, 3, 8), (2, 4, 4, 8)), 1, 2 * 2 * (10 * 10) * 3 * 8)
    assert matrix == Product(((5, 6), (6, 7), (5, 7)), 1, 2 * 5 * 6 * 7)
    assert program.flops == conv.flops + matrix.flops + 2 * 4 * 4 * 8
    assert program.transfers == 0


def test_what_goes_to_the_host_is_counted():
    assert hlo.Program(TALKING).transfers == 3


def test_a_depthwise_kernels_gradient_counts_as_the_grouped_one_that_it_stands_for():
    kernel = tf.Variable(tf.ones([3, 3, 8, 1]))

    @tf.function(jit_compile=True, autograph=False)
    def gradient(x):
        with tf.GradientTape() as tape:
            y = tf.nn.depthwise_conv2d(x, kernel, [1, 2, 2, 1], "SAME")
        return tape.gradient(y, kernel, output_gradients=y)

    text = gradient.experimental_get_compiler_ir(tf.TensorSpec([2, 4, 4, 8]))
    given, compiled = (hlo.Program(text(stage=stage)).products() for stage in ("hlo", "optimized_hlo"))
    one = 2 * 2 * (5 * 5) * 8  # Two images, 5 pairs of places along each axis.
    assert [product.flops for product in given] == 3 * [one]  # Also the gradient by x, for which nobody asks.
    assert sum(product.flops for product in compiled) - hlo.widened(given, compiled) == 2 * one


def test_only_products_of_all_by_all_channels_count_as_widened():
    grouped = Product(((8, 4, 4, 2), (8, 4, 4, 2), (3, 3, 1, 8)), 8, 100.0)
    wide = Product(((8, 4, 4, 2), (8, 4, 4, 2), (8, 3, 3, 8)), 1, 800.0)
    other = Product(((2, 4), (4, 8), (2, 8)), 1, 800.0)
    assert hlo.widened([grouped], [wide]) == 700
    assert hlo.widened([grouped], [grouped, wide]) == 0  # A compiler that has the grouped form.
    assert hlo.widened([grouped], [other]) == 0
    assert hlo.widened([grouped, grouped], [wide]) == 700
    assert hlo.widened([], [wide]) == 0


def test_without_jaxlib_a_line_says_what_brings_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "jaxlib", None)
    with pytest.raises(UsageError, match=r"^--cost: expected jaxlib, got none .*; pip install 'mpl-tf\[cost\]'$"):
        hlo.Program(PROGRAM)
