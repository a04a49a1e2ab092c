"""Whether the whole training step compiles under XLA, static shapes and all, and gives the numbers of the plain step.

    python -m tools.compiled --json=step.json --model=efficientnet_b0 --image_size=64 --labeled_batch=2 --mu=1

XLA on a CPU is the nearest to a TPU's compiler that a CPU offers. Any flag of mpl_tf.main may follow; the images are
random, so no data set is needed. Prints JSON: seconds of the first step either way, and the largest relative
difference of each logged quantity and of each part's weights after `--steps`.

    python -m tools.compiled --cost --method=uda --model=wide_resnet_28_2

runs nothing: it prints the operations and bytes of the compiled step by XLA's own count, beside the least that the
method's passes need by the shapes of its networks, and what passes between host and device in a loop of `--steps`.
"""

import dataclasses
import sys
import time

import numpy as np

from mpl_tf.base import quiet, versions
from mpl_tf.base.errors import UsageError
from mpl_tf.settings import flags as program_flags
from mpl_tf.settings.fields import flag, like

from .. import _command
from .compare import CLASSES, difference, flat, noise


@dataclasses.dataclass(frozen=True)
class Flags:
    """Flags of the comparison itself."""

    json: str = like(_command.Figures, "json", "")
    steps: int = flag("steps to compare; with --cost those of the loop", 2, unit="steps", low=1)
    cost: bool = flag("count what the step computes, instead of comparing", False)


COMMAND = _command.Command("compiled", __doc__, (Flags,), others=_command.Others.TRAINER)


def main(argv=None):
    """Compare; returns the exit status."""
    return COMMAND.run(argv, _report)


def _report(values, arguments):
    config = program_flags.parse(["--dataset=cifar10_4k", *arguments]).replace(jit_compile=True)
    if config.strategy not in ("auto", "one"):
        raise UsageError(
            f"--strategy: the step of one device is compiled here, got {config.strategy}; give --strategy=one"
        )
    quiet.import_tensorflow()
    import keras
    import tensorflow as tf

    from mpl_tf.devices import determinism

    # As the trainer would have it.
    if determinism.wanted(config.deterministic, config.jit_compile):
        tf.config.experimental.enable_op_determinism()
    keras.config.set_dtype_policy(config.precision)
    with determinism.told():
        found = _cost(config, values.steps) if values.cost else _compared(config, values.steps)
    _command.show_figures({"arguments": arguments} | found, values.json)


def _compared(config, steps):
    from mpl_tf import methods

    shape = (config.image_size, config.image_size, 3)
    one_batch = noise(np.random.default_rng(0), shape, config.labeled_batch, config.labeled_batch * config.mu)
    config = config.replace(steps_per_execution=1)
    return compare(lambda jit: methods.make(config.replace(jit_compile=jit), shape, CLASSES), one_batch, steps)


def _cost(config, steps):
    from .._cost import report

    about = versions.versions()["versions"]
    return report.of_config(config, steps) | {name: about[name] for name in ("python", "tensorflow", "keras")}


def compare(make, one_batch, steps):
    """Train from the same weights on the same batches with and without XLA.

    Args:
        make: function of a bool, whether XLA compiles, -> compiled Method of new networks.
        one_batch: dict of arrays, the batch of every step.
        steps: number of steps.
    Returns:
        dict: seconds_plain and seconds_compiled of the first step, tracing and compiling included; differences of each
        logged quantity and variables, of each part of the method's state: relative norms.
    """
    import keras
    import tensorflow as tf

    data = tf.data.Dataset.from_tensors(one_batch).repeat()
    results = []
    for jit in (False, True):
        keras.utils.set_random_seed(0)
        method = make(jit)
        started = time.perf_counter()
        logs = [method.fit(data, steps_per_epoch=1, verbose=0).history]
        seconds = time.perf_counter() - started
        logs += [method.fit(data, steps_per_epoch=1, verbose=0).history for _ in range(steps - 1)]
        state = {part: flat(v.numpy() for v in group) for part, group in method.state().items()}
        results.append((seconds, {name: [log[name][0] for log in logs] for name in logs[0]}, state))
    (plain, logs, state), (compiled, compiled_logs, compiled_state) = results
    return {
        "seconds_plain": round(plain, 1),
        "seconds_compiled": round(compiled, 1),
        "differences": {name: difference(logs[name], compiled_logs[name]) for name in logs},
        "variables": {part: difference(state[part], compiled_state[part]) for part in state},
    }


if __name__ == "__main__":
    sys.exit(main())
