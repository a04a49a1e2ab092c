"""Operations against Pillow, and the views' chances, bounds and determinism.

Covers: operations.py
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps

from mpl_tf.data import augment, operations
from mpl_tf.data.operations import OPERATIONS
from mpl_tf.settings import forms

GREY = (128, 128, 128)
MAGNITUDES = (0, 1, 3.7, 5, 9, 16, 30)
# Shapes: CIFAR's, not square (both ways), and tiny.
SHAPES = ((32, 32), (24, 40), (17, 12), (8, 8))


def pictures(height, width):
    """uint8 [8, H, W, 3]: noise, noise of few levels, smooth waves, and a ramp in each direction."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (2, height, width, 3))
    few = rng.integers(100, 104, (1, height, width, 3))
    y, x = np.mgrid[:height, :width][..., None]
    waves = [127 + 60 * np.sin(x / a + np.arange(3)) + 50 * np.cos(y / b) for a, b in ((3, 5), (7, 4), (9, 9))]
    ramps = [40 + 5 * x + 20 * np.arange(3) + 0 * y, 250 - 4 * y - 9 * np.arange(3) + 0 * x]
    return np.clip(np.concatenate([noise, few, np.stack(waves), np.stack(ramps)]), 0, 255).astype(np.uint8)


def one_sign(count, negate):
    """Draws that negate all images' geometry, or none's."""
    return tf.fill([count, 2], 0.25 if negate else 0.75)


def transformed(matrix):
    return lambda image: image.transform(image.size, Image.AFFINE, matrix, Image.NEAREST, fillcolor=GREY)


def enhanced(kind, magnitude):
    return lambda image: kind(image).enhance(0.1 + 1.8 * magnitude / 10)


# Name -> function(magnitude, sign, height, width) that returns Pillow's function of an image.
PILLOW = {
    "AutoContrast": lambda m, s, h, w: ImageOps.autocontrast,
    "Equalize": lambda m, s, h, w: ImageOps.equalize,
    "Invert": lambda m, s, h, w: ImageOps.invert,
    "Rotate": lambda m, s, h, w: lambda image: image.rotate(s * 30 * m / 10, Image.NEAREST, fillcolor=GREY),
    "Posterize": lambda m, s, h, w: lambda image: ImageOps.posterize(image, min(max(int(4 * m / 10), 1), 8)),
    "Solarize": lambda m, s, h, w: lambda image: ImageOps.solarize(image, min(int(256 * m / 10), 256)),
    "Color": lambda m, s, h, w: enhanced(ImageEnhance.Color, m),
    "Contrast": lambda m, s, h, w: enhanced(ImageEnhance.Contrast, m),
    "Brightness": lambda m, s, h, w: enhanced(ImageEnhance.Brightness, m),
    "Sharpness": lambda m, s, h, w: enhanced(ImageEnhance.Sharpness, m),
    "ShearX": lambda m, s, h, w: transformed((1, s * 0.3 * m / 10, 0, 0, 1, 0)),
    "ShearY": lambda m, s, h, w: transformed((1, 0, 0, s * 0.3 * m / 10, 1, 0)),
    "TranslateX": lambda m, s, h, w: transformed((1, 0, s * w / 8 * m / 10, 0, 1, 0)),
    "TranslateY": lambda m, s, h, w: transformed((1, 0, 0, 0, 1, s * h / 8 * m / 10)),
}
WITHIN_ONE_LEVEL = {"AutoContrast"}


def pillow(function, images):
    return np.stack([np.asarray(function(Image.fromarray(image))) for image in images])


@pytest.mark.parametrize("name", PILLOW)
def test_operation_equals_pillow(name):
    for shape in SHAPES:
        images = pictures(*shape)
        for magnitude in MAGNITUDES:
            for negate in (False, True):
                ours = OPERATIONS[name](tf.constant(images), magnitude, one_sign(8, negate), 128).numpy()
                theirs = pillow(PILLOW[name](magnitude, -1 if negate else 1, *shape), images)
                assert ours.dtype == np.uint8
                distance = np.abs(ours.astype(int) - theirs.astype(int))
                assert distance.max() <= (name in WITHIN_ONE_LEVEL), (shape, magnitude, negate)
                assert np.mean(distance > 0) < 0.05


def test_the_table_lists_the_15_operations():
    assert list(OPERATIONS) == [*PILLOW, "Cutout"] == list(forms._OPERATIONS)
    assert len(OPERATIONS) == 15


