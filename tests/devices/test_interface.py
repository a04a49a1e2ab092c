"""The interface of devices: tf.distribute and the mesh have the same methods and give the same numbers.

The devices are the two logical CPUs of this process; several hosts are in test_workers.py and mesh/test_mesh.py.

Covers: interface.py, replicas.py, distribute.py, mesh/devices.py
"""

import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.experimental import dtensor

from mpl_tf.base.errors import Interrupted
from mpl_tf.devices import distribute
from mpl_tf.devices.interface import LOST, Devices
from mpl_tf.devices.mesh.devices import MeshDevices
from mpl_tf.devices.mesh.grid import Grid
from mpl_tf.devices.replicas import Replicas, ahead
from mpl_tf.methods.supervised import Supervised
from mpl_tf.models import layers as plain
from mpl_tf.run.checkpoints import Checkpoints
from mpl_tf.step.optimizer import SGD

SHAPE, CLASSES, STEPS = (4, 8, 3), 3, 4
SIZES = {"x_l": 4, "y_l": 4, "x_u": 8, "y_u": 8}  # Of a step's batch over all replicas.


@pytest.fixture(scope="module")
def one():
    """One device."""
    return Replicas(tf.distribute.get_strategy())


@pytest.fixture(scope="module", params=["one", "two replicas", "mesh of two replicas", "mesh of two cores"])
def devices(request, one, two_replicas):
    """Devices of each kind."""
    if not request.param.startswith("mesh"):
        return Replicas(two_replicas) if request.param == "two replicas" else one
    sizes = [("replica", 2), ("core", 1)] if "replicas" in request.param else [("replica", 1), ("core", 2)]
    return MeshDevices(Grid(dtensor.create_mesh(sizes, devices=["CPU:0", "CPU:1"])))


def batches():
    """Each step's whole batch: dict of arrays, images of normal noise and labels."""
    random = np.random.default_rng(0)
    for _ in range(STEPS):
        images = {key: random.normal(size=(SIZES[key], *SHAPE)).astype("float32") for key in ("x_l", "x_u")}
        yield images | {key: random.integers(0, CLASSES, SIZES[key]).astype("int32") for key in ("y_l", "y_u")}


def distributed(devices):
    """The same for fit(): replica r's part of a batch is its r-th run of examples."""

    def of_host(own):
        parts = [
            {key: np.split(value, devices.replicas)[replica] for key, value in batch.items()}
            for batch in batches()
            for replica in own
        ]
        return tf.data.Dataset.from_tensor_slices({key: np.stack([part[key] for part in parts]) for key in SIZES})

    return devices.distribute(of_host)


def make(devices, convolve=True, **compiled):
    """Supervised training of a small network of these devices' layers, its weights drawn from seed 0."""

    def network(layers=plain):
        inputs = layers.Input(SHAPE)
        x = layers.Conv2D(4, 3, padding="same")(inputs) if convolve else inputs
        return keras.Model(inputs, layers.Dense(CLASSES, dtype="float32")(layers.GlobalAveragePooling2D()(x)))

    keras.utils.set_random_seed(0)
    with devices.scope():
        made = network(distribute.current().layers or plain)
        if devices.layers:
            made.twin = network  # As models.build leaves it.
        method = Supervised(made, ema_decay=0.5)
        method.compile(SGD(0.1, momentum=0.9), clip_norm=1.0, **compiled)
        return method.devices.place(method)


def whole(variable):
    """A variable's values in their own shape."""
    return variable.value.whole() if hasattr(variable.value, "whole") else variable.numpy()


def weights(devices, network):
    """All numbers of a network as one vector."""
    return np.concatenate([weight.ravel() for weight in devices.whole(network).get_weights()])


# ---- One interface --------------------------------------------------------------------------------------------------


def public(kind):
    """Names of its public methods and attributes."""
    return {name for name in [*dir(kind), *kind.__annotations__] if not name.startswith("_")}


@pytest.mark.parametrize("kind", [Replicas, MeshDevices])
def test_both_have_the_interface_and_nothing_beside(kind):
    assert public(kind) == public(Devices)
    for name in public(Devices):
        if inspect.isfunction(getattr(Devices, name, None)):
            assert inspect.signature(getattr(kind, name)) == inspect.signature(getattr(Devices, name)), name


