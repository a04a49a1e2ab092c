"""Whether TensorFlow's operations give the same bits each time (--deterministic), and what XLA has no form of."""

import re

import tensorflow as tf

from mpl_tf.base.errors import explained
from mpl_tf.devices import distribute


def wanted(asked, jit_compile):
    """Whether a run asks TensorFlow for deterministic operations.

    Args:
        asked: --deterministic: "true", "false" or "auto".
        jit_compile: --jit_compile.
    """
    # XLA lacks deterministic forms of some gradients, as that of max-pooling, and refuses those; its programs for CPUs
    # are deterministic anyway, and a TPU runs nothing else.
    compiled = (jit_compile and distribute.has_xla()) or bool(tf.config.list_physical_devices("TPU"))
    return asked == "true" or (asked == "auto" and not compiled)


def told():
    """A context: inside it, a step that XLA refuses ends the run in a line that says what is missing and what to do (a
    RunError)."""
    return explained((tf.errors.UnimplementedError, tf.errors.InvalidArgumentError), _line)


def _line(error):
    missing = told_by_xla(error)
    if "determinis" in missing:
        return (
            f"--deterministic: an operation has no deterministic form under XLA ({missing}); give "
            "--deterministic=false, from Python in a process without an earlier deterministic run"
        )
    return missing and (
        f"--jit_compile: {missing}; give --nojit_compile, or, on a TPU too, --precision=float32 or another --model "
        "or --feedback"
    )


def told_by_xla(error):
    """What XLA lacks for a step, in a few words, from the exception that it ended in; "" where it is another one."""
    lacking = re.search(r"unsupported operations .*? on (\w+): (\w+)", str(error), re.DOTALL)
    if lacking:
        return f"XLA ({lacking[1]}) has no {lacking[2]} for these types of numbers"
    lines = (line.strip() for line in str(error).splitlines() if "determinis" in line)
    return next(lines, "").removeprefix("Failed getting HLO text: '")
