"""On meshes of CPU devices, each in a process of its own: layers, whole steps, checkpoints and the program.

Covers: layers.py, tiles.py, variables.py
"""

import json
import os
import signal
import socket
import subprocess
import sys

import numpy as np
import pytest

from mpl_tf import main
from mpl_tf.models import wide_resnet
from tests.run.test_resume import weights

COMMON = [
    "--dataset=digits_50",
    "--model=wide_resnet_28_2",
    "--train_steps=4",
    "--steps_per_epoch=2",
    "--steps_per_execution=1",
    "--labeled_batch=4",
    "--mu=1",
    "--dropout=0",
    "--finetune_steps=0",
]


def start(module, *arguments, **environment):
    """A program of this project in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    """Its output, once it has ended well."""
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err[-2000:]
    return out


# ---- Layers ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_each_layer_has_the_output_and_the_gradients_of_the_one_it_stands_for():
    layers = json.loads(finish(start("tests.devices.mesh.layers_on_mesh", "replica:2,core:2")).splitlines()[-1])
    assert len(layers) == 13
    for name, differences in layers.items():
        assert max(differences) < 2e-6, name


# ---- Whole steps ----------------------------------------------------------------------------------------------------


def compare(*arguments):
    """What tools.studies.mesh says of a network of one stage."""
    return json.loads(finish(start("tools.studies.mesh", "--width=0.25", "--stages=1", "--steps=5", *arguments)))


def check(result, cores):
    """Five steps of MPL are those of one device; a device holds its part of weights, slots and averages."""
    assert {"loss", "student_loss", "h", "norm_feedback"} <= set(result["differences"])
    assert max(result["differences"].values()) < 1e-4
    assert set(result["variables"]) >= {"teacher", "student", "student_optimizer", "average"}
    assert max(result["variables"].values()) < 1e-4
    assert result["bytes"]["device"] * cores == pytest.approx(result["bytes"]["whole"], rel=0.02)


@pytest.mark.slow
def test_an_efficientnet_trains_as_on_one_device_and_its_checkpoints_move_between_meshes():
    result = compare("--mesh=replica:1,core:4", "--remat=layer", "--exchange=replica:2,core:2")
    check(result, cores=4)
    assert result["exchanged"] == {"mesh_to_other": True, "other_to_one": True, "one_to_mesh": True}


@pytest.mark.slow
def test_a_resnet_trains_as_on_one_device_by_a_second_derivative():
    mesh = ("--mesh=replica:2,core:2", "--network=resnet")
    clipped = ("--feedback=exact", "--clip_norm=0.1")  # The derivative goes through the factor of clipping.
    result = compare(*mesh, "--width=0.125", "--repeats=1", *clipped, "--balance_weight=1")
    assert {"balance_loss", "norm_balance"} <= set(result["differences"])
    check(result, cores=2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cores", "arguments"),
    [
        (4, ("--mesh=replica:1,core:4", "--steps=3")),
        (
            2,
            ("--mesh=replica:2,core:2", "--network=resnet", "--width=0.125", "--repeats=1", "--steps=3")
            + ("--feedback=exact", "--clip_norm=0.1"),
        ),
    ],
    ids=["1x4", "2x2 exact"],
)
def test_blocks_are_computed_again_as_on_one_device_that_keeps_all(cores, arguments):
    check(compare(*arguments, "--remat=block"), cores)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cores", "arguments"),
    [
        (4, ("--mesh=replica:1,core:4", "--steps=3")),
        (
            2,
            ("--mesh=replica:2,core:2", "--network=resnet", "--width=0.125", "--repeats=1", "--steps=2")
            + ("--feedback=exact", "--clip_norm=0.1"),
        ),
    ],
    ids=["1x4", "2x2 exact"],
)
def test_parts_are_those_of_one_device_that_cuts_its_batches_alike(cores, arguments):
    check(compare(*arguments, "--accumulate=2"), cores)


@pytest.mark.slow
def test_bfloat16_on_a_mesh_is_near_that_of_one_device():
    result = compare("--mesh=replica:2,core:2", "--method=supervised", "--precision=mixed_bfloat16", "--rounding")
    assert 0 < result["differences"]["loss"] < 0.02
    assert result["variables"]["network"] < 0.02
    assert 0 < result["rounding"]["network"] < 0.02  # One device with itself, its weights moved by 1e-7.


# ---- The program ----------------------------------------------------------------------------------------------------


def train(folder, strategy, *arguments, kill_at=0, **environment):
    """The program with that strategy."""
    flags = [*COMMON, f"--workdir={folder}", f"--strategy={strategy}", *arguments]
    return start("tests.devices.mesh.train_on_mesh", str(kill_at), *flags, **environment)


@pytest.mark.slow
def test_a_run_killed_on_a_mesh_goes_on_there_or_on_one_device(tmp_path, monkeypatch):
    """Validated on the way; the best step, whichever it is, is restored to where its variables lie."""
    method = ("--method=supervised", "--validate_on=held_out", "--keep=best")
    mesh = ("dtensor", *method, "--mesh=replica:1,core:2")
    killed = train(tmp_path / "run", *mesh, kill_at=2)
    killed.communicate(timeout=300)
    assert killed.returncode == -signal.SIGKILL
    subprocess.run(["cp", "-r", tmp_path / "run", tmp_path / "other"], check=True)
    on_mesh = train(tmp_path / "run", *mesh)
    monkeypatch.setattr(wide_resnet, "BLOCKS", 1)
    for folder in ("whole", "other"):
        assert main.main([*COMMON, *method, "--strategy=one", f"--workdir={tmp_path / folder}"]) == 0
    finish(on_mesh)
    expected = weights(tmp_path / "whole")
    for folder in ("run", "other"):
        assert np.linalg.norm(weights(tmp_path / folder) - expected) < 1e-4 * np.linalg.norm(expected)
        found = json.loads((tmp_path / folder / "results.json").read_text())
        assert found["test"]["n"] == 449 and found["best_val_accuracy"] == found["validation"]["top1"]


def train_on_hosts(count, folder, mesh, kill_at=0):
    """The program on that many hosts of a mesh, each a process; with `kill_at` the first is killed there."""
    ports = []
    for _ in range(count):
        with socket.socket() as sock:
            sock.bind(("localhost", 0))
            ports.append(sock.getsockname()[1])
    workers = [f"localhost:{port}" for port in sorted(ports)]
    return [
        train(
            folder,
            "dtensor",
            "--method=supervised",
            f"--mesh={mesh}",
            kill_at=0 if index else kill_at,
            TF_CONFIG=json.dumps({"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}),
        )
        for index in range(count)
    ]


@pytest.mark.slow
def test_four_hosts_train_as_one_each_replica_on_two_of_them(tmp_path):
    for host in train_on_hosts(4, tmp_path / "four", "replica:2,core:2"):
        finish(host)
    finish(train(tmp_path / "one", "dtensor", "--method=supervised", "--mesh=replica:2,core:2"))
    assert np.allclose(weights(tmp_path / "four"), weights(tmp_path / "one"), rtol=1e-5, atol=1e-7)


@pytest.mark.slow
def test_a_replica_on_two_hosts_killed_and_started_again_ends_with_the_same_bits(tmp_path):
    mesh = "replica:1,core:2"
    killed, other = train_on_hosts(2, tmp_path / "again", mesh, kill_at=2)
    killed.communicate(timeout=300)
    assert killed.returncode == -signal.SIGKILL
    other.kill()  # It would find out by itself, after a while.
    other.communicate(timeout=300)
    for folder in ("again", "whole"):
        for host in train_on_hosts(2, tmp_path / folder, mesh):
            finish(host)
    assert np.array_equal(weights(tmp_path / "again"), weights(tmp_path / "whole"))
