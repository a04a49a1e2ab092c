"""Training batches: every example once an epoch, the same whether resumed or not, and the same on two replicas."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.data import Dataset, Source, pipeline
from mpl_tf.devices.choice import make_devices

KEYS = ("x_l", "y_l", "x_u_weak", "x_u_strong")
MEAN, STD = (0.5, 0.25, 0.1), (0.2, 0.5, 1.0)
NO_CHANGE = {"shift": 0, "cutout": 0, "randaugment_ops": 0}


def numbered(labeled, unlabeled):
    """A Dataset whose image number n is all of value n, label n."""

    def source(count, with_labels):
        images = np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, 8, 8, 3)).copy()
        return Source(images, np.arange(count, dtype=np.int32) if with_labels else None)

    parts = source(labeled, True), source(unlabeled, False), source(1, True)
    return Dataset("numbered", *parts, ("a",) * labeled, MEAN, STD)


def noisy():
    """A Dataset of 10 labeled and 20 unlabeled random images, which may be mirrored."""
    images = np.random.default_rng(0).integers(0, 256, (31, 8, 8, 3), np.uint8)
    labels = np.arange(10, dtype=np.int32)
    parts = Source(images[:10], labels), Source(images[10:30]), Source(images[30:], labels[:1])
    return Dataset("noisy", *parts, ("a",) * 10, MEAN, STD, flip=True)


def points(labeled, unlabeled):
    """A Dataset of points whose coordinates are their number."""

    def source(count):
        labels = np.arange(count, dtype=np.int32)
        return Source(np.stack([labels, labels], axis=1).astype(np.float32), labels)

    return Dataset("points", source(labeled), Source(source(unlabeled).images), source(1), ("a",) * labeled)


def batches(dataset, config, keys=KEYS, *, batch=4, start=0, steps=3):
    """The batches of steps start..steps - 1 on one device, as dicts of arrays."""
    devices, arrival = make_devices("one"), pipeline.arrival(dataset, config, keys)
    made = pipeline.training_batches(dataset, config, keys, batch, start, steps, devices)
    return [{key: value.numpy() for key, value in arrival(one).items()} for one in made]


def replica_batches(dataset, config, keys=KEYS, *, batch=4, steps=3):
    """As `batches`, on two replicas: a list over steps of lists over the replicas."""
    devices = make_devices("mirrored")
    assert devices.replicas == 2
    made = pipeline.training_batches(dataset, config, keys, batch, 0, steps, devices)
    local = devices.strategy.experimental_local_results
    by_key = [{key: local(value) for key, value in one.items()} for one in made]
    each = [[{key: parts[replica] for key, parts in one.items()} for replica in range(2)] for one in by_key]
    arrival = pipeline.arrival(dataset, config, keys)
    return [[{key: x.numpy() for key, x in arrival(one).items()} for one in replicas] for replicas in each]


def numbers(x):
    """The numbers of the images of a normalised batch of `numbered`; all their pixels must agree."""
    values = (x * np.array(STD) + np.array(MEAN)) * 255
    whole = np.rint(values)
    np.testing.assert_allclose(values, whole, atol=1e-3)
    assert (whole == whole[:, :1, :1, :1]).all()
    return whole[:, 0, 0, 0].astype(int).tolist()


def order(config, size, **how):
    """Numbers of the labeled examples in the order they are drawn."""
    drawn = batches(points(size, 1), config, ("x_l", "y_l"), **how)
    return np.concatenate([one["y_l"] for one in drawn]).tolist()


# ---- Order --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "batch", "epochs"), [(10, 4, 4), (8, 4, 3), (3, 4, 4), (1, 4, 8), (50, 50, 3)])
def test_every_example_comes_once_an_epoch_across_the_ends_of_batches(make_config, size, batch, epochs):
    drawn = order(make_config(), size, batch=batch, steps=size * epochs // batch)
    assert len(drawn) == size * epochs
    for epoch in range(epochs):
        assert sorted(drawn[epoch * size : (epoch + 1) * size]) == list(range(size))


def test_the_order_differs_from_epoch_to_epoch_and_from_seed_to_seed(make_config):
    def epoch(seed, number):
        return tuple(order(make_config(seed=seed), 50, batch=50, start=number, steps=number + 1))

    # 256 and its multiples: TensorFlow's index shuffle reads only the lowest bits of its seeds.
    orders = {(seed, number): epoch(seed, number) for seed in (0, 1, 256, 65_536) for number in (0, 1, 256, 512)}
    assert len(set(orders.values())) == len(orders)
    assert epoch(0, 1) == orders[0, 1]


def test_the_order_is_not_that_of_the_source(make_config):
    drawn = np.array([order(make_config(seed=seed), 50, batch=50, steps=4) for seed in range(5)]).reshape(20, 50)
    in_place = (drawn == np.arange(50)).sum(axis=1)
    assert in_place.mean() < 2.5  # Expected: 1, with a standard deviation of 0.22.
    follows = (np.diff(drawn) == 1).sum(axis=1)
    assert follows.mean() < 2.5  # Expected: 0.98.


def test_labeled_and_unlabeled_examples_are_in_orders_of_their_own(make_config):
    dataset = numbered(40, 40)
    (made,) = batches(dataset, make_config(mu=1, **NO_CHANGE), batch=40, steps=1)
    assert sorted(numbers(made["x_u_weak"])) == sorted(made["y_l"].tolist()) == list(range(40))
    assert numbers(made["x_u_weak"]) != made["y_l"].tolist()


def test_fewer_unlabeled_examples_than_a_step_takes_come_round_equally_often(make_config):
    made = batches(numbered(4, 3), make_config(mu=2, **NO_CHANGE), batch=4, steps=3)
    drawn = [number for one in made for number in numbers(one["x_u_weak"])]
    assert np.bincount(drawn).tolist() == [8, 8, 8]
    assert [sorted(drawn[start : start + 3]) for start in range(0, 24, 3)] == [[0, 1, 2]] * 8


# ---- Resuming -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [noisy, lambda: points(10, 20)], ids=["images", "points"])
def test_a_run_that_is_resumed_sees_the_batches_of_one_that_was_not(make_config, make):
    dataset, config = make(), make_config(mu=2)
    whole = batches(dataset, config, steps=5)
    for start in (2, 4):
        resumed = batches(dataset, config, start=start, steps=5)
        assert len(resumed) == 5 - start
        for one, other in zip(resumed, whole[start:], strict=True):
            assert set(one) == set(KEYS)
            for key in KEYS:
                np.testing.assert_array_equal(one[key], other[key])
    assert all((whole[0][key] != whole[1][key]).any() for key in KEYS)


def test_views_differ_between_seeds_and_steps_where_the_examples_are_the_same(make_config):
    dataset = points(1, 1)
    noise = [
        tuple(one["x_u_strong"][0].tolist())
        for seed in (0, 1)
        for one in batches(dataset, make_config(seed=seed, mu=1), batch=1, steps=3)
    ]
    assert len(set(noise)) == 6


# ---- What a batch holds -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("batch", "mu"), [(4, 2), (5, 7), (1, 1)])
def test_sizes_and_types(make_config, batch, mu):
    (made,) = batches(noisy(), make_config(mu=mu), batch=batch, steps=1)
    assert {key: (value.shape, value.dtype.name) for key, value in made.items()} == {
        "x_l": ((batch, 8, 8, 3), "float32"),
        "y_l": ((batch,), "int32"),
        "x_u_weak": ((mu * batch, 8, 8, 3), "float32"),
        "x_u_strong": ((mu * batch, 8, 8, 3), "float32"),
    }


@pytest.mark.parametrize("keys", [("x_l", "y_l"), ("x_u_strong",), ("x_u_weak",)])
def test_only_the_keys_asked_for_are_made_and_they_are_as_with_all_others(make_config, keys):
    dataset, config = noisy(), make_config(mu=2)
    (some,), (every,) = batches(dataset, config, keys, steps=1), batches(dataset, config, steps=1)
    assert set(some) == set(keys)
    for key in keys:
        np.testing.assert_array_equal(some[key], every[key])


def test_labels_stay_with_their_images(make_config):
    for one in batches(numbered(30, 1), make_config(**NO_CHANGE), ("x_l", "y_l"), steps=10):
        assert numbers(one["x_l"]) == one["y_l"].tolist()


def test_images_are_normalised_by_channel():
    # Level 51 is 0.2 of full: (0.2 - 0.5) / 0.2, (0.2 - 0.25) / 0.5 and (0.2 - 0.1) / 1; likewise 0 and 255.
    dataset = numbered(1, 1)
    scale, offset = dataset.normalisation()
    expected = {0: [-2.5, -0.5, -0.1], 51: [-1.5, -0.1, 0.1], 255: [2.5, 1.5, 0.9]}
    for level, values in expected.items():
        np.testing.assert_allclose(level * np.array(scale) + offset, values, atol=1e-12)


def test_batches_are_normalised(make_config):
    dataset = numbered(52, 52)
    (made,) = batches(dataset, make_config(mu=1, **NO_CHANGE), batch=52, steps=1)
    place = made["y_l"].tolist().index(51)
    np.testing.assert_allclose(made["x_l"][place, 0, 0], [-1.5, -0.1, 0.1], atol=1e-6)


def test_without_changes_both_views_are_the_originals_in_one_order(make_config):
    for one in batches(numbered(10, 20), make_config(mu=2, **NO_CHANGE)):
        np.testing.assert_array_equal(one["x_u_weak"], one["x_u_strong"])
        assert len(numbers(one["x_u_weak"])) == 8 and max(numbers(one["x_u_weak"])) < 20


def test_both_views_are_of_the_same_examples(make_config):
    # Shifts of up to one pixel of eight leave the middle of an image of one value as it is.
    config = make_config(mu=2, **NO_CHANGE | {"shift": 0.125})
    for one in batches(numbered(10, 20), config):
        weak, strong = (one[key][:, 3:5, 3:5] for key in ("x_u_weak", "x_u_strong"))
        assert numbers(weak) == numbers(strong)
        assert (one["x_u_weak"] != one["x_u_strong"]).any()


def test_points_are_left_as_they_are_and_their_strong_view_is_noisy(make_config):
    dataset = points(10, 500)
    (made,) = batches(dataset, make_config(mu=125, noise=0.5), batch=4, steps=1)
    assert sorted(made["x_u_weak"][:, 0].tolist()) == list(range(500))
    noise = made["x_u_strong"] - made["x_u_weak"]
    assert abs(noise.mean()) < 0.08 and abs(noise.std() - 0.5) < 0.06  # five standard errors of 1,000 draws
    assert set(made["x_l"][:, 0].tolist()) <= set(range(10))


def test_points_without_noise_have_two_equal_views(make_config):
    (made,) = batches(points(10, 20), make_config(mu=2, noise=0), steps=1)
    np.testing.assert_array_equal(made["x_u_strong"], made["x_u_weak"])


# ---- Numbers of the examples ----------------------------------------------------------------------------------------


def test_the_numbers_name_the_examples_of_the_views(make_config):
    keys = (*KEYS, "i_u", "i_l")
    drawn = []
    for one in batches(numbered(10, 20), make_config(mu=2, **NO_CHANGE), keys, steps=5):
        assert one["i_u"].dtype == one["i_l"].dtype == np.int32
        assert one["i_u"].tolist() == numbers(one["x_u_weak"]) == numbers(one["x_u_strong"])
        assert one["i_l"].tolist() == numbers(one["x_l"]) == one["y_l"].tolist()
        drawn += one["i_u"].tolist()
    assert [sorted(drawn[start : start + 20]) for start in (0, 20)] == [list(range(20))] * 2


def test_an_example_that_counts_more_than_once_has_one_number(make_config):
    dataset = numbered(4, 9)
    repeated = dataclasses.replace(dataset.unlabeled, order=np.array([8, 8, 8, 2, 5], np.int32))
    dataset = dataclasses.replace(dataset, unlabeled=repeated)
    (one,) = batches(dataset, make_config(mu=5, **NO_CHANGE), ("x_u_weak", "i_u"), batch=1, steps=1)
    assert one["i_u"].tolist() == numbers(one["x_u_weak"])
    assert sorted(one["i_u"]) == [2, 5, 8, 8, 8]


def test_numbers_come_again_after_a_resume_and_alone(make_config):
    dataset, config = noisy(), make_config(mu=2)
    whole, rest = (batches(dataset, config, (*KEYS, "i_u"), start=start, steps=6) for start in (0, 4))
    alone = batches(dataset, config, ("i_u",), steps=6)
    assert [one["i_u"].tolist() for one in rest] == [one["i_u"].tolist() for one in whole[4:]]
    assert [one["i_u"].tolist() for one in alone] == [one["i_u"].tolist() for one in whole]


# ---- Replicas -----------------------------------------------------------------------------------------------------


def test_replicas_share_out_the_examples_of_the_batch_on_one_device(make_config):
    dataset, config = numbered(8, 16), make_config(mu=2, **NO_CHANGE)
    keys = (*KEYS, "i_u")
    one_device = batches(dataset, config, keys, steps=4)
    two = replica_batches(dataset, config, keys, steps=4)
    assert len(two) == 4
    for whole, (first, second) in zip(one_device, two, strict=True):
        for key in ("x_l", "x_u_weak", "x_u_strong"):
            parts = numbers(first[key]), numbers(second[key])
            assert len(parts[0]) == len(parts[1])
            assert not set(parts[0]) & set(parts[1])  # no batch here crosses the end of an epoch
            assert sorted(parts[0] + parts[1]) == sorted(numbers(whole[key]))
        for part in (first, second):
            assert numbers(part["x_l"]) == part["y_l"].tolist()
            assert numbers(part["x_u_weak"]) == part["i_u"].tolist()
        assert first["i_u"].tolist() + second["i_u"].tolist() == whole["i_u"].tolist()


def test_replicas_draw_noise_of_their_own(make_config):
    for first, second in replica_batches(points(2, 1), make_config(mu=1), batch=2):
        assert (first["x_u_weak"] == second["x_u_weak"]).all()
        assert (first["x_u_strong"] != second["x_u_strong"]).any()


def test_two_logical_devices_are_there_for_the_tests():
    assert len(tf.config.list_logical_devices("CPU")) == 2


# ---- What travels, and where views are made ------------------------------------------------------------------------


def test_images_travel_as_whole_numbers_and_once_where_their_views_are_made_on_the_device(make_config):
    keys, devices = (*KEYS, "x_l_strong", "x_u_weak_2", "i_u"), make_devices("one")

    def spec(**values):
        made = pipeline.training_batches(noisy(), make_config(mu=2, **NO_CHANGE, **values), keys, 4, 0, 1, devices)
        return {key: (value.dtype.name, tuple(value.shape)) for key, value in made.element_spec.items()}

    labeled, unlabeled = ("uint8", (4, 8, 8, 3)), ("uint8", (8, 8, 8, 3))
    numbers_of = {"y_l": ("int32", (4,)), "i_u": ("int32", (8,))}
    views = {key: labeled if key in pipeline.LABELED_KEYS else unlabeled for key in keys if key.startswith("x_")}
    assert spec() == views | numbers_of
    once = {"images_labeled": labeled, "images_unlabeled": unlabeled, "counter": ("int64", ())}
    assert spec(views="device") == once | numbers_of
    drawn = pipeline.training_batches(
        noisy(), make_config(views="device", **NO_CHANGE), ("x_l", "y_l"), 4, 0, 1, devices
    )
    assert set(drawn.element_spec) == {"images_labeled", "y_l", "counter"}


def test_views_of_the_device_have_the_bits_of_the_hosts(make_config):
    """In a graph, as a step has them; and on the second of two replicas, whose seeds are its own."""
    keys = ("x_l", "y_l", "i_l", "x_u_weak", "x_u_weak_2", "x_u_strong", "i_u")
    host, device = (make_config(mu=2, seed=3, randaugment_ops=1, views=where) for where in ("host", "device"))
    arrival = tf.function(pipeline.arrival(noisy(), device, keys), autograph=False)
    travelled = pipeline.training_batches(noisy(), device, keys, 4, 2, 3, make_devices("one"))
    (one,), (made,) = batches(noisy(), host, keys, start=2), map(arrival, travelled)
    assert set(one) == set(made) == set(keys)
    for key in keys:
        assert made[key].dtype == one[key].dtype
        np.testing.assert_array_equal(made[key], one[key], err_msg=key)

    keys = ("x_l", "y_l")
    ((_, one),), ((_, other),) = (replica_batches(noisy(), config, keys, steps=1) for config in (host, device))
    np.testing.assert_array_equal(one["x_l"], other["x_l"])


def test_points_have_the_same_views_on_the_device(make_config):
    host, device = (make_config("two_moons", views=where, jit_compile=False) for where in ("host", "device"))
    (one,), (other,) = (batches(points(6, 12), config, KEYS, steps=1) for config in (host, device))
    for key in KEYS:
        np.testing.assert_array_equal(one[key], other[key], err_msg=key)
