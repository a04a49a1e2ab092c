"""A program in XLA's language (HLO) by XLA's own cost analysis, which jaxlib hands out: all of it, and its products.

A product is a convolution or a matrix product: where the work of a network is. XLA counts two operations for each
multiplication and addition that has data: positions of a window that lie in the padding or between dilated values count
for nothing. An instruction within a loop is counted once.
"""

import dataclasses
import importlib.util
import math
import re

from mpl_tf.base.errors import UsageError

PRODUCT = re.compile(r"= (?P<result>\S+) (?P<kind>convolution|dot)\((?P<left>\S+) \S+, (?P<right>\S+) \S+\)(?P<how>.*)")
GROUPS = re.compile(r"(?:feature|batch)_group_count=(\d+)")
# What leaves the program while it runs; a call of the host by another name has "callback" in its target.
TRANSFERS = re.compile(r" (?:infeed|outfeed|send|recv)\(|custom_call_target=\"[^\"]*callback[^\"]*\"")


@dataclasses.dataclass(frozen=True)
class Product:
    """A convolution or a matrix product of a program.

    Args:
        shapes: of its two operands and its result, tuples of int.
        groups: of a convolution, 1 of all others.
        flops: by XLA's count.
    """

    shapes: tuple
    groups: int
    flops: float


class Program:
    """A program and what XLA says of it.

    Args:
        text: in HLO.

    Attributes:
        flops: of all its instructions.
        bytes: that its instructions read and write, each for itself.
        transfers: instructions that exchange data with the host while it runs.
    Raises:
        UsageError: jaxlib is not installed.
    """

    def __init__(self, text):
        self._jax, self._hlo, self._client = _analyst()
        self._module = self._hlo.hlo_module_from_text(text)
        found = self._analysed(self._module)
        self.flops, self.bytes = found["flops"], found["bytes accessed"]
        self.transfers = len(TRANSFERS.findall(text))

    def products(self):
        """Its convolutions and matrix products, list of Product."""
        options = self._hlo.HloPrintOptions.short_parsable()
        options.print_operand_shape = True
        return [self._product(match) for match in PRODUCT.finditer(self._module.to_string(options))]

    def _product(self, match):
        left, right, result = match["left"], match["right"], match["result"]
        alone = f"""HloModule alone
            ENTRY main {{
              left = {left} parameter(0)
              right = {right} parameter(1)
              ROOT result = {result} {match["kind"]}(left, right){match["how"]}
            }}"""
        groups = max(map(int, GROUPS.findall(match["how"])), default=1)
        flops = self._analysed(self._hlo.hlo_module_from_text(alone))["flops"]
        return Product(tuple(map(_sides, (left, right, result))), groups, flops)

    def _analysed(self, module):
        return self._jax.hlo_module_cost_analysis(self._client, module)


def widened(given, compiled):
    """The operations that a compiler added by making grouped convolutions into plain ones, most of it of zeros.

    XLA for CPUs has no convolution grouped by the batch, the form of a depthwise kernel's gradient: it makes one of all
    channels by all channels and keeps the diagonal, as many times the work as there are groups (its cpu_compiler.cc).
    XLA for GPUs hands it on as one that is grouped by channels (gpu_conv_rewriter.cc); of its compiler for TPUs the
    sources are not public.

    Args:
        given: products of the program that the compiler was given, list of Product.
        compiled: those of its program.
    Returns:
        float: the operations of compiled products beyond those of the grouped ones that they stand for.
    """
    plain = [product for product in compiled if product.groups == 1]
    kept = [product for product in compiled if product.groups > 1]
    added = 0.0
    for product in (product for product in given if product.groups > 1):
        # Either it is still there as it was given, or a plain one has as many times its work and has its groups twice.
        same = next((one for one in kept if one.groups == product.groups and _alike(one.flops, product.flops)), None)
        if same is not None:
            kept.remove(same)
            continue
        wide = next((one for one in plain if _is_wide(one, product)), None)
        if wide is not None:
            plain.remove(wide)
            added += wide.flops - product.flops
    return added


def _is_wide(plain, grouped):
    twice = any(shape.count(grouped.groups) > 1 for shape in plain.shapes)
    return twice and _alike(plain.flops, grouped.groups * grouped.flops)


def _alike(one, other):
    return math.isclose(one, other, rel_tol=1e-5)  # XLA's counts are float32.


def _sides(text):
    """The shape of `f32[2,3]{1,0}`, tuple of int."""
    return tuple(int(side) for side in text[text.index("[") + 1 : text.index("]")].split(",") if side)


def _analyst():
    """(jaxlib's module of devices, its module of programs, its client for the CPU)."""
    try:
        from jaxlib import _jax, xla_client
    except ImportError as error:
        raise UsageError(f"--cost: expected jaxlib, got none ({error}); pip install 'mpl-tf[cost]'") from error
    # Programs have had a module of their own since 0.8 or so.
    apart = importlib.util.find_spec("jaxlib._hlo")
    programs = importlib.import_module("jaxlib._hlo") if apart else _jax
    return _jax, programs, xla_client.make_cpu_client()