def test_the_present_devices_are_those_of_the_innermost_scope(devices, one, two_replicas):
    assert distribute.current().strategy is tf.distribute.get_strategy()
    with two_replicas.scope():
        assert distribute.current().strategy is two_replicas
    with devices.scope() as entered:
        assert entered is devices is distribute.current()
    with pytest.raises(KeyError), one.scope():
        raise KeyError
    assert distribute.current().replicas == 1


# ---- Inside a step --------------------------------------------------------------------------------------------------


def test_a_step_gets_the_numbers_of_the_whole_batch(devices):
    """Means, sizes, products and joined batches, in numbers made by NumPy from the whole batch."""
    method = make(devices, convolve=False)
    network = method.student_network

    def step(batch):
        theta = method.student.weights()
        z, _ = network.stateless_call(theta, method.student.state(), distribute.join([batch["x_l"], batch["x_u"]]))
        z_l, z_u = distribute.split(z, [batch["x_l"], batch["x_u"]])
        y_l, y_u = (tf.cast(batch[key], tf.float32) for key in ("y_l", "y_u"))
        products = tf.reduce_mean(y_l * z_l[:, 0]), tf.reduce_mean(y_u * z_u[:, 1])
        first, second = distribute.mean(products)
        distribute.assign([(method.kept_seed, tf.reduce_sum(tf.ones([7])))])  # A float for an int64.
        return {
            "labels": distribute.mean(tf.reduce_mean(y_l)),
            "size": tf.cast(tf.shape(y_u)[0] * distribute.replicas(), tf.float32),
            "number": tf.cast(distribute.replica_id(), tf.float32),
            "gathered": tf.reduce_sum(tf.range(4.0) * distribute.gather(y_l)),
            "squares": distribute.dot(theta, theta),
            "first": first,
            "second": second,
        }

    names = ("labels", "size", "number", "gathered", "squares", "first", "second")
    call = devices.train_function(step, names, 1) or tf.function(lambda iterator: step(next(iterator)))
    found = {name: float(value) for name, value in call(iter(distributed(devices))).items()}
    batch = next(batches())
    kernel, bias = devices.whole(network).get_weights()
    z_l, z_u = (batch[key].mean(axis=(1, 2)) @ kernel + bias for key in ("x_l", "x_u"))
    expected = {
        "labels": batch["y_l"].mean(),
        "size": 8,
        "number": 0,
        "gathered": np.sum(np.arange(4) * batch["y_l"]),
        "squares": np.sum(kernel**2) + np.sum(bias**2),
        "first": np.mean(batch["y_l"] * z_l[:, 0]),
        "second": np.mean(batch["y_u"] * z_u[:, 1]),
    }
    assert found == pytest.approx(expected, rel=1e-5, abs=1e-6)
    assert int(method.kept_seed.numpy()) == 7


