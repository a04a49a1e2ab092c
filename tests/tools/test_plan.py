"""The planner: counts by hand, published operations of known networks, and the bytes that a real mesh holds."""

import dataclasses
import json
import types

import keras
import pytest
import tensorflow as tf

from mpl_tf.models.pieces import graph_nodes
from tests.devices.mesh.test_mesh import finish, start
from tools import plan
from tools._plan import activations, backward, estimate, machines
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


def test_a_relu_keeps_what_it_gives_and_a_swish_what_it_is_given():
    def kept(activation):
        x = inputs = keras.Input((8, 8, 3))
        x = keras.layers.Activation(activation)(keras.layers.BatchNormalization()(x))
        return estimate.described(keras.Model(inputs, keras.layers.Conv2D(4, 1)(x))).kept

    assert kept("relu") == 192 + 192
    assert kept("swish") == 192 + 192 + 192


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
    [  # The last pass's images, the student's, those differentiated twice, those given; passes' worth of operations.
        ("supervised", "taylor", "joint", (4, 0, 0, 4, 12)),
        ("uda", "taylor", "joint", (4 + 2 * 12, 0, 0, 28, 3 * 28)),
        ("uda", "taylor", "split", (4 + 12, 0, 0, 28, 3 * 16 + 12)),
        ("mpl", "off", "joint", (28, 12, 0, 28, 3 * 28 + 3 * 12)),
        ("mpl", "taylor", "joint", (28, 12, 0, 28, 3 * 28 + 3 * 12 + 2 * 4)),
        ("mpl", "dot_product", "split", (16, 12, 0, 28, 3 * 16 + 12 + 3 * 12 + 3 * 4)),
        ("mpl", "exact", "joint", (28, 12, 12, 28, 3 * 28 + 3 * 12 + 3 * 4 + 3 * 12)),
    ],
)
def test_passes_of_a_step(method, feedback, teacher_passes, expected):
    found = estimate.passes(method, feedback, teacher_passes, labeled=4, mu=3)
    assert dataclasses.astuple(found) == expected


def test_bytes_of_an_image_by_hand():
    """Of `small`: 388 elements kept, 2,032 in windows, 1,600 of them of the depthwise convolution.

    Of 64 elements each: at the sum its gradient; at the pointwise convolution that and another, which the depthwise
    one's then takes the place of, beside the image, the norm's input and its own: 192 + 2 * 64, + 3 * 64 there.
    """
    network = estimate.describe(small())
    assert network.first == 192
    assert network.most.whole == 192 + 3 * 64 + 2 * 64  # At the pointwise convolution: all but the classifier's 4.
    assert network.most.kept == 192 + 2 * 64 + 3 * 64 + 2032 + 1600  # At the depthwise convolution.
    assert network.most.made == 192 + 2 * 64 + 3 * 64 + 2 * 1600
    none, layer, block = (activations.of_image(network, 2, 2, form) for form in plan.FORMS)  # 2 bytes over 2 cores.
    assert (none.held, none.windows, none.alone) == (388 + 2032, 2032, network.most.kept)
    assert (layer.held, layer.alone) == (388, network.most.made)
    # Two pieces, cut before the classifier, to which 4 elements pass: gone when the first goes backwards.
    assert (block.held, block.alone) == (192 + 4, network.most.made)
    assert block.held + block.worked == 192 + network.most.made
    assert none.weights == 2 * network.count
    assert block.weights == (2 + 4 / 2) * 236  # All but the classifier's 50.
    assert activations.of_image(network, 1, 4, "none").weights == 0


def test_gradients_that_are_there_at_each_layer():
    """A sum hands on one buffer for both of its inputs; a swish takes a second value for its slope."""
    inputs = keras.Input((10,))
    x = keras.layers.Dense(4)(inputs)
    y = keras.layers.Activation("swish")(keras.layers.Dense(4)(x))
    network = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Add()([x, y])))
    dense, inner, swish, add, last = backward.gradients(graph_nodes(network), network.inputs)
    assert (last, add, swish) == (2 + 4, 4, 4 + 4 + 4)
    assert inner == 4 + 4 + 4  # That of the other branch, its own, and what it gives, which is then added.
    assert dense == 4  # Nobody asks for the images'.


