"""The planner: counts by hand, published operations of known networks, and the bytes that a real mesh holds."""

import json
import types

import keras
import pytest
import tensorflow as tf

from tests.devices.mesh.test_mesh import finish, start
from tools import plan
from tools._plan import estimate
from tools.studies import mesh

ARGUMENTS = ["--model=efficientnet_b0", "--mesh=replica:4,core:2", "--image_size=64", "--labeled_batch=8", "--mu=3"]


def small():
    """Images of 8 x 8: a convolution, a norm, a depthwise convolution, a gate, a classifier."""
    x = inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, strides=2, padding="same", use_bias=False)(x)  # 4 x 4 x 4
    y = keras.layers.BatchNormalization()(x)
    y = keras.layers.DepthwiseConv2D(5, padding="same", use_bias=False)(y)
    y = keras.layers.Conv2D(4, 1)(y)
    x = keras.layers.Add()([x, y])
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(10)(x))


def test_a_small_network_counted_by_hand():
    found = estimate.describe(small())
    assert found.trainable == ((3, 3, 3, 4), (4,), (4,), (5, 5, 4, 1), (1, 1, 4, 4), (4,), (4, 10), (10,))
    assert found.fixed == ((4,), (4,))
    assert found.count == 108 + 8 + 100 + 16 + 4 + 40 + 10
    # Read again by the gradients: the image, the norm's input, those of the two next convolutions, the classifier's.
    assert found.kept == 192 + 64 + 64 + 64 + 4
    assert found.windows == 9 * 3 * 16 + 25 * 4 * 16
    assert found.flops == 2 * (108 * 16 + 100 * 16 + 16 * 16 + 40)
    assert found.largest == 108


def test_bytes_of_a_core_are_those_of_its_parts_rounded_up():
    assert estimate.bytes_per_core([(3, 5), (16,), ()], 4) == 4 * (4 + 4 + 1)
    assert estimate.bytes_per_core([(3, 5), (16,), ()], 1) == 4 * (15 + 16 + 1)


@pytest.mark.parametrize(
    ("name", "weights", "multiplications"),
    [("efficientnet_b0", 5.29e6, 0.39e9), ("resnet_50", 25.56e6, 4.09e9)],  # Tan and Le 2019, Table 2; He et al. 2016.
)
def test_known_networks_have_their_published_weights_and_operations(name, weights, multiplications):
    found = estimate.build(name, 224, 1000, "replica:1,core:1")
    assert found.count == pytest.approx(weights, rel=0.01)
    assert found.flops / 2 == pytest.approx(multiplications, rel=0.015)


@pytest.mark.parametrize(
    ("method", "feedback", "teacher_passes", "expected"),
    [
        ("supervised", "taylor", "joint", (4, 12)),
        ("uda", "taylor", "joint", (4 + 2 * 12, 3 * 28)),
        ("uda", "taylor", "split", (4 + 12, 3 * 16 + 12)),
        ("mpl", "off", "joint", (28 + 12, 3 * 28 + 3 * 12)),
        ("mpl", "taylor", "joint", (28 + 12, 3 * 28 + 3 * 12 + 2 * 4)),
        ("mpl", "dot_product", "split", (16 + 12, 3 * 16 + 12 + 3 * 12 + 3 * 4)),
        ("mpl", "exact", "joint", (28 + 12, 3 * 28 + 3 * 12 + 3 * 4 + 3 * 12)),
    ],
)
def test_passes_of_a_step(method, feedback, teacher_passes, expected):
    assert estimate.passes(method, feedback, teacher_passes, labeled=4, mu=3) == expected


def test_weights_slots_and_averages_are_the_bytes_that_a_mesh_holds():
    kind, replicas, cores, width = "efficientnet", 2, 2, 0.25
    values = types.SimpleNamespace(network=kind, width=width, stages=1, repeats=1, height=32, columns=64)
    with tf.Graph().as_default():
        network = estimate.describe(mesh.build(values))
    parts = estimate.memory(network, cores, "mpl", held=1, size=4, average=True, remat=False)
    planned = parts["weights"] + parts["slots"] + parts["average"]
    # A device also holds the step (8 bytes) and the rate (4) of each of two optimizers.
    arguments = [f"--mesh=replica:{replicas},core:{cores}", f"--network={kind}", f"--width={width}"]
    held = json.loads(finish(start("tools.studies.mesh", *arguments, "--stages=1", "--repeats=1", "--steps=0")))[
        "bytes"
    ]
    assert held["device"] == planned + 2 * 12


def test_the_command_prints_and_writes_its_figures(tmp_path, capsys):
    assert plan.main([*ARGUMENTS, f"--json={tmp_path / 'plan.json'}", "--core_memory=0.5", "--train_steps=1000"]) == 0
    report = json.loads((tmp_path / "plan.json").read_text())
    network = estimate.build("efficientnet_b0", 64, 1000, "replica:4,core:2")
    assert report["images_held"] == 2 * (1 + 2 * 3) + 2 * 3
    kept, remat = report["kept"], report["remat"]
    assert kept["flops"] == network.flops * (3 * 14 + 3 * 6 + 2 * 2) * 4
    assert kept["seconds_per_step"] == pytest.approx(kept["flops"] / (8 * 6.15e13 * 0.3))
    assert kept["bytes"]["activations"] == remat["bytes"]["activations"] == 2 * 20 * -(-network.kept // 2)
    assert remat["bytes"]["windows of convolutions"] == 0
    assert kept["total"] == sum(kept["bytes"].values()) > remat["total"]
    assert (kept["fits"], remat["fits"]) == (kept["total"] <= 2**29, remat["total"] <= 2**29)
    printed = capsys.readouterr().out
    assert "efficientnet_b0: 5.3 M weights; images 64 x 64 over 2 cores; 2 labeled images a replica of 4" in printed
    assert "days for 1,000 steps" in printed


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--mesh=2x2"], "--mesh: expected replica:R,core:S"),
        (["--mesh=replica:3,core:2"], "--labeled_batch: expected a multiple of 3 replicas, got 8"),
        (["--mesh=replica:4,core:4"], "--mesh: replica:4,core:4 cannot split images 64 pixels wide"),
        (["--model=efficientnet_b9"], "--model: expected one of"),
        (["--utilisation=2"], "utilisation"),
        (["efficientnet_b0"], "expected flags only"),
    ],
)
def test_bad_input_ends_with_one_line(arguments, told, capsys):
    assert plan.main([*ARGUMENTS, *arguments]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("plan: error: ")
    assert told in line


def test_exact_feedback_has_no_column_with_remat(capsys):
    assert plan.main([*ARGUMENTS, "--feedback=exact"]) == 0
    assert "with --remat" not in capsys.readouterr().out