def test_parts_of_a_batch_hold_as_many_examples_of_each_replica_and_come_back(devices):
    """Each example's pixels are its number."""
    images = np.arange(8, dtype="float32")[:, None, None, None] * np.ones(SHAPE, "float32")

    def of_host(own):
        parts = [{"x": np.split(images, devices.replicas)[replica]} for replica in own]
        return tf.data.Dataset.from_tensor_slices({"x": np.stack([part["x"] for part in parts])})

    def step(batch):
        parts = distribute.cut(batch["x"], 2)
        pooled = [tf.reduce_mean(part, axis=list(range(1, part.shape.rank)))[:, None] for part in parts]
        own = distribute.uncut(pooled)[:, 0]
        everyones = distribute.gather(own)
        found = {"first": tf.reduce_sum(distribute.gather(pooled[0][:, 0]))}
        return found | {"order": tf.reduce_sum(everyones * tf.range(8.0))}

    call = devices.train_function(step, ("first", "order"), 1) or tf.function(lambda iterator: step(next(iterator)))
    found = {name: float(value) for name, value in call(iter(devices.distribute(of_host))).items()}
    first = np.concatenate([replica[: 4 // devices.replicas] for replica in np.split(np.arange(8), devices.replicas)])
    assert found == pytest.approx({"first": first.sum(), "order": np.sum(np.arange(8) ** 2)})


# ---- Training -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(devices):
    """The method after an epoch of four steps, two in a call, and the epoch's logs."""
    method = make(devices, steps_per_execution=2)
    history = method.fit(distributed(devices), epochs=1, steps_per_epoch=STEPS, verbose=0, shuffle=False).history
    return method, {name: values[-1] for name, values in history.items()}


def test_fit_trains_as_steps_one_after_the_other_on_one_device(trained, devices, one):
    method, logs = trained
    other = make(one, run_eagerly=True)
    for batch in batches():
        expected = other.train_step({key: tf.constant(value) for key, value in batch.items()})
    for network, plainly in ((method.student_network, other.student_network), (method.averaged, other.averaged)):
        np.testing.assert_allclose(weights(devices, network), weights(one, plainly), rtol=1e-4, atol=1e-6)
    assert logs == pytest.approx({name: float(value) for name, value in expected.items()}, rel=1e-5)


def test_steps_in_one_call_have_the_bits_of_single_calls(trained, devices):
    method, _ = trained
    single = make(devices, steps_per_execution=1)
    single.fit(distributed(devices), epochs=1, steps_per_epoch=STEPS, verbose=0, shuffle=False)
    for group, variables in method.state().items():
        for one, other in zip(variables, single.state()[group], strict=True):
            np.testing.assert_array_equal(whole(one), whole(other), err_msg=group)


def test_checkpoints_of_all_kinds_are_alike(trained, devices, one, tmp_path):
    method, _ = trained
    Checkpoints(method, tmp_path, 2).save(1, 0.0)
    other = make(one)
    for group, variables in method.state().items():
        expected = [tuple(variable.shape) for variable in other.state()[group]]
        assert [devices.whole_shape(variable) for variable in variables] == expected, group
    assert Checkpoints(other, tmp_path, 2).restore() == 1
    np.testing.assert_array_equal(weights(one, other.student_network), weights(devices, method.student_network))
    np.testing.assert_array_equal(weights(one, other.averaged), weights(devices, method.averaged))


# ---- Hosts ----------------------------------------------------------------------------------------------------------


def test_one_host_writes_and_is_of_one_mind(devices):
    assert devices.hosts == 1
    assert devices.writes
    assert devices.same(3) and devices.same(2**40)
    assert (devices.first(2**40), set(devices.everywhere(5))) == (2**40, {5})
    devices.meet()


def test_a_failure_is_the_loss_of_another_host_only_where_there_is_one(devices, monkeypatch):
    failure = tf.errors.UnavailableError(None, None, "gone")
    assert isinstance(failure, LOST)
    with pytest.raises(tf.errors.UnavailableError), devices.peers():
        raise failure
    monkeypatch.setattr(type(devices), "hosts", 2)
    with pytest.raises(Interrupted, match=r"another worker has ended \(UnavailableError\)"), devices.peers():
        raise failure
    with pytest.raises(KeyError), devices.peers():
        raise KeyError


# ---- What travels ---------------------------------------------------------------------------------------------------


def test_batches_for_a_gpu_are_on_it_before_they_are_asked_for(one):
    """A CPU plays the GPU: the second of this process."""
    gpus = tf.config.list_logical_devices("CPU")[1:]
    made = tf.data.Dataset.range(5).map(lambda number: {"x": tf.cast(number, tf.uint8), "y": tf.cast(number, tf.int32)})
    assert ahead(made, []) is made
    found = list(ahead(made, gpus))
    assert [(int(batch["x"]), int(batch["y"])) for batch in found] == [(number, number) for number in range(5)]
    assert {value.device[-6:] for batch in found for value in batch.values()} == {gpus[0].name[-6:]}


def test_images_travel_to_the_step_as_whole_numbers(devices, one):
    """They are normalised there, on tiles of a mesh too: with the numbers of images that came normalised."""
    images = np.random.default_rng(0).integers(0, 256, (4, *SHAPE)).astype("uint8")
    scale, offset = [0.01, 0.02, 0.03], [-1.0, 0.5, 0.0]

    def of_host(own):
        parts = [np.split(images, devices.replicas)[replica] for replica in own]
        return tf.data.Dataset.from_tensor_slices({"x": np.stack(parts), "y": np.zeros([len(own), 1], "int32")})

    def step(batch):
        x = tf.cast(batch["x"], tf.float32) * scale + offset
        return {"sum": distribute.mean(tf.reduce_mean(tf.square(x)))}

    call = devices.train_function(step, ("sum",), 1) or tf.function(lambda iterator: step(next(iterator)))
    found = float(call(iter(devices.distribute(of_host)))["sum"])
    assert found == pytest.approx(np.mean(np.square(images * scale + offset)), rel=1e-6)
