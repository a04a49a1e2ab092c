"""Shared by all tests: a quiet TensorFlow, two logical CPU devices, and configurations made from the flags."""

import gc
import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import pytest
import tensorflow as tf

from mpl_tf.settings import flags

# Tracing makes millions of objects: collecting garbage as often as Python does by itself takes a tenth of the time.
gc.freeze()
gc.set_threshold(100_000, 20, 20)

# Two, so that --strategy=mirrored trains two replicas; they must be asked for before TensorFlow starts.
CPU = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(CPU, [tf.config.LogicalDeviceConfiguration()] * 2)


@pytest.fixture(scope="session")
def make_config():
    """A function of flag values that returns the Config the command line would give: make_config(seed=3)."""

    def make(dataset="digits_50", **values):
        return flags.parse([f"--dataset={dataset}", *(f"--{name}={value}" for name, value in values.items())])

    return make


@pytest.fixture(scope="session")
def two_replicas():
    """A MirroredStrategy over the two CPU devices; one for all tests, as two in one process share collective keys."""
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


@pytest.fixture(scope="module")
def plain_graphs():
    """Graphs run as they are traced: rewriting one takes TensorFlow longer than all steps of a tiny network."""
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    yield
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": False})


@pytest.fixture(scope="session")
def imagenet_dir(tmp_path_factory):
    """A TFDS folder with a miniature ImageNet; nobody may change it."""
    from tests import miniature  # TFDS takes a second to import.

    folder = tmp_path_factory.mktemp("imagenet")
    miniature.write(folder)
    return folder


@pytest.fixture
def bucket(tmp_path, monkeypatch):
    """memory://bucket, a bucket in this process' memory; what is kept between runs is kept in the test's folder."""
    pytest.importorskip("upath", reason="universal_pathlib is not installed; mpl-tf[s3] or [gcs] brings it")
    import fsspec

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    system = fsspec.filesystem("memory")
    yield "memory://bucket"
    system.store.clear()
    system.pseudo_dirs[:] = [""]
