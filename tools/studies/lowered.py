"""Which training steps XLA takes, of every method, form of the feedback, type of numbers and network, as trained.

    python -m tools.studies.lowered --networks=small_cnn --json=methods.json

A step is brought to XLA's own language (HLO), where an operation that it lacks, or lacks in a deterministic form, is
refused; no program is made of it and none is run, so this tells nothing of numbers (tools.studies.compiled does) nor of
what a TPU's compiler makes of it. Any flag of mpl_tf.main may follow, as --deterministic=true. Prints a line a step.
"""

import dataclasses
import itertools
import json
import sys

import numpy as np

from mpl_tf.base import quiet
from mpl_tf.base.errors import UsageError, reason
from mpl_tf.settings import catalogue
from mpl_tf.settings import flags as program_flags
from mpl_tf.settings.fields import flag, like

from .. import _command
from .compare import CLASSES

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
FEEDBACK = ("off", "taylor", "dot_product", "exact")
LABELED, UNLABELED, SIDE = 2, 4, 32  # Images of a batch, and their side where the network takes such.


@dataclasses.dataclass(frozen=True)
class Flags:
    """What is tried: all combinations of these."""

    json: str = like(_command.Figures, "json", "")
    methods: str = flag("methods, separated by commas; empty: all", "")
    networks: str = flag("networks of this program, separated by commas; empty: all", "")
    precisions: str = flag("types of numbers, separated by commas", ",".join(PRECISIONS))


COMMAND = _command.Command("lowered", __doc__, (Flags,), others=_command.Others.TRAINER)


def main(argv=None):
    """Try all; returns the exit status: 0 whatever XLA refuses."""
    return COMMAND.run(argv, _report)


def _report(values, arguments):
    own = [name for name, row in catalogue.NETWORKS.items() if not row.library]
    tried = combinations(
        _chosen("methods", values.methods, list(catalogue.METHODS)),
        _chosen("networks", values.networks, own),
        _chosen("precisions", values.precisions, PRECISIONS),
    )
    configs = [program_flags.parse([*_flags(one), *arguments]) for one in tried]
    quiet.import_tensorflow()
    found = []
    for one, config in zip(tried, configs, strict=True):
        found.append(one | {"refused": refusal(config)})
        print(" ".join(filter(None, one.values())), found[-1]["refused"] or "taken", sep=": ", flush=True)
    _command.write_json(values.json, {"arguments": arguments, "steps": found})
    print(json.dumps({"steps": len(found), "refused": sum(bool(step["refused"]) for step in found)}))


def combinations(methods, networks, precisions):
    """What is tried: list of dict of method, feedback ("" for methods that have none), network and precision."""
    return [
        {"method": method, "feedback": feedback, "network": network, "precision": precision}
        for network, method, precision in itertools.product(networks, methods, precisions)
        for feedback in (FEEDBACK if "feedback" in catalogue.METHODS[method].options else ("",))
    ]


def _chosen(name, text, known):
    """The names in a list with commas, all that are known if it is empty."""
    names = text.split(",") if text else list(known)
    wrong = [one for one in names if one not in known]
    if wrong:
        raise UsageError(f"--{name}: expected some of {', '.join(known)}, got {wrong[0]}")
    return names


def _flags(one):
    """The program's flags of a combination."""
    dataset = "cifar10_4k" if catalogue.NETWORKS[one["network"]].smallest else "two_moons"
    flags = [
        f"--dataset={dataset}",
        "--steps_per_execution=1",
        "--jit_compile",
        f"--method={one['method']}",
        f"--precision={one['precision']}",
    ]
    flags += [f"--model={one['network']}", f"--labeled_batch={LABELED}", f"--mu={UNLABELED // LABELED}"]
    return flags + ([f"--feedback={one['feedback']}"] if one["feedback"] else [])


def refusal(config):
    """What XLA says of the step of a configuration, as the trainer would have it; empty where it takes it."""
    import keras
    import tensorflow as tf

    from mpl_tf import methods
    from mpl_tf.devices import determinism

    smallest = catalogue.NETWORKS[config.model].smallest
    shape = (max(smallest, SIDE),) * 2 + (3,) if smallest else (2,)
    if determinism.wanted(config.deterministic, config.jit_compile):
        tf.config.experimental.enable_op_determinism()
    keras.utils.clear_session(free_memory=True)
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(config.precision)
    try:
        prior = [1 / CLASSES] * CLASSES
        method = methods.make(config, shape, CLASSES, num_unlabeled=UNLABELED, class_prior=prior)
        step = tf.function(method.train_step, jit_compile=True, autograph=False)
        step.experimental_get_compiler_ir(batch(method.batch_keys, shape))(stage="hlo")
    except (tf.errors.OpError, TypeError, ValueError) as error:
        return determinism.told_by_xla(error) or reason(error)
    finally:
        keras.config.set_dtype_policy("float32")
    return ""


def batch(keys, shape):
    """A batch of zeros with these parts, as data.pipeline makes it: dict of tensors."""
    import tensorflow as tf

    images = {key: np.zeros([LABELED if key.startswith("x_l") else UNLABELED, *shape], "float32") for key in keys}
    known = {
        "y_l": np.zeros([LABELED], "int32"),
        "i_l": np.zeros([LABELED], "int32"),
        "i_u": np.arange(UNLABELED, dtype="int32"),
        "q_u": np.full([UNLABELED, CLASSES], 1 / CLASSES, "float32"),
    }
    return {key: tf.constant(known.get(key, images[key])) for key in keys}


if __name__ == "__main__":
    sys.exit(main())
