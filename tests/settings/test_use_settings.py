"""Flags of what is done with a trained network: one line for what does not go.

Covers: use_checks.py
"""

import pytest

from mpl_tf.base.errors import UsageError
from mpl_tf.settings import config_json, flags


@pytest.fixture
def run(tmp_path, make_config):
    """A folder with the config.json of a run."""
    (tmp_path / "config.json").write_text(config_json.to_json(make_config(workdir=tmp_path)))
    return tmp_path


PREDICT = ["--mode=predict", "--images=."]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([*PREDICT, "--top_k=0"], "--top_k: expected at least 1, got 0"),
        ([*PREDICT, "--top_k=two"], "--top_k"),
        ([*PREDICT, "--all_probabilities=some"], "--all_probabilities"),
        (
            ["--mode=predict"],
            "--images: expected a folder of images, an image or a CSV file of their paths, got nothing",
        ),
        (
            ["--mode=predict", "--images=gone.csv"],
            "--images: expected a folder of images, an image or a CSV file of their paths, found no gone.csv",
        ),
    ],
)
def test_a_refusal_is_one_line(run, arguments, told):
    with pytest.raises(UsageError) as caught:
        flags.parse([*arguments, f"--workdir={run}"])
    assert told in str(caught.value) and "\n" not in str(caught.value)


def test_what_is_shown_makes_no_other_run(run, make_config):
    config = flags.parse([*PREDICT, f"--workdir={run}", "--top_k=3", "--all_probabilities"])
    assert (config.top_k, config.all_probabilities) == (3, True)
    assert config_json.differences(config, config_json.from_json(run / "config.json")) == []
