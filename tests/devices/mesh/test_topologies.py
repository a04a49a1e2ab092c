"""Meshes on TPU slices, laid over the chips by DTensor itself: which host holds and reads what."""

import itertools

import numpy as np
import pytest
from tensorflow.dtensor.python import config, tpu_util
from tensorflow.python.framework.device_spec import DeviceSpecV2
from tensorflow.python.tpu.topology import Topology

from mpl_tf.devices.mesh.grid import CORE, REPLICA, Grid

# Slices: chips along x, y and z, cores a chip; a host has 2 x 2 x 1 chips. v4, v5p and v6e chips show one core.
SLICES = {
    "v3-8": (2, 2, 1, 2),
    "v3-32": (4, 4, 1, 2),
    "v5e-16": (4, 4, 1, 1),
    "v6e-32": (8, 4, 1, 1),
    "v4-128": (4, 4, 4, 1),
    "v3-2048": (32, 32, 1, 2),
}
# The replicas that the first host has devices of, and the hosts of a replica, by slice, replicas and cores.
MESHES = {
    ("v3-8", 2, 4): ([0, 1], 1),
    ("v3-8", 1, 8): ([0], 1),
    ("v3-32", 4, 8): ([0, 1], 2),
    ("v3-32", 8, 4): ([0, 2], 1),
    ("v3-32", 2, 16): ([0], 2),
    ("v3-32", 32, 1): ([0, 1, 2, 3, 8, 9, 10, 11], 1),
    ("v5e-16", 4, 4): ([0, 1], 2),
    ("v5e-16", 1, 16): ([0], 4),
    ("v6e-32", 8, 4): ([0, 2], 2),
    ("v6e-32", 4, 8): ([0, 1], 4),
    ("v4-128", 16, 4): ([0, 1], 2),
    ("v4-128", 4, 16): ([0], 4),
    ("v3-2048", 128, 16): ([0, 4], 4),
}
PAPER = pytest.param("v3-2048", 128, 16, marks=pytest.mark.slow)  # The largest run: 256 hosts, 6 seconds.


class Runtime:
    """As much of DTensor's device as laying out a mesh asks: places become numbers."""

    def tpu_core_locations_to_ids(self, places):
        return list(range(len(places)))

    def set_tpu_core_ids(self, mesh, numbers):
        pass


def hosts_of(bounds):
    """The places [x, y, z, core] of each host's devices, the hosts in the order x, y, z: int [hosts, devices, 4]."""
    x, y, z, cores = bounds
    corners = itertools.product(range(z), range(0, y, 2), range(0, x, 2))
    inside = list(itertools.product(range(2), range(2), range(cores)))
    return np.array([[[i + b, j + a, k, c] for a, b, c in inside] for k, j, i in corners])


def grids(monkeypatch, bounds, replicas, cores):
    """The Grid of each host of a slice."""
    places = hosts_of(bounds)
    count, local = places.shape[:2]
    monkeypatch.setattr(tpu_util, "_tpu_topology", Topology(mesh_shape=list(bounds), device_coordinates=places))
    monkeypatch.setattr(tpu_util, "_dtensor_device", Runtime())
    monkeypatch.setattr(config, "num_global_devices", lambda kind: count * local)
    for client in range(count):
        devices = [
            DeviceSpecV2(job="worker", replica=0, task=client, device_type="TPU", device_index=n) for n in range(local)
        ]
        monkeypatch.setattr(config, "local_devices", lambda kind, devices=devices: devices)
        monkeypatch.setattr(config, "client_id", lambda client=client: client)
        yield Grid(tpu_util.create_tpu_mesh([REPLICA, CORE], [replicas, cores], f"mesh{client}"))


@pytest.mark.parametrize(("slice_", "replicas", "cores"), [*list(MESHES)[:-1], PAPER])
def test_every_device_holds_the_columns_of_its_replicas_images(slice_, replicas, cores, monkeypatch):
    """Images whose pixels say which replica's they are, and which column."""
    met, spans, (first, span) = [], [0] * replicas, MESHES[slice_, replicas, cores]
    for client, grid in enumerate(grids(monkeypatch, SLICES[slice_], replicas, cores)):
        assert client > 0 or grid.own == first
        host = np.array([[[replica, column] for column in range(2 * cores)] for replica in grid.own])  # [own, W, 2]
        pieces = grid.pieces(host.reshape(len(grid.own), cores, 2, 2), REPLICA, CORE)
        for place, piece in zip(grid.mesh.local_device_locations(), pieces, strict=True):
            replica, core = place[REPLICA], place[CORE]
            assert piece.tolist() == [[[[replica, 2 * core], [replica, 2 * core + 1]]]]
            met.append((replica, core))
        for replica in grid.own:
            spans[replica] += 1
        # What lies over the cores alone, as weights do, and over the replicas alone, as labels do.
        assert [int(piece[0]) for piece in grid.pieces(np.arange(cores), CORE)] == [c for _, c in met[-len(pieces) :]]
        assert [int(p[0]) for p in grid.pieces(np.array(grid.own), REPLICA)] == [r for r, _ in met[-len(pieces) :]]
    assert sorted(met) == list(itertools.product(range(replicas), range(cores)))
    assert spans == [span] * replicas
