"""Networks are asked on the devices of their run, without XLA."""

import numpy as np
import pytest

from mpl_tf.devices.replicas import Replicas
from mpl_tf.models import saved
from mpl_tf.run import export, logits, modes
from tests import tiny

IMAGES = np.random.default_rng(0).integers(0, 256, (7, 5)).astype(np.uint8)


@pytest.mark.parametrize("count", [1, 2, 7])
def test_two_replicas_say_what_one_says_of_any_number_of_examples(count, two_replicas, tmp_path):
    one = tiny.network(1, norm=True)
    path = tmp_path / "student.keras"
    export.save(one, path, ["a", "b", "c"])
    with Replicas(two_replicas).scoring():
        two = saved.load(path)
    found = logits.logits(two, IMAGES[:count], batch=3)
    assert two.distribute_strategy is two_replicas
    assert found.shape == (count, tiny.CLASSES)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, one(IMAGES[:count].astype("float32")), rtol=1e-5, atol=1e-6)


def test_xla_makes_no_program_of_a_network_that_is_only_asked():
    network = tiny.network(1)
    logits.logits(network, IMAGES, batch=7)
    assert not network.jit_compile


def test_a_finished_run_is_scored_on_the_devices_that_are_named(make_config, tmp_path, monkeypatch, two_replicas):
    export.save(tiny.network(1), tmp_path / "student.keras", ["a", "b", "c"])
    monkeypatch.setenv("TF_CONFIG", '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 0}}')
    for strategy, replicas in (("mirrored", 2), ("one", 1), ("multi_worker", 1)):
        student = modes._student(make_config(strategy=strategy, workdir=tmp_path))
        assert student.distribute_strategy.num_replicas_in_sync == replicas
