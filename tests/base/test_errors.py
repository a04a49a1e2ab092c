"""Exit statuses, what an exception says in one line, and the nearest name."""

import keras
import pytest
import tensorflow as tf

from mpl_tf.base import errors


def test_exit_statuses_are_those_that_the_readme_tells():
    kinds = (errors.RunError, errors.UsageError, errors.Interrupted)
    assert [kind.status for kind in kinds] == [1, 2, 75]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("one line", "one line"),
        ("the first\nthe second", "the first"),
        ("{{function_node __wrapped__Add_device_CPU:0}} shapes differ [Op:AddV2]", "shapes differ"),
        ("", ""),
        ("Graph execution error:", "Graph execution error:"),
        (
            "Graph execution error:\n\nDetected at node A defined at (most recent call last):\n"
            "<stack traces unavailable>\n2 root error(s) found.\n  (0) INTERNAL:  no room\n\t [[{{node A}}]]\n"
            "  (1) INTERNAL:  nor here",
            "(0) INTERNAL:  no room",
        ),
    ],
)
def test_a_reason_is_the_first_line_without_tensorflows_names(text, told):
    assert errors.reason(ValueError(text)) == told


def test_of_a_compiled_step_it_is_what_went_wrong_and_not_where():
    @tf.function
    def step(x):
        return tf.debugging.check_numerics(x, "the loss")

    model = keras.Sequential([keras.Input((1,)), keras.layers.Lambda(step)])
    model.compile(loss="mse", jit_compile=False)
    with pytest.raises(tf.errors.InvalidArgumentError) as raised:
        model.predict(tf.constant([[float("nan")]]), verbose=0)
    assert str(raised.value).startswith("Graph execution error:")
    assert errors.reason(raised.value) == "the loss : Tensor had NaN values"


def test_the_nearest_name_is_told_and_none_where_none_is_near():
    names = ["mean_teacher", "meta_semi", "mpl"]
    assert errors.did_you_mean("meta_semy", names) == "; did you mean meta_semi?"
    assert errors.did_you_mean("mu", ["mu_", "seed"], "--{}") == "; did you mean --mu_?"
    assert errors.did_you_mean("resnet", names) == ""
