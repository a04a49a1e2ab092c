"""The catalogue: each row against the class or the function behind it.

Covers: catalogue/__init__.py, catalogue/datasets.py, catalogue/methods.py, catalogue/networks.py, catalogue/rows.py
"""

import dataclasses
import inspect

import pytest

from mpl_tf.base.errors import UsageError
from mpl_tf.settings import catalogue
from mpl_tf.settings.catalogue import DATASETS, METHODS, NETWORKS
from mpl_tf.settings.catalogue.rows import table
from mpl_tf.settings.config import Config
from mpl_tf.step.method import Method

FIELDS = {field.name for field in dataclasses.fields(Config)}
ROOMS = {"methods": METHODS, "data": DATASETS, "models": NETWORKS}
EVERY = [(room, row) for room, rows in ROOMS.items() for row in rows.values()]


def arguments(function):
    """Names of a function's arguments that may be given by name, those of the classes it passes **kwargs on to too."""
    if not inspect.isclass(function):
        return set(inspect.signature(function).parameters)
    ours = [kind for kind in function.__mro__ if issubclass(kind, Method)]
    return {name for kind in ours for name in inspect.signature(kind.__init__).parameters}


@pytest.mark.parametrize(("room", "row"), EVERY, ids=lambda part: getattr(part, "name", part))
def test_a_row_has_a_line_of_help_and_its_object_in_the_room_of_its_kind(room, row):
    assert ROOMS[room][row.name] is row
    assert row.path.startswith(f"mpl_tf.{room}.") and callable(row.resolve())
    assert row.help and "\n" not in row.help and row.help[-1] not in ".:;"


def test_rows_are_frozen_and_of_different_names():
    with pytest.raises(dataclasses.FrozenInstanceError):
        METHODS["mpl"].mesh = False
    with pytest.raises(ValueError, match="mpl"):
        table(METHODS["mpl"], METHODS["mpl"])


@pytest.mark.parametrize("row", METHODS.values(), ids=lambda row: row.name)
def test_a_method_takes_the_flags_and_the_networks_of_its_row(row):
    kind = row.resolve()
    assert issubclass(kind, Method)
    assert set(row.options) <= FIELDS
    assert {*row.options, *row.networks, "ema_decay", "seed"} <= arguments(kind)
    assert ("teacher_optimizer" in inspect.signature(kind.compile).parameters) is row.two_optimizers


@pytest.mark.parametrize("row", NETWORKS.values(), ids=lambda row: row.name)
def test_a_network_takes_stochastic_depth_and_layers_if_its_row_says_residual(row):
    assert (arguments(row.resolve()) >= {"stochastic_depth", "layers"}) is row.residual


def test_a_fixed_teacher_is_trained_by_a_method_that_needs_none():
    taught = [row for row in METHODS.values() if row.fixed_teacher]
    assert [row.name for row in taught] == ["pseudo_labels", "noisy_student", "reduced_mpl"]
    assert {METHODS[row.fixed_teacher].fixed_teacher for row in taught} == {""}


def test_folders_are_flags_and_those_that_may_be_left_out_are_among_them():
    for row in DATASETS.values():
        assert set(row.optional) <= set(row.folders) <= FIELDS


@pytest.mark.parametrize(
    ("rows", "given", "end"),
    [
        (METHODS, "fixmach", "got fixmach; did you mean fixmatch?"),
        (METHODS, "xyz", "got xyz"),
        (NETWORKS, "wide_resnet_28_20", "got wide_resnet_28_20; did you mean wide_resnet_28_2?"),
        (DATASETS, "cifar10", "got cifar10; did you mean cifar10_4k?"),
        (DATASETS, "", "got nothing"),
        (DATASETS, None, "got nothing"),
    ],
)
def test_an_unknown_name_lists_all_and_tells_the_nearest(rows, given, end):
    with pytest.raises(UsageError) as caught:
        catalogue.find(rows, given, "flag")
    assert str(caught.value) == f"--flag: expected one of {', '.join(rows)}, {end}"


def test_a_known_name_gives_its_row():
    assert catalogue.find(METHODS, "uda", "method") is METHODS["uda"]
