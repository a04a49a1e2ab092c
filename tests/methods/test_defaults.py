"""A notebook trains what the program trains: constructors and compile() take by default what the flagfiles say."""

import inspect

import keras
import pytest

from mpl_tf.settings import flags
from mpl_tf.settings.catalogue import METHODS
from mpl_tf.settings.config import Config
from tests import tiny


def flag_values(name):
    """What flags/defaults.flags and the method's flagfile over it say: dict of flag name to value."""
    files = [flags.recipes() / f"{part}.flags" for part in ("defaults", f"method_{name}")]
    return flags.read([f"--flagfile={path}" for path in files if path.exists()], Config)[0]


def default(kind, function, option):
    """The default of an argument of a class's function; of the classes that pass it on, the one that names it."""
    for one in kind.__mro__:
        parameters = inspect.signature(vars(one)[function]).parameters if function in vars(one) else {}
        if option in parameters:
            return parameters[option].default
    raise LookupError(f"{kind.__name__}.{function} has no {option}")


def made(name, **options):
    """The method with its constructor's defaults, and some options, on tiny networks."""
    row = METHODS[name]
    keras.utils.set_random_seed(0)
    kind = row.resolve()
    networks = {role: tiny.network(tiny.SEEDS[role]) for role in row.networks}
    return kind(**networks, **tiny.told(kind), **options)


def settings(method):
    """What a method has taken: its plain attributes and its objective's, its seed, and whether it has a baseline."""
    held = vars(method) | (vars(method.objective) if hasattr(method, "objective") else {})
    # Keras numbers its models by their names, and keeps its own state behind underscores.
    plain = {
        key: one
        for key, one in held.items()
        if isinstance(one, str | int | float) and key != "name" and not key.startswith("_")
    }
    return plain | {"seed": int(method.seed), "baseline": getattr(method, "baseline", None) is not None}


@pytest.mark.parametrize("name", METHODS)
def test_constructors_take_the_flags_values(name):
    row, values = METHODS[name], flag_values(name)
    asked = {option: values[option] for option in (*row.options, "ema_decay", "seed")}
    assert {option: default(row.resolve(), "__init__", option) for option in asked} == asked
    assert settings(made(name)) == settings(made(name, **asked))


@pytest.mark.parametrize("name", METHODS)
def test_compile_takes_the_flags_values(name):
    """The rate is the base rate: without the scaling by the batch, warm-up and cosine of a run."""
    row, values = METHODS[name], flag_values(name)
    method = made(name)
    method.compile()
    for role, learner in method.learners().items():
        for option in ("weight_decay", "clip_norm", "accumulate", "remat"):
            assert getattr(learner, option) == values[option], option
        rate = "student_learning_rate" if row.two_optimizers and role == "student" else "teacher_learning_rate"
        assert float(learner.optimizer.learning_rate) == pytest.approx(values[rate])
        assert learner.optimizer.momentum == values["momentum"]
        assert learner.optimizer.nesterov == (values["momentum"] > 0)
    for option in ("steps_per_execution", "jit_compile"):
        assert getattr(method, option) == values[option], option
