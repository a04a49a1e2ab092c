"""Exit statuses, what an exception says in one line, and the nearest name."""

import pytest

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
    ],
)
def test_a_reason_is_the_first_line_without_tensorflows_names(text, told):
    assert errors.reason(ValueError(text)) == told


def test_the_nearest_name_is_told_and_none_where_none_is_near():
    names = ["mean_teacher", "meta_semi", "mpl"]
    assert errors.did_you_mean("meta_semy", names) == "; did you mean meta_semi?"
    assert errors.did_you_mean("mu", ["mu_", "seed"], "--{}") == "; did you mean --mu_?"
    assert errors.did_you_mean("resnet", names) == ""
