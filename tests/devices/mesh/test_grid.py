"""What a mesh refuses, before any device works."""

import dataclasses

import pytest

from mpl_tf import models
from mpl_tf.base.errors import UsageError
from mpl_tf.devices.cluster import Cluster
from mpl_tf.devices.mesh import grid
from mpl_tf.devices.mesh.grid import make_grid, mesh_size
from mpl_tf.devices.mesh.layers import namespace
from mpl_tf.settings import flags


class Cores:
    """As much of a Grid as laying a network out needs."""

    def __init__(self, cores):
        self.cores = cores


def refused(*arguments):
    with pytest.raises(UsageError) as error:
        flags.parse(["--dataset=digits_50", "--strategy=dtensor", "--mesh=replica:1,core:2", *arguments])
    return str(error.value)


@pytest.mark.parametrize("mesh", ["", "2,2", "replica:0,core:2", "core:2,replica:1", "replica:1,core:2,x:3"])
def test_a_mesh_that_does_not_read_so(mesh):
    with pytest.raises(UsageError, match="--mesh: expected replica:R,core:S"):
        mesh_size(mesh)


def test_the_size_of_a_mesh():
    assert mesh_size("replica:2,core:16") == (2, 16)


def test_a_mesh_of_another_number_of_devices():
    with pytest.raises(UsageError, match=r"--mesh: replica:2,core:4 asks for 2 x 4 devices, 8 a host, found 2"):
        make_grid("replica:2,core:4")


def test_replicas_may_lie_on_several_hosts_and_hosts_have_equal_shares(monkeypatch):
    asked = []
    monkeypatch.setattr(grid, "_start", lambda kind, count, cluster: asked.append(count))
    monkeypatch.setattr(grid.dtensor, "num_local_devices", lambda kind: 8)
    monkeypatch.setattr(grid.dtensor, "create_distributed_mesh", lambda dimensions, device_type: dimensions)
    monkeypatch.setattr(grid, "Grid", lambda mesh, remat: mesh)
    hosts = Cluster(tuple(f"host{number}:1" for number in range(256)), index=3)
    assert make_grid("replica:128,core:16", cluster=hosts) == [("replica", 128), ("core", 16)]
    assert asked == [8]
    with pytest.raises(UsageError, match="--mesh: replica:3,core:4 asks for 3 x 4 devices, which 256 hosts"):
        make_grid("replica:3,core:4", cluster=hosts)


@pytest.mark.parametrize(
    ("cores", "width", "expected"),
    [(3, 32, "32 pixels wide do not split into 3"), (8, 64, "tiles 1 columns wide before a stride of 2")],
)
def test_images_that_do_not_split(cores, width, expected):
    layers = namespace(Cores(cores))
    with pytest.raises(UsageError, match=f"--mesh: .*{expected}"):
        models.build("resnet_50", (32, width, 3), 10, layers=layers)


def test_a_network_without_a_namespace_of_layers():
    with pytest.raises(UsageError, match="--model: expected one of .*wide_resnet_28_2, .* got small_cnn"):
        models.build("small_cnn", (32, 32, 3), 10, layers=namespace(Cores(2)))


@pytest.mark.parametrize(
    ("flag", "expected"),
    [
        ("--method=meta_semi", "--method: expected one of supervised"),
        ("--batch_norm_groups=2", "--batch_norm_groups: expected 1"),
        ("--jit_compile", "--jit_compile: expected False"),
        ("--views=device", "--views: expected host with --strategy=dtensor, got device"),
        ("--mesh=4", "--mesh: expected replica:R,core:S"),
        ("--strategy=one", "--mesh: goes with --strategy=dtensor, got --strategy=one"),
    ],
)
def test_flags_that_do_not_go_with_a_mesh(flag, expected):
    assert refused(flag).startswith(expected)


def test_layers_compute_again_on_a_mesh_alone_and_blocks_anywhere():
    with pytest.raises(UsageError, match="--remat: layer goes with --strategy=dtensor, got --strategy=auto; give"):
        flags.parse(["--dataset=digits_50", "--remat=layer"])
    assert flags.parse(["--dataset=digits_50", "--remat=block"]).remat == "block"


def test_a_mesh_is_no_part_of_a_runs_identity():
    config = flags.parse(["--dataset=digits_50", "--strategy=dtensor", "--mesh=replica:1,core:2"])
    identity = {field.name: field.metadata["identity"] for field in dataclasses.fields(config)}
    assert not any(identity[name] for name in ("strategy", "mesh", "remat"))
