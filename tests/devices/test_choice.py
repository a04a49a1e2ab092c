"""Devices by the name of --strategy, on the two logical CPUs of this process, and what their replicas must divide."""

import contextlib

import pytest
import tensorflow as tf

from mpl_tf.base import gpu
from mpl_tf.base.errors import UsageError
from mpl_tf.devices.choice import check_accelerator, check_batches, check_views, make_devices


@pytest.mark.parametrize(("name", "replicas"), [("one", 1), ("auto", 1), ("mirrored", 2)])
def test_who_trains_on_a_machine_without_accelerators(name, replicas, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    made = make_devices(name)
    assert (made.replicas, made.copies, made.hosts, made.writes) == (replicas, replicas, 1, True)


def test_several_gpus_are_taken_without_asking_and_a_tpu_is_not_shared_by_hosts(monkeypatch):
    found = {"GPU": ["GPU:0", "GPU:1"], "TPU": ["TPU:0"], "CPU": ["CPU:0"]}
    taken = []
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [] if kind == "TPU" else found[kind])
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [tf.config.LogicalDevice(f"/{kind}:7", kind)])
    monkeypatch.setattr(
        tf.distribute, "MirroredStrategy", lambda names: taken.append(names) or tf.distribute.get_strategy()
    )
    make_devices("auto")
    assert taken == [["/GPU:7"]]
    make_devices("one")
    assert len(taken) == 1
    monkeypatch.setattr(tf.config, "list_physical_devices", found.get)
    workers = '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 0}}'
    monkeypatch.setenv("TF_CONFIG", workers)
    with pytest.raises(UsageError, match="--strategy: several TPU hosts .* train with --strategy=dtensor, got auto"):
        make_devices("auto")


def test_replicas_divide_the_batches_their_parts_and_the_groups():
    two = make_devices("mirrored")
    check_batches(two, {"labeled_batch": 12, "finetune_batch": 4}, accumulate=2, groups=2)
    with pytest.raises(UsageError, match=r"^--finetune_batch: expected a multiple of 2 replicas x 2 parts .*, got 6$"):
        check_batches(two, {"labeled_batch": 12, "finetune_batch": 6}, accumulate=2, groups=1)
    with pytest.raises(UsageError, match=r"^--batch_norm_groups: expected a divisor of the 2 replicas, got 3$"):
        check_batches(two, {}, accumulate=1, groups=3)


@pytest.mark.parametrize(
    ("scale", "strategy", "allow_cpu", "kinds", "asked"),
    [
        ("gpu", "auto", False, "", "--scale: gpu: expected a GPU, TensorFlow finds none; give --allow_cpu"),
        ("paper", "mirrored", False, "", "--strategy: mirrored: expected a GPU"),
        ("gpu", "mirrored", False, "", "--scale: gpu and --strategy: mirrored: expected a GPU"),
        ("gpu", "mirrored", True, "", None),
        ("paper", "auto", False, "", None),
        ("gpu", "mirrored", False, "GPU", None),
        ("gpu", "auto", False, "TPU", None),
    ],
)
def test_who_asks_for_a_gpu_has_one_or_allows_the_cpu(scale, strategy, allow_cpu, kinds, asked, monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [kind] * (kind == kinds))
    monkeypatch.setattr(gpu, "present", lambda: False)
    with pytest.raises(UsageError, match=f"^{asked}") if asked else contextlib.nullcontext():
        check_accelerator(scale, strategy, allow_cpu)


def test_why_there_is_no_gpu_is_in_the_refusal(monkeypatch):
    monkeypatch.setattr(gpu, "present", lambda: True)
    monkeypatch.setattr(gpu, "why", lambda: "Cannot dlopen some GPU libraries")
    with pytest.raises(UsageError, match=r"finds none \(Cannot dlopen some GPU libraries; pip install -e '.\[gpu\]'"):
        check_accelerator("gpu", "auto", allow_cpu=False)


def test_views_are_not_made_on_a_tpu(monkeypatch):
    check_views("device")
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["TPU:0"] * (kind == "TPU"))
    check_views("host")
    with pytest.raises(UsageError, match="^--views: device makes views by operations that a TPU lacks, expected host"):
        check_views("device")