def test_the_moment_that_takes_most():
    """The teacher's 10 images wait while the student's 30 go backwards, or go backwards themselves."""
    image = activations.Image(held=1, windows=0, worked=5, alone=6, weights=0)
    of_step = estimate.Passes(10, 30, 30, 0, 0)
    assert activations.most(image, of_step, "block", 1) == (10, 90 * 6)  # The second derivative has three of each.
    assert activations.most(image, of_step, "none", 1) == (100, 30 * 5)
    assert activations.most(image, dataclasses.replace(of_step, doubled=0), "block", 1) == (40, 30 * 5)
    assert activations.most(image, dataclasses.replace(of_step, doubled=0), "none", 5) == (6, 6 * 5)


@pytest.mark.slow
def test_weights_slots_and_averages_are_the_bytes_that_a_mesh_holds():
    kind, replicas, cores, width = "efficientnet", 2, 2, 0.25
    values = types.SimpleNamespace(network=kind, width=width, stages=1, repeats=1, height=32, columns=64)
    with tf.Graph().as_default():
        network = estimate.describe(mesh.build(values))
    of_step = estimate.passes("mpl", "taylor", "joint", labeled=1, mu=1)
    parts = estimate.memory(network, cores, "mpl", of_step, size=4, average=True, remat="none")
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
    none, layer, block = (report["forms"][form] for form in plan.FORMS)
    assert none["flops"] == network.flops * (3 * 14 + 3 * 6 + 2 * 2) * 4
    assert block["flops"] == pytest.approx(none["flops"] * 4 / 3)
    device = report["devices"]["v3"]
    assert device["none"]["seconds_per_step"] == pytest.approx(none["flops"] / (8 * 6.15e13 * 0.3))
    assert none["bytes"]["activations"] == layer["bytes"]["activations"] == 20 * network.kept  # 2 bytes over 2 cores.
    assert layer["bytes"]["windows of convolutions"] == 0
    assert none["total"] == sum(none["bytes"].values()) > layer["total"] > block["total"]
    for form in plan.FORMS:
        assert device[form]["fits"] == (report["forms"][form]["total"] <= 0.9 * 2**29)
    printed = capsys.readouterr().out
    assert "efficientnet_b0: 5.3 M weights; images 64 x 64 over 2 cores; 2 labeled images a replica of 4" in printed
    assert "days for 1,000 steps" in printed


@pytest.mark.slow
def test_every_device_is_told_what_fits_it(capsys):
    """ResNet-50 on ImageNet-10%, 128 + 15 * 128 images a card: more than any card has, in parts not."""
    arguments = ["--model=resnet_50", "--mesh=replica:8,core:1", "--labeled_batch=1024", "--mu=15", "--device=all"]
    assert plan.main(arguments) == 0
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    told = {row[0].removeprefix("| "): row[4] for row in rows[2:]}
    assert set(told) == set(machines.MACHINES)
    for name, flags in told.items():
        remat, _, parts = flags.removeprefix("--remat=").partition(" --accumulate=")
        assert plan.main([*arguments[:-1], f"--device={name}", f"--accumulate={parts or 1}"]) == 0
        printed = capsys.readouterr().out
        assert printed.splitlines()[-1] == f"{name}: --remat={remat}"


@pytest.mark.slow
def test_the_papers_largest_run_fits_a_core_of_16_gib(capsys):
    large = ["--model=efficientnet_l2", "--mesh=replica:128,core:16", "--image_size=512", "--labeled_batch=2048"]
    assert plan.main([*large, "--mu=8", "--teacher_passes=split"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "v3: --remat=block"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--mesh=2x2"], "--mesh: expected replica:R,core:S"),
        (["--mesh=replica:3,core:2"], "--labeled_batch: expected a multiple of 3 replicas, got 8"),
        (["--mesh=replica:4,core:4"], "--mesh: replica:4,core:4 cannot split images 64 pixels wide"),
        (["--model=efficientnet_b9"], "--model: expected one of"),
        (["--accumulate=4"], "--labeled_batch: expected a multiple of 4 replicas x 4 parts (--accumulate), got 8"),
        (["--device=v9"], "--device: expected one of v3, v4"),
        (["--utilisation=2"], "utilisation"),
        (["efficientnet_b0"], "expected flags only"),
    ],
)
def test_bad_input_ends_with_one_line(arguments, told, capsys):
    assert plan.main([*ARGUMENTS, *arguments]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("plan: error: ")
    assert told in line