def test_imagenets_reach_is_the_released_one_in_pixels(make_config):
    """At magnitude 17 of 224 pixels: translations of 170, cutouts of 2 x int(40 x 1.7) = 136."""
    for name in ("imagenet", "imagenet_10", "imagenet_jft"):
        folder = {"unlabeled_dir": "."} if name == "imagenet_jft" else {}
        config = make_config(name, **folder)
        reaching = operations.chosen(config.randaugment_translate, config.randaugment_cutout, ())
        columns = np.tile(
            np.arange(224, dtype=np.uint8)[:, None], (1, 224, 1, 3)
        )  # Each pixel has its column's number.
        images = tf.constant(columns)
        moved = reaching["TranslateX"](images, 17, one_sign(1, False), 255).numpy()[0, 0, :, 0]
        np.testing.assert_array_equal(moved, [*range(170, 224), *[255] * 170])
        moved = reaching["TranslateY"](images, 17, one_sign(1, True), 255).numpy()[0, :, 0, 0]
        np.testing.assert_array_equal(moved, [255] * 170 + [0] * 54)
        hole = reaching["Cutout"](images, 17, tf.constant([[0.5, 0.5]]), 255).numpy()[0, :, :, 0] == 255
        assert (hole.any(0).sum(), hole.any(1).sum()) == (136, 136)


def test_operations_left_out_are_never_drawn(make_config):
    """SVHN's digits are neither turned nor pushed sideways, and all others are drawn as often as each other."""
    without = make_config("svhn_1k").randaugment_without.split(",")
    assert without == ["Rotate", "TranslateX"]
    kept = operations.chosen(1 / 8, 1 / 8, without)
    assert list(kept) == [name for name in OPERATIONS if name not in without]
    named = {name: lambda x, m, u, fill, n=n: x + tf.constant(n, tf.uint8) for n, name in enumerate(kept, 1)}
    images = tf.zeros([26_000, 1, 1, 3], tf.uint8)
    drawn = augment.strong_view(images, SEED, **{**PLAIN, "num_ops": 1}, operations=named).numpy()[:, 0, 0, 0]
    count = np.bincount(drawn, minlength=14)
    assert len(count) == 14
    assert abs(count[1:] - 1000).max() < 4 * np.sqrt(1000)


def test_images_of_a_batch_take_their_own_sign():
    images = tf.constant(np.repeat(pictures(32, 32)[:1], 3, axis=0))
    negate = tf.constant([[0.1, 0.0], [0.9, 0.0], [0.4999, 0.0]])
    ours = OPERATIONS["Rotate"](images, 16, negate, 128).numpy()
    turned = [np.asarray(Image.fromarray(images[0].numpy()).rotate(a, fillcolor=GREY)) for a in (-48, 48, -48)]
    np.testing.assert_array_equal(ours, turned)


