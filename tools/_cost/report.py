"""What a step costs: XLA's count of the compiled program beside the least that the method asks for."""

import tensorflow as tf

from mpl_tf.base.errors import RunError, UsageError
from mpl_tf.devices import determinism, distribute

from .._benchmark import measure
from . import hlo, least, loop
from .passes import passes


def of_config(config, steps):
    """The cost of a configuration's step, as the trainer would have XLA compile it on one device.

    Args:
        config: Config, jit_compile on.
        steps: of the loop that is looked at, int >= 1.
    Returns:
        dict, see `of_method`.
    Raises:
        UsageError: a batch in parts, whose loop XLA's analysis counts once; a TensorFlow without XLA for the machine's
            own processor; see also hlo.Program and least.layers.
        RunError: see `programs_of`.
    """
    if config.accumulate > 1:
        raise UsageError(f"--accumulate: expected 1 with --cost, which counts a loop once, got {config.accumulate}")
    if not distribute.has_xla():
        raise UsageError("--cost: expected a TensorFlow with XLA for the machine's own processor; install tensorflow")
    unlabeled = config.labeled_batch * config.mu
    dataset = measure.stand_in(config, examples=max(unlabeled, measure.OWN_CLASSES))
    method, batches = measure.prepare(config.replace(steps_per_execution=steps), dataset)
    return of_method(method, batches.element_spec, config.method, config.labeled_batch, unlabeled)


def of_method(method, spec, name, labeled, unlabeled):
    """The cost of a compiled Method's step.

    Args:
        method: Method, compiled with jit_compile and the steps of the loop.
        spec: dict of tf.TensorSpec, of its batches.
        name: of the method, in the catalogue.
        labeled, unlabeled: images of a step.
    Returns:
        dict. shape: of an image. flops, bytes: of the whole compiled program. products: operations of its convolutions
        and matrix products; widened: of those, what XLA for CPUs alone adds (hlo.widened). least_flops, least_bytes:
        least.of_step, of passes. ratio: of products without those widened to least_flops. Of a call of fit()'s loop:
        steps, programs that a step calls, host_transfers, and outside: operations on the host between the steps.
    Raises:
        RunError: see `programs_of`.
    """
    given, compiled = programs_of(method, spec)
    products = sum(product.flops for product in compiled.products())
    widened = hlo.widened(given.products(), compiled.products())

    asked = passes(name, method, labeled, unlabeled)
    networks = {"student": method.student_network, "average": method.averaged}
    networks["teacher"] = getattr(method, "teacher_network", None)
    flops, moved = least.of_step(asked, {role: networks[role] for role in {one.role for one in asked}})

    # An operation of the host is taken for one of each step, wherever in the call it is.
    programs, outside = loop.around(method, spec)
    return {
        "shape": list(method.student_network.input_shape[1:]),
        "flops": compiled.flops,
        "bytes": compiled.bytes,
        "products": products,
        "widened": widened,
        "least_flops": flops,
        "least_bytes": moved,
        "ratio": (products - widened) / flops,
        "passes": [f"{one.role}: {one.kind} of {one.images}" for one in asked],
        "steps": method.steps_per_execution,
        "programs": programs,
        "host_transfers": method.steps_per_execution * (compiled.transfers + len(outside)),
        "outside": outside,
    }


def programs_of(method, spec):
    """The step as XLA is given it and as it compiles it, two hlo.Program; arguments as in `of_method`.

    Raises:
        RunError: XLA has no form of an operation.
    """

    @tf.function(jit_compile=True, autograph=False)
    def step(*parts):
        return method.train_step(dict(zip(spec, parts, strict=True)))

    # From shapes alone, which TensorFlow takes where they are the arguments themselves.
    try:
        text = step.experimental_get_compiler_ir(*spec.values())
        return [hlo.Program(text(stage=stage)) for stage in ("hlo", "optimized_hlo")]
    except (tf.errors.OpError, ValueError) as error:
        missing = determinism.told_by_xla(error)
        if not missing:
            raise
        raise RunError(f"--cost: XLA refuses the step ({missing})") from error
