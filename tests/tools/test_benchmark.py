"""The benchmark's figures where they can be known: counts, kinds, ratios and keys. Timings are not asserted."""

import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mpl_tf import models
from tools import benchmark
from tools._benchmark import measure, peaks, pil_views

STEP = ["--repeats=2", "--warmup=1", "--dataset=digits_50", "--labeled_batch=4", "--mu=2"]
ONE_NETWORK = [*STEP, "--method=uda"]  # Quicker to trace than mpl's two.


@pytest.mark.slow
def test_step_report_and_compare(tmp_path, capsys):
    assert benchmark.main(["--what=step", f"--json={tmp_path / 'step.json'}", *ONE_NETWORK]) == 0
    report = json.loads((tmp_path / "step.json").read_text())
    assert report["images_per_second"] == pytest.approx(12 / report["seconds_per_step"])
    assert report["flops_per_second"] == pytest.approx(report["flops_per_step"] / report["seconds_per_step"])
    assert 0 <= report["input_wait_share"] <= 1
    assert report["share_of_convolution_peak"] > 0
    assert report["peak_memory_bytes"] > 1e8
    earlier = report | {"flops_per_step": 2 * report["flops_per_step"]}
    (tmp_path / "earlier.json").write_text(json.dumps(earlier))
    capsys.readouterr()
    assert benchmark.main(["--what=step", f"--compare={tmp_path / 'earlier.json'}", *ONE_NETWORK]) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if "flops_per_step" in line)
    assert row.split("|")[3].strip() == "2.00"


@pytest.mark.slow
def test_profile_finds_convolutions_both_ways(capsys):
    assert benchmark.main(["--what=profile", *ONE_NETWORK]) == 0
    text = capsys.readouterr().out
    shares = [float(line.split(",")[-1].strip(" %|")) for line in text.splitlines() if line.endswith("% |")]
    assert sum(shares) == pytest.approx(100, abs=1)
    for kind in ("convolution, forward", "convolution, backward", "batch norm, forward", "pooling"):
        assert kind in text


def test_flops_of_a_dense_layer_by_hand():
    dense = tf.function(lambda x: x @ tf.ones([5, 7]))
    assert measure._flops(dense.get_concrete_function(tf.TensorSpec([3, 5]))) == 2 * 3 * 5 * 7


def test_convolution_peak_is_of_three_by_three_kernels_alone():
    assert peaks.convolution(models.build("mlp", (2,), 2), 4, "float32") is None
    assert peaks.convolution(models.build("small_cnn", (8, 8, 3), 2), 4, "float32") > 0


def test_pil_policy_keeps_shape_and_its_operations_are_pils():
    policy = pil_views.Policy(num_ops=2, magnitude=10, cutout=0.5, flip=True, shift=2)
    image = np.random.default_rng(0).integers(0, 256, size=(16, 16, 3), dtype=np.uint8)
    views = [policy(image) for _ in range(50)]
    assert {view.shape for view in views} == {(16, 16, 3)}
    assert len({view.tobytes() for view in views}) > 40
    for name, operation in pil_views.OPERATIONS.items():
        changed = np.asarray(operation(Image.fromarray(image), 7, 1))
        assert changed.shape == image.shape
        assert name == "AutoContrast" or not np.array_equal(changed, image)


@pytest.mark.parametrize("flags", [["--what=nonsense"], ["--compare=/no/such/file"], ["--dataset=nonsense"]])
def test_bad_flags_are_one_line(flags, capsys):
    assert benchmark.main(flags) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


@pytest.mark.slow
def test_loop_shares_and_steps(capsys, tmp_path):
    flags = [*ONE_NETWORK, "--steps_per_execution=2", "--steps_per_epoch=2", "--train_steps=2"]
    assert benchmark.main(["--what=loop", f"--json={tmp_path / 'loop.json'}", *flags]) == 0
    report = json.loads((tmp_path / "loop.json").read_text())
    assert 0 < report["python_loop_share"] < 1
    assert 0 < report["input_wait_share"] < 1
    assert report["seconds_per_step"] > 0


def test_convolutions_by_direction_have_the_networks_flops(capsys, tmp_path):
    """small_cnn on 8 x 8 pixels, 4 x 2 images: 2 x 9 x channels x filters at each output."""
    assert benchmark.main(["--what=convolutions", f"--json={tmp_path / 'c.json'}", *STEP]) == 0
    report = json.loads((tmp_path / "c.json").read_text())
    flops = 2 * 9 * 8 * (64 * (3 * 32 + 32 * 32) + 16 * (32 * 64 + 64 * 64))
    for name in ("forward", "input_gradient", "kernel_gradient"):
        assert report[f"{name}_seconds"] * report[f"{name}_flops_per_second"] == pytest.approx(flops)


def test_input_of_a_folder_is_read_from_its_files(tmp_path):
    for number, place in enumerate(
        ("labeled/a/1", "labeled/b/2", "test/a/3", "test/b/4", "more/5", "more/6", "more/7")
    ):
        path = tmp_path / f"{place}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9, 8), (number,) * 3).save(path)
    folders = {"labeled_dir": "labeled", "test_dir": "test", "unlabeled_dir": "more"}
    given = [f"--{name}={tmp_path / place}" for name, place in folders.items()]
    small = [
        "--image_size=8",
        "--labeled_batch=2",
        "--finetune_batch=2",
        "--mu=2",
        "--method=supervised",
        "--model=small_cnn",
    ]
    out = tmp_path / "input.json"
    assert benchmark.main(["--what=input", "--repeats=2", f"--json={out}", "--dataset=folder", *given, *small]) == 0
    report = json.loads(out.read_text())
    for name in ("files_per_second", "images_per_second_from_files", "images_per_second_in_memory"):
        assert report[name] > 0
    assert 0 <= report["input_wait_share"] < 1
