"""The comparison of a mesh with one device, as it is called without a flag; tests/devices/mesh has its numbers."""

import importlib
import json

import pytest
import tensorflow as tf

from mpl_tf.base.errors import UsageError
from tests.devices.mesh.test_mesh import check, finish, start
from tools._plan import estimate
from tools.studies import compiled, mesh


@pytest.mark.parametrize("study", [mesh, compiled])
def test_the_short_names_are_the_studies(study):
    name = study.__name__.rpartition(".")[2]
    assert importlib.import_module(f"tools.{name}").main is study.main


def test_the_default_network_can_be_split_over_the_default_mesh():
    def split(flags):
        with tf.Graph().as_default():
            estimate.check_strides(mesh.build(flags), flags.mesh)

    split(mesh.Flags())
    with pytest.raises(UsageError, match="cannot split images 64 pixels wide"):
        split(mesh.Flags(stages=7))


@pytest.mark.slow
def test_it_runs_to_the_end_without_a_flag():
    check(json.loads(finish(start("tools.mesh"))), cores=4)
