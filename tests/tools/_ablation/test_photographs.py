"""The studies of photographs compare like with like, and what is reported is scored on the test set alone."""

import pytest

from mpl_tf.settings import flags
from tools._ablation import photographs
from tools._ablation.rows import CONTROL, Network


@pytest.fixture(name="parsed")
def fixture_parsed(tmp_path):
    """Function that gives the Config of a row's flags."""
    (tmp_path / "weights.npz").touch()
    given = ["--dataset=cifar10_4k", f"--weights={tmp_path}/weights.npz", "--num_labels=40"]
    return lambda row: flags.parse([*given, *(flag for flag in row if not flag.startswith(CONTROL))])


@pytest.mark.parametrize("labels", photographs.LABELS)
def test_a_row_and_its_reference_differ_in_what_is_asked_alone(labels, parsed):
    rows, references = photographs.methods(labels), photographs.REFERENCES[f"photographs_{labels}"]
    configs = {name: parsed(row) for name, row in rows.items() if not isinstance(row, Network)}
    for name, config in configs.items():
        other = configs[references[name]]
        assert (config.num_labels, config.scored_on, config.train_steps) == (labels, "test", other.train_steps)
        assert (config.weight_decay, config.student_learning_rate) == (0.1, other.student_learning_rate)
        if name.startswith(("taylor", "exact")):
            assert other.feedback == "off"
            assert (config.balance_weight, config.pseudo_labels) == (other.balance_weight, other.pseudo_labels)
            assert (config.uda_weight, config.finetune_learning_rate) == (
                other.uda_weight,
                other.finetune_learning_rate,
            )
    assert configs["off, balance"].balance_weight == configs["uda, balance"].balance_weight > 0
    assert configs["off"].uda_weight == configs["uda"].uda_weight > 0


@pytest.mark.parametrize("labels", photographs.LABELS)
def test_networks_are_compared_with_networks_of_the_same_role(labels):
    rows, references = photographs.methods(labels), photographs.REFERENCES[f"photographs_{labels}"]
    for name, row in rows.items():
        if isinstance(row, Network):
            other = rows[references[name]]
            alike = (
                other.role == row.role
                if isinstance(other, Network)
                else references[name] in (row.of, "uda", "uda, balance")
            )
            assert alike, name


def test_settings_are_chosen_on_validation_images(parsed):
    grids = [photographs.RATES, photographs.UDA_GRID, *(photographs.feedback_grid(n) for n in photographs.LABELS)]
    assert {parsed(row).scored_on for grid in grids for row in grid.values()} == {"validation"}


def test_the_deciding_rows_are_those_of_the_table():
    deciding = photographs.STUDIES["photographs_deciding"]
    assert list(deciding) == ["exact, balance", "off, balance", "uda, balance"]
    assert all(row == photographs.methods(40)[name] for name, row in deciding.items())
