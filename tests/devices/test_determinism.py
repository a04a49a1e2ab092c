"""Who gets deterministic operations, and what XLA says where it has none."""

import subprocess
import sys

import pytest
import tensorflow as tf

from mpl_tf.base.errors import RunError
from mpl_tf.devices import determinism, distribute
from tests.tools.studies.test_compiled import without_determinism  # noqa: F401  A fixture.


@pytest.mark.parametrize(
    ("asked", "jit_compile", "xla", "tpus", "expected"),
    [
        ("auto", False, True, [], True),
        ("auto", True, True, [], False),
        ("auto", True, False, [], True),  # Asked for XLA where there is none.
        ("auto", False, True, ["TPU:0"], False),
        ("true", True, True, ["TPU:0"], True),
        ("false", False, True, [], False),
    ],
)
def test_who_is_deterministic(asked, jit_compile, xla, tpus, expected, monkeypatch):
    monkeypatch.setattr(distribute, "has_xla", lambda: xla)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: tpus)
    assert determinism.wanted(asked, jit_compile) is expected


def test_another_error_stays_what_it_is():
    with pytest.raises(tf.errors.UnimplementedError), determinism.told():
        raise tf.errors.UnimplementedError(None, None, "no such kernel")


def test_an_operation_that_xla_lacks_ends_in_a_line():
    """The second derivative of max-pooling, as exact feedback has it, in bfloat16."""

    @tf.function(jit_compile=True)
    def second(x):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                y = tf.reduce_sum(tf.nn.max_pool2d(x, 2, 2, "SAME") ** 2)
            first = tf.reduce_sum(inner.gradient(y, x) ** 2)
        return outer.gradient(first, x)

    line = (
        r"^--jit_compile: XLA \(XLA_CPU_JIT\) has no MaxPoolGradGrad for these types of numbers; give --nojit_compile"
    )
    with pytest.raises(RunError, match=line), determinism.told():
        second(tf.zeros([1, 4, 4, 1], tf.bfloat16))


@pytest.mark.slow
@pytest.mark.parametrize(("asked", "status"), [("auto", 0), ("true", 1)])
def test_max_pooling_under_xla(asked, status, tmp_path):
    """small_cnn pools; determinism holds for a process, so each has its own."""
    flags = ["--dataset=digits_50", "--method=supervised", "--train_steps=2", "--steps_per_epoch=2", "--jit_compile"]
    flags += ["--finetune_steps=0", "--steps_per_execution=1", f"--deterministic={asked}", f"--workdir={tmp_path}"]
    ended = subprocess.run([sys.executable, "-m", "mpl_tf.main", *flags], check=False, capture_output=True, text=True)
    assert ended.returncode == status, ended.stderr
    if status:
        line = ended.stderr.splitlines()[-1]
        assert line.startswith("mpl_tf: error: --deterministic: an operation has no deterministic form under XLA (")
        assert "pool" in line.lower()
