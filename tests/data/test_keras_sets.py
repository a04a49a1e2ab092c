"""Batches with views from tf.data sets: what is in them, by the seed alone, and refusals in one line."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.base.errors import UsageError
from mpl_tf.data import augment
from mpl_tf.data.draws import seed_of
from mpl_tf.data.keras_sets import from_keras, normalised
from mpl_tf.data.pipeline import LABELED
from mpl_tf.settings.catalogue import IMAGENET_MEAN, IMAGENET_STD

IMAGES = np.random.default_rng(0).integers(0, 256, size=(12, 8, 9, 3), dtype=np.uint8)
Y = np.arange(12) % 3
SMALL = {"labeled_batch": 4, "mu": 2, "randaugment_ops": 1}


def sets(images=IMAGES, size=None):
    """(labeled, unlabeled) of the images, in batches of `size`."""
    found = tf.data.Dataset.from_tensor_slices((images, Y)), tf.data.Dataset.from_tensor_slices(images)
    return found if size is None else tuple(one.batch(size) for one in found)


def first(data, count=3):
    return [{key: value.numpy() for key, value in one.items()} for one in data.take(count)]


def test_a_batch_has_views_of_the_examples_with_their_labels():
    keras.utils.set_random_seed(0)
    batches = first(from_keras(*sets(), **SMALL))
    assert {key: (value.shape, value.dtype.name) for key, value in batches[0].items()} == {
        "x_l": ((4, 8, 9, 3), "float32"),
        "y_l": ((4,), "int32"),
        "x_u_weak": ((8, 8, 9, 3), "float32"),
        "x_u_strong": ((8, 8, 9, 3), "float32"),
    }
    # Without shift and flip the weak view is the image itself: each comes once an epoch, beside its label.
    plain = first(from_keras(*sets(), **SMALL, flip=False, shift=0))
    scaled, known = normalised(IMAGES), []
    for batch in plain:
        for x, y in zip(batch["x_l"], batch["y_l"], strict=True):
            number = int(np.abs(scaled - x).sum(axis=(1, 2, 3)).argmin())
            np.testing.assert_allclose(x, scaled[number], atol=1e-5)
            known.append(number)
            assert y == Y[number]
    assert sorted(known) == list(range(12)) and known != sorted(known)
    # With them it is the view that the program makes of it, by the seed and the batch's number.
    images = IMAGES[known[4:8]]
    view = augment.weak_view(images, seed_of(0, LABELED, tf.constant(1, tf.int64)), flip=True, shift=1)
    np.testing.assert_allclose(batches[1]["x_l"], normalised(view), atol=1e-5)


def test_the_same_seed_gives_the_same_batches_and_another_others():
    def made(**given):
        keras.utils.set_random_seed(1)
        return first(from_keras(*sets(size=5), **SMALL | given))

    same, again, other = made(seed=3), made(seed=3), made(seed=4)
    for one, two in zip(same, again, strict=True):
        for key, value in one.items():
            np.testing.assert_array_equal(value, two[key])
    assert any(not np.array_equal(one["x_u_strong"], two["x_u_strong"]) for one, two in zip(same, other, strict=True))


def test_floats_and_grey_images_are_the_same_pixels():
    grey = IMAGES[..., :1]
    found = []
    for images in (np.repeat(grey, 3, axis=-1), grey.astype("float32")):
        keras.utils.set_random_seed(0)
        found.append(first(from_keras(*sets(images, size=4), **SMALL), 1)[0])
    for key, value in found[0].items():
        np.testing.assert_array_equal(value, found[1][key])


def test_normalised_is_what_own_images_are_normalised_by():
    by_hand = (IMAGES / 255 - IMAGENET_MEAN) / IMAGENET_STD
    np.testing.assert_allclose(normalised(IMAGES), by_hand, atol=1e-5)
    labeled, unlabeled = sets(size=12)
    x, y = next(iter(normalised(labeled)))
    np.testing.assert_allclose(x, by_hand, atol=1e-5)
    np.testing.assert_array_equal(y, Y)
    np.testing.assert_allclose(next(iter(normalised(unlabeled))), by_hand, atol=1e-5)


def test_a_method_of_labeled_data_alone_needs_no_more():
    labeled, _ = sets()
    assert set(first(from_keras(labeled, keys=("x_l", "x_l_strong", "y_l"), **SMALL), 1)[0]) == {
        "x_l",
        "x_l_strong",
        "y_l",
    }


one_hot = tf.data.Dataset.from_tensor_slices((IMAGES, np.eye(3, dtype="float32")[Y]))
REFUSED = [
    ("unlabeled: expected a tf.data.Dataset of images, got nothing", lambda: from_keras(sets()[0])),
    ("labeled: expected a tf.data.Dataset, got ndarray", lambda: from_keras(IMAGES, sets()[1])),
    ("labeled: expected a class number beside each image, got none", lambda: from_keras(sets()[1], sets()[1])),
    ("labeled: .* got float32 .*give label_mode='int'", lambda: from_keras(one_hot, sets()[1])),
    ("unlabeled: expected images of \\(8, 9, 3\\)", lambda: from_keras(sets()[0], sets(IMAGES[:, :7])[1])),
    ("labeled: expected pixels in \\[0, 255\\], .* 0 to 1;", lambda: from_keras(*sets(IMAGES / np.float32(255)))),
    ("labeled: expected images, the data set is empty", lambda: from_keras(sets()[0].take(0), sets()[1])),
    ("labeled: expected images of 1 or 3 channels, got 2", lambda: from_keras(*sets(IMAGES[..., :2]))),
    ("keys: .* got i_u; a run of the program", lambda: from_keras(*sets(), keys=("x_l", "i_u"))),
    ("muu: there is no such argument, .*did you mean mu", lambda: from_keras(*sets(), muu=3)),
    ("cutout: expected 0 to 1, got 2", lambda: from_keras(*sets(), cutout=2)),
]


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_what_does_not_do_is_one_line(number):
    told, call = REFUSED[number]
    with pytest.raises(UsageError, match=f"^{told}") as caught:
        call()
    assert "\n" not in str(caught.value)