def test_histogram_operations_on_few_levels():
    """One level stays as it is; two levels, one odd pixel, and a full range are Pillow's."""
    constant = [np.full((32, 32, 3), v) for v in (0, 7, 255)]
    halves = np.where(np.arange(32)[:, None, None] < 16, 30, 90) + np.zeros((32, 32, 3), int)
    odd = np.full((32, 32, 3), 60)
    odd[3, 4] = (61, 0, 255)
    steep = np.minimum(np.arange(1024).reshape(32, 32, 1) // 2, 255) + np.zeros((1, 1, 3), int)
    images = np.stack([*constant, halves, odd, steep]).astype(np.uint8)
    equalized = operations.equalize(images).numpy()
    np.testing.assert_array_equal(equalized, pillow(ImageOps.equalize, images))
    stretched = operations.auto_contrast(images).numpy().astype(int)
    assert np.abs(stretched - pillow(ImageOps.autocontrast, images)).max() <= 1
    np.testing.assert_array_equal(equalized[:3], images[:3])
    np.testing.assert_array_equal(stretched[:3], images[:3])
    assert set(stretched[3].ravel()) == {0, 255}


@pytest.mark.parametrize(
    ("name", "magnitude", "before", "after"),
    [
        ("Brightness", 16, (50, 100, 255), (149, 255, 255)),  # times 2.98, saturated
        ("Brightness", 0, (50, 100, 255), (5, 10, 25)),
        ("Color", 30, (200, 100, 0), (255, 19, 0)),  # grey 118; 118 + 5.5 (v - 118)
        ("Contrast", 16, (200, 100, 0), (255, 64, 0)),  # mean grey 118; 118 + 2.98 (v - 118)
        ("Solarize", 5, (127, 128, 255), (127, 127, 0)),
        ("Solarize", 16, (127, 128, 255), (127, 128, 255)),  # threshold held at 256, not 409 - 256
        ("Posterize", 5, (63, 64, 255), (0, 64, 192)),
        ("Posterize", 16, (63, 64, 255), (60, 64, 252)),
        ("Posterize", 30, (63, 64, 255), (63, 64, 255)),
        ("Posterize", 0, (63, 128, 255), (0, 128, 128)),
        ("Invert", 16, (0, 100, 255), (255, 155, 0)),
    ],
)
def test_operation_by_hand(name, magnitude, before, after):
    image = tf.constant(before, tf.uint8, shape=[1, 1, 1, 3])
    answer = OPERATIONS[name](tf.tile(image, [2, 5, 4, 1]), magnitude, one_sign(2, False), 128).numpy()
    assert {tuple(map(int, pixel)) for pixel in answer.reshape(-1, 3)} == {after}


def test_operations_ignore_the_global_precision_policy():
    images = tf.constant(pictures(32, 32))
    expected = [operations.auto_contrast(images), operations.posterize(images, 6)]
    operations._layer.cache_clear()
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        received = [operations.auto_contrast(images), operations.posterize(images, 6)]
    finally:
        keras.config.set_dtype_policy(policy)
        operations._layer.cache_clear()
    for a, b in zip(expected, received, strict=True):
        np.testing.assert_array_equal(a, b)


def test_cutout_operation():
    images = tf.zeros([3, 32, 32, 3], tf.uint8)
    centre = tf.constant([[0.5, 0.5], [0.0, 0.999], [0.25, 0.0]])
    holes = OPERATIONS["Cutout"](images, 16, centre, 9).numpy()[..., 0]  # half side int(4 * 1.6) = 6
    expected = np.zeros([3, 32, 32])
    expected[0, 10:22, 10:22] = expected[1, :6, 25:] = expected[2, 2:14, :6] = 9
    np.testing.assert_array_equal(holes, expected)
    assert not OPERATIONS["Cutout"](images, 2, centre, 9).numpy().any()  # half side int(0.8) = 0


# ---- Views --------------------------------------------------------------------------------------------------------

STRONG = {"flip": True, "shift": 4, "num_ops": 2, "magnitude": 16, "cutout": 0.5}
PLAIN = {"flip": False, "shift": 0, "num_ops": 0, "magnitude": 16, "cutout": 0}
VIEWS = {
    "weak": lambda images, seed: augment.weak_view(images, seed, flip=True, shift=4),
    "strong": lambda images, seed: augment.strong_view(images, seed, **STRONG),
}
SEED = tf.constant([3, 4])


def addressed(count, height=32, width=32):
    """Images whose pixel (y, x) is (y, x, 200), so that a view tells where each pixel comes from."""
    y, x = np.mgrid[:height, :width]
    return np.tile(np.stack([y, x, np.full_like(x, 200)], -1).astype(np.uint8), [count, 1, 1, 1])


def moves(views):
    """(dy, dx, flipped) for each view of addressed images, checked on every pixel: the rest must be fill 128."""
    found = []
    _, height, width, _ = views.shape
    for view in views.astype(int):
        inside = view[..., 2] == 200
        assert (view[~inside] == 128).all()
        (y, y2), (x, x2) = np.flatnonzero(inside.any(1))[[0, -1]], np.flatnonzero(inside.any(0))[[0, -1]]
        flipped = view[y, x, 1] > view[y, x2, 1]
        step = -1 if flipped else 1
        dy, dx = view[y, x, 0] - y, (width - 1 - view[y, x, 1] if flipped else view[y, x, 1]) - x
        rows, columns = np.mgrid[:height, :width] + np.array([dy, dx])[:, None, None]
        seen = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        np.testing.assert_array_equal(inside, seen)
        assert (y2 - y + 1, x2 - x + 1) == (height - abs(dy), width - abs(dx))
        sources = columns if step == 1 else width - 1 - columns
        np.testing.assert_array_equal(view[seen][:, :2], np.stack([rows, sources], -1)[seen])
        found.append((int(dy), int(dx), bool(flipped)))
    return np.array(found)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("strong", [False, True])
def test_flip_and_shift(flip, strong):
    if strong:
        views = augment.strong_view(addressed(1000), SEED, **{**PLAIN, "flip": flip, "shift": 3})
    else:
        views = augment.weak_view(addressed(1000), SEED, flip=flip, shift=3)
    dy, dx, flipped = moves(views.numpy()).T
    for places in (dy, dx):
        count = np.bincount(places + 3, minlength=7)  # expected 143, standard deviation 11
        assert len(count) == 7 and count.min() > 100 and count.max() < 186
    assert abs(np.corrcoef(dy, dx)[0, 1]) < 0.1
    assert 440 < flipped.sum() < 560 if flip else not flipped.any()


def test_digits_are_never_flipped_and_nothing_asked_is_nothing_done():
    images = pictures(32, 32)
    np.testing.assert_array_equal(augment.weak_view(images, SEED, flip=False, shift=0), images)
    np.testing.assert_array_equal(augment.strong_view(images, SEED, **PLAIN), images)


def test_fill():
    views = augment.weak_view(tf.zeros([50, 8, 8, 3], tf.uint8), SEED, flip=False, shift=2, fill=77).numpy()
    assert set(views.ravel().tolist()) == {0, 77}
    strong = augment.strong_view(tf.zeros([50, 8, 8, 3], tf.uint8), SEED, **{**PLAIN, "cutout": 0.5}, fill=77).numpy()
    assert set(strong.ravel().tolist()) == {0, 77}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_views_are_a_function_of_images_and_seed(view):
    images = np.repeat(pictures(32, 32)[3:4], 64, axis=0)
    first = view(images, SEED).numpy()
    np.testing.assert_array_equal(first, view(images, SEED))
    np.testing.assert_array_equal(first, tf.function(view)(tf.constant(images), SEED))
    np.testing.assert_array_equal(first, view(images, tf.constant([3, 4], tf.int64)))
    assert len({v.tobytes() for v in first}) > 45  # the weak view has 162 possible answers for 64 equal images
    for other in ([3, 5], [4, 4]):
        assert np.mean(np.any(first != view(images, tf.constant(other)).numpy(), axis=(1, 2, 3))) > 0.9


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_views_hold_no_state(view):
    signature = [tf.TensorSpec([None, 32, 32, 3], tf.uint8), tf.TensorSpec([2], tf.int64)]
    traced = tf.function(view, input_signature=signature).get_concrete_function()
    assert not traced.captured_inputs
    assert not [op.name for op in traced.graph.get_operations() if op.op_def.is_stateful]


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_views_inside_a_pipeline_of_unknown_batch_size(view):
    images = pictures(32, 32)
    dataset = tf.data.Dataset.from_tensor_slices(images).batch(5).enumerate()
    dataset = dataset.map(lambda step, batch: view(batch, tf.stack([step, 7])), num_parallel_calls=2)
    assert dataset.element_spec.shape.as_list() == [None, 32, 32, 3]
    for _ in range(2):
        for step, batch in enumerate(dataset):
            expected = view(images[5 * step : 5 * step + 5], tf.constant([step, 7], tf.int64))
            np.testing.assert_array_equal(batch, expected)


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
@pytest.mark.parametrize("shape", [(0, 32, 32), (1, 32, 32), (3, 8, 8), (5, 24, 40), (1, 40, 24), (0, 17, 12)])
def test_views_of_any_shape(view, shape):
    images = tf.zeros([*shape, 3], tf.uint8)
    answer = view(images, SEED)
    assert answer.shape == images.shape and answer.dtype == tf.uint8


def test_operations_are_drawn_equally_and_applied_half_the_time(monkeypatch):
    for number, name in enumerate(OPERATIONS):
        monkeypatch.setitem(OPERATIONS, name, lambda x, m, u, fill, n=number: x + tf.constant(n + 1, tf.uint8))
    total = 30_000
    images = tf.zeros([total, 1, 1, 3], tf.uint8)
    drawn = augment.strong_view(images, SEED, **{**PLAIN, "num_ops": 1}).numpy()[:, 0, 0, 0]
    count = np.bincount(drawn, minlength=16)
    assert abs(count[0] / total - 0.5) < 0.01  # standard deviation 0.003
    assert abs(count[1:] - total / 30).max() < 4 * np.sqrt(total / 30)
    twice = augment.strong_view(images, SEED, **{**PLAIN, "num_ops": 2}).numpy()[:, 0, 0, 0]
    # One chance P an image, uniform in [0.2, 0.8]: E (1 - P)^2 = 0.25 + 0.6^2 / 12; by slots of their own 0.25.
    assert abs(np.mean(twice == 0) - 0.28) < 0.01
    assert abs(np.mean(twice.astype(float)) - 2 * 0.5 * 8) < 0.15


def test_each_image_gets_the_operation_it_drew():
    """With one slot and nothing else, each view is its own image, or one operation's answer for it."""
    images = np.random.default_rng(1).integers(0, 256, (200, 16, 16, 3), np.uint8)
    views = augment.strong_view(images, SEED, **{**PLAIN, "num_ops": 1, "magnitude": 8}).numpy()
    unexplained = np.any(views != images, axis=(1, 2, 3))
    assert 70 < unexplained.sum() < 130
    for name, operation in OPERATIONS.items():
        if name == "Cutout":
            answers = [np.where(np.all(views == 128, axis=-1, keepdims=True), 128, images)]
        else:
            signs = [one_sign(200, negate) for negate in (False, True)]
            answers = [operation(tf.constant(images), 8, sign, 128).numpy() for sign in signs]
        hit = unexplained & np.any([np.all(a == views, axis=(1, 2, 3)) for a in answers], axis=0)
        assert hit.any(), name
        unexplained &= ~hit
    assert not unexplained.any()


def test_cutout_of_a_view():
    images = tf.zeros([4000, 32, 32, 3], tf.uint8)
    holes = augment.strong_view(images, SEED, **{**PLAIN, "cutout": 0.5}).numpy()[..., 0] == 128
    heights, widths = holes.any(2).sum(1), holes.any(1).sum(1)
    np.testing.assert_array_equal(holes.sum((1, 2)), heights * widths)  # a rectangle
    lengths = [min(c + 8, 32) - max(c - 8, 0) for c in range(32)]  # 8 to 16, the centre being uniform
    for seen in (heights, widths):
        assert seen.min() == 8 and seen.max() == 16
        assert abs(seen.mean() - np.mean(lengths)) < 0.2
    assert abs(holes.mean() - (np.mean(lengths) / 32) ** 2) < 0.005
    not_square = augment.strong_view(tf.zeros([100, 16, 64, 3], tf.uint8), SEED, **{**PLAIN, "cutout": 0.5}).numpy()
    assert (not_square[..., 0] == 128).any(1).sum(1).max() == 8  # half of the shorter side


@pytest.mark.parametrize("magnitude", [16, 30])
def test_great_magnitudes_saturate(magnitude):
    """A bright image with a dark spot: blends stay at 255 and 0 where a wrapped value would land in between."""
    image = np.full((1, 32, 32, 3), 250, np.uint8)
    image[:, 12:20, 12:20] = 4
    for name in ("Brightness", "Contrast", "Color", "Sharpness"):
        answer = OPERATIONS[name](tf.constant(image), magnitude, one_sign(1, False), 128).numpy()
        assert (answer[0, 0, 0] >= 250).all(), name
        assert (answer[0, 15, 15] <= 22).all(), name
    strong = augment.strong_view(np.repeat(image, 64, 0), SEED, **{**STRONG, "magnitude": magnitude})
    assert strong.shape == (64, 32, 32, 3)


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((2, 8, 8, 3), np.float32),
        np.zeros((8, 8, 3), np.uint8),
        np.zeros((2, 8, 8, 1), np.uint8),
    ],
)
def test_other_images_are_refused(images):
    with pytest.raises(ValueError, match="images: expected uint8"):
        augment.weak_view(images, SEED, flip=False, shift=1)


def test_noise_view():
    points = tf.constant(np.random.default_rng(0).normal(size=(5000, 2)), tf.float32)
    noisy = augment.noise_view(points, SEED, stddev=0.3)
    noise = (noisy - points).numpy()
    assert noisy.dtype == tf.float32
    assert np.abs(noise.mean(0)).max() < 0.02
    np.testing.assert_allclose(noise.std(0), 0.3, rtol=0.03)
    np.testing.assert_array_equal(noisy, augment.noise_view(points, SEED, stddev=0.3))
    assert not np.array_equal(noisy, augment.noise_view(points, tf.constant([3, 5]), stddev=0.3))
    assert augment.noise_view(points[:0], SEED, stddev=0.3).shape == (0, 2)
