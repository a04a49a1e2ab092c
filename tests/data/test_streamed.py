"""Images that stay in their files: crops, order, resuming, replicas, repeats, and files that are damaged.

Covers: crops.py
"""

import io
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mpl_tf.base.errors import RunError
from mpl_tf.data import Dataset, Source, decode, pipeline, shards, streamed, tfrecord
from tests.data.test_pipeline import KEYS, NO_CHANGE, batches, replica_batches

MEAN, STD = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)


def encoded(image, kind="PNG", **options):
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind, **options)
    return file.getvalue()


def ramp(height, width):
    """An image whose red tells the row and whose green the column, as shares of the sides."""
    red = np.linspace(0, 255, height)[:, None] + np.zeros([1, width])
    green = np.linspace(0, 255, width)[None] + np.zeros([height, 1])
    return np.round(np.stack([red, green, (red + green) / 2], axis=-1)).astype(np.uint8)


def parse(record):
    """A record that is an image alone, its label in its file."""
    example = shards.parse(record)
    return example["image/encoded"], example["image/class/label"]


def write(folder, images, count=2, copies=1):
    """Shards of images, label n the image's number."""
    paths = []
    for number, part in enumerate(np.array_split(np.arange(len(images)), count)):
        paths.append(folder / f"images.tfrecord-{number:05d}-of-{count:05d}")
        with tf.io.TFRecordWriter(str(paths[-1])) as writer:
            for index in part:
                writer.write(shards.serialize(encoded(images[index]), str(index), int(index), 0.5, copies))
    return paths


@pytest.fixture
def numbered(tmp_path):
    """12 images, number n all of value n, in two shards; any crop of one is of its value."""
    return write(tmp_path, [np.full((9, 11, 3), number, np.uint8) for number in range(12)])


def dataset(labeled, unlabeled):
    return Dataset("numbered", labeled, unlabeled, labeled, ("c",) * 12, MEAN, STD)


def numbers(x):
    """Values of the images of a batch, that all their pixels have."""
    pixels = np.round(np.asarray(x) * 255).astype(int)
    assert (pixels == pixels[:, :1, :1, :1]).all()
    return pixels[:, 0, 0, 0]


# ---- Crops --------------------------------------------------------------------------------------------------------


def windows(image, count):
    """Top, left, height and width of `count` random crops of a ramp, as shares of its sides, from their corners."""
    found = []
    for seed in range(count):
        crop = streamed.random_crop(image, tf.constant([seed, 3]), 32).numpy().astype(float) / 255
        span = crop[-1, 0, 0] - crop[0, 0, 0], crop[0, -1, 1] - crop[0, 0, 1]
        found.append([crop[0, 0, 0], crop[0, 0, 1], *(value * 32 / 31 for value in span)])
    return np.array(found)


def test_random_crops_have_inceptions_area_and_aspect_and_lie_anywhere():
    height, width = 120, 160
    found = windows(encoded(ramp(height, width)), 300)
    area, aspect = found[:, 2] * found[:, 3], found[:, 3] * width / (found[:, 2] * height)
    assert 0.07 < area.min() < 0.12 and 0.9 < area.max() < 1.04
    random = np.random.default_rng(0)  # The height is uniform among those that fit, given the aspect.
    drawn = random.uniform(3 / 4, 4 / 3, 10_000)
    low, high = np.sqrt(0.08 * height * width / drawn), np.minimum(height, width / drawn)
    areas = random.uniform(low, high) ** 2 * drawn / (height * width)
    np.testing.assert_allclose(np.quantile(area, (0.25, 0.5, 0.75)), np.quantile(areas, (0.25, 0.5, 0.75)), atol=0.07)
    assert 0.72 < aspect.min() < 0.8 and 1.25 < aspect.max() < 1.4
    free = found[:, 2] < 0.6
    places = found[free, 0] / (1 - found[free, 2])
    assert places.min() < 0.1 and places.max() > 0.9 and places.mean() == pytest.approx(0.5, abs=0.08)


def test_a_jpeg_is_decoded_where_its_crop_is_and_a_png_the_same():
    """One seed, one window: the crop of a JPEG is that of the PNG of what it decodes to."""
    jpeg = encoded(ramp(90, 130), "JPEG", quality=90)
    image = tf.io.decode_jpeg(jpeg).numpy()
    seed = tf.constant([5, 6])
    from_png = streamed.random_crop(encoded(image), seed, 40).numpy()
    from_jpeg = streamed.random_crop(jpeg, seed, 40).numpy()
    assert (
        np.abs(from_jpeg.astype(int) - from_png).max() <= 2
    )  # At its edge the colours of one pixel in two are guessed.
    assert np.array_equal(from_png, streamed.random_crop(encoded(image), seed, 40))
    assert not np.array_equal(from_png, streamed.random_crop(encoded(image), tf.constant([5, 7]), 40))
    graph = tf.function(streamed.random_crop).get_concrete_function(
        tf.TensorSpec([], tf.string), tf.TensorSpec([2], tf.int32), 40
    )
    names = {node.op for function in graph.graph.as_graph_def().library.function for node in function.node_def}
    assert "DecodeAndCropJpeg" in names and "DecodeJpeg" not in names


@pytest.mark.parametrize(("shape", "top", "left", "side"), [((256, 300), 16, 38, 224), ((320, 256), 48, 16, 224)])
def test_evaluation_takes_the_middle(shape, top, left, side):
    """Of 256 pixels 224, not resized; of twice as many, the same place."""
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    expected = image[top : top + side, left : left + side]
    np.testing.assert_array_equal(streamed.centre_crop(encoded(image), 224), expected)
    large = ramp(2 * shape[0], 2 * shape[1])
    found = streamed.centre_crop(encoded(large), 224).numpy().astype(int)
    middle = large[2 * top : 2 * (top + side), 2 * left : 2 * (left + side)].astype(int)
    means = middle.reshape(224, 2, 224, 2, 3).mean(axis=(1, 3))
    assert np.abs(found - means).max() <= 1


def test_grey_and_cmyk_images_become_rgb():
    grey = encoded(np.full((20, 20), 77, np.uint8), "JPEG", quality=100)
    assert np.abs(streamed.centre_crop(grey, 8).numpy().astype(int) - 77).max() <= 1
    file = io.BytesIO()
    Image.new("CMYK", (20, 20), (0, 255, 255, 0)).save(file, "JPEG", quality=100)
    red = streamed.centre_crop(file.getvalue(), 8).numpy().astype(int)
    assert red.shape == (8, 8, 3) and (red[..., 0] > 250).all() and (red[..., 1:] < 5).all()


OTHERS = {  # Encoded by Pillow, and what the middle of it is on orange.
    "transparent png": ("PNG", Image.new("RGBA", (20, 20), (0, 0, 0, 0)), {}, (255, 128, 0)),
    "twelve bits": ("PNG", Image.fromarray(np.full((20, 20), 1600, np.uint16)), {}, (100, 100, 100)),
    "webp": ("WEBP", Image.new("RGB", (20, 20), (1, 2, 3)), {"lossless": True}, (1, 2, 3)),
    "tiff": ("TIFF", Image.new("RGB", (20, 20), (0, 0, 0)), {}, (0, 0, 0)),  # Ends in zeros.
    "gif": (
        "GIF",
        Image.new("L", (20, 20), 7),
        {"save_all": True, "append_images": [Image.new("L", (20, 20))]},
        (7,) * 3,
    ),
    "bmp": ("BMP", Image.new("RGB", (20, 20), (4, 5, 6)), {}, (4, 5, 6)),
}


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("graph", [False, True])
def test_what_is_no_plain_jpeg_goes_through_the_decoder_of_own_images(kind, graph):
    form, image, how, colour = OTHERS[kind]
    file = io.BytesIO()
    image.save(file, form, **how)
    crops = [streamed.centre_crop, lambda *rest: streamed.random_crop(rest[0], tf.constant([1, 2]), *rest[1:])]
    for crop in crops:
        cut = tf.function(crop) if graph else crop
        found = cut(tf.constant(file.getvalue()), 8, (255, 128, 0)).numpy()
        np.testing.assert_array_equal(found, np.broadcast_to(colour, (8, 8, 3)))


def test_a_turned_jpeg_is_put_upright():
    turned = Image.Exif()
    turned[0x0112] = 6
    image = ramp(60, 60)
    found = streamed.centre_crop(encoded(image, "JPEG", quality=100, exif=turned), 32).numpy().astype(int)
    expected = streamed.centre_crop(encoded(np.rot90(image, -1).copy()), 32).numpy().astype(int)
    assert np.abs(found - expected).max() <= 3
    assert np.abs(found - np.rot90(expected)).max() > 50


# ---- Order --------------------------------------------------------------------------------------------------------


def test_every_example_comes_once_an_epoch_with_its_label_and_as_from_memory(numbered, make_config):
    """The order is that of a Source of the same examples, the pipeline's tests of which hold here too."""
    config = make_config(mu=2, **NO_CHANGE)
    source = streamed.index(numbered, parse, 8)
    images = np.arange(12, dtype=np.uint8)[:, None, None, None] + np.zeros((1, 8, 8, 3), np.uint8)
    memory = Source(images, np.arange(12, dtype=np.int32))
    parts = source, source.take(slice(None), with_labels=False)
    found = batches(dataset(*parts), config, steps=6)
    expected = batches(dataset(memory, Source(images)), config, steps=6)
    for one, other in zip(found, expected, strict=True):
        for key in KEYS:
            np.testing.assert_array_equal(one[key], other[key])
    first = np.concatenate([one["y_l"] for one in found[:3]])
    assert sorted(first) == list(range(12)) and list(numbers(found[0]["x_l"])) == list(first[:4])


def photographs(count):
    """A Streamed of smooth random images in one file each, in memory until it is asked for."""
    random = np.random.default_rng(1)
    small = [Image.fromarray(random.integers(0, 256, (4, 5, 3), np.uint8)) for _ in range(count)]
    return [np.asarray(image.resize((50, 40), Image.Resampling.BICUBIC)) for image in small]


def test_a_resumed_run_draws_the_same_crops(tmp_path, make_config):
    source = streamed.index(write(tmp_path, photographs(10)), parse, 16)
    config, keys = make_config(mu=2), ("x_l", "y_l", "x_u_weak")
    whole, rest = (batches(dataset(source, source), config, keys, start=start, steps=5) for start in (0, 3))
    assert len(rest) == 2
    for one, other in zip(whole[3:], rest, strict=True):
        for key in keys:
            np.testing.assert_array_equal(one[key], other[key])


def test_the_views_of_an_example_are_views_of_one_crop_and_crops_differ_from_step_to_step(tmp_path, make_config):
    source = streamed.index(write(tmp_path, photographs(4)), parse, 16)
    keys = (*KEYS, "x_l_strong", "x_u_weak_2")
    found = batches(dataset(source, source), make_config(mu=1, **NO_CHANGE), keys, steps=2)
    for one in found:
        np.testing.assert_array_equal(one["x_u_weak"], one["x_u_strong"])
        np.testing.assert_array_equal(one["x_u_weak"], one["x_u_weak_2"])
        np.testing.assert_array_equal(one["x_l"], one["x_l_strong"])
    first, second = (one["x_l"][np.argsort(one["y_l"])] for one in found)
    assert all(not np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_replicas_take_parts_of_a_steps_examples(numbered, make_config, two_replicas):
    config = make_config(mu=2, **NO_CHANGE)
    source = streamed.index(numbered, parse, 8)
    both, keys = dataset(source, source.take(slice(None), with_labels=False)), (*KEYS, "i_u", "i_l")
    for one, parts in zip(batches(both, config, keys), replica_batches(both, config, keys), strict=True):
        np.testing.assert_array_equal(one["i_u"], numbers(one["x_u_weak"]))
        np.testing.assert_array_equal(one["i_l"], one["y_l"])
        for key in ("x_u_weak", "y_l", "i_u"):
            np.testing.assert_array_equal(np.concatenate([part[key] for part in parts]), one[key])


class TwoHosts:
    """Devices of two replicas on two hosts, as far as the pipeline asks: the data set of one of the hosts."""

    replicas = 2

    def __init__(self, host):
        self.host = host

    def distribute(self, of_host):
        return of_host([self.host])


def test_a_host_reads_its_own_part_alone(numbered, make_config):
    config = make_config(mu=1, **NO_CHANGE)
    labels, read = [], []
    for host in range(2):
        source = streamed.index(numbered, parse, 8)
        both = dataset(source, source.take(slice(None), with_labels=False))
        made = pipeline.training_batches(both, config, ("x_l", "y_l"), 4, 0, 3, TwoHosts(host))
        labels.append([one["y_l"].tolist() for one in made.as_numpy_iterator()])
        read.append({int(number) for number in source.recent})
    assert read[0] | read[1] == set(range(12)) and not read[0] & read[1]
    whole = [one["y_l"].tolist() for one in batches(dataset(source, source), config)]
    assert [first + second for first, second in zip(*labels, strict=True)] == whole


def test_an_image_that_counts_more_than_once_comes_so_often_and_brings_its_targets(tmp_path, make_config):
    images = [np.full((9, 9, 3), number, np.uint8) for number in range(3)]
    targets = np.arange(6, dtype=np.float32).reshape(3, 2)
    order = np.array([0, 1, 1, 1, 2], np.int32)
    source = streamed.index(write(tmp_path, images), parse, 8, labeled=False, order=order, targets=targets)
    assert (len(source), source.epoch) == (3, 5)
    labeled = streamed.index(write(tmp_path, images), parse, 8)
    keys = (*KEYS, "q_u", "i_u")
    (one,) = batches(dataset(labeled, source), make_config(mu=5, **NO_CHANGE), keys, batch=1, steps=1)
    assert sorted(numbers(one["x_u_weak"])) == [0, 1, 1, 1, 2]
    np.testing.assert_array_equal(one["i_u"], numbers(one["x_u_weak"]))
    np.testing.assert_array_equal(one["q_u"], targets[numbers(one["x_u_weak"])])


def test_pieces_are_all_examples_once_from_any_start(numbered):
    source = streamed.index(numbered, parse, 8)
    parts = list(source.pieces(5))
    assert [len(images) for images, _ in parts] == [5, 5, 2]
    np.testing.assert_array_equal(np.concatenate([labels for _, labels in parts]), np.arange(12))
    np.testing.assert_array_equal(np.concatenate([images[:, 3, 4, 1] for images, _ in parts]), np.arange(12))
    ((images, labels),) = source.pieces(5, start=9)
    assert images.dtype == np.uint8 and images.shape == (3, 8, 8, 3) and list(labels) == [9, 10, 11]


def test_fingerprints_tell_examples_and_their_order_apart(numbered):
    source = streamed.index(numbered, parse, 8)
    same = streamed.index(numbered, parse, 8)
    others = [source.take(np.arange(11)), source.take(np.arange(12)[::-1]), streamed.index(numbered, parse, 9)]
    assert source.fingerprint() == same.fingerprint()
    assert len({part.fingerprint() for part in (source, *others)}) == 4


# ---- Damaged files ------------------------------------------------------------------------------------------------


def cut(path, size):
    path.write_bytes(path.read_bytes()[:size])


def test_a_shard_cut_in_the_middle_is_named_before_anything_starts(numbered):
    cut(numbered[1], numbered[1].stat().st_size // 2)
    with pytest.raises(RunError, match=rf"^{numbered[1]}: expected .* it ends within record 3"):
        streamed.index(numbered, parse, 8)


def test_a_shard_cut_between_records_is_named_where_their_number_is_known(numbered):
    end = tfrecord.records(numbered[0])[4]
    cut(numbered[0], end.offset + end.length + 4)
    assert len(streamed.index(numbered, parse, 8)) == 11
    with pytest.raises(RunError, match=rf"^{numbered[0]}: expected 6 records, found 5"):
        streamed.index(numbered, parse, 8, [6, 6])


def test_a_shard_cut_later_is_named_when_it_is_read(numbered):
    source, content = streamed.index(numbered, parse, 8), numbered[1].read_bytes()
    cut(numbered[1], 300)
    with pytest.raises(RunError, match=rf"^{numbered[1]}: expected \d+ bytes at \d+, it ends after .*the same command"):
        list(source.pieces(4))
    numbered[1].write_bytes(content)
    numbered[0].unlink()
    with pytest.raises(RunError, match=rf"^{numbered[0]}: cannot be read"):
        list(streamed.Streamed(source.files, source.places, parse, 8).pieces(4))


def test_an_image_that_cannot_be_decoded_is_named_by_file_and_place(numbered):
    source = streamed.index(numbered, parse, 8)
    record = tfrecord.records(numbered[0])[2]
    data = bytearray(numbered[0].read_bytes())
    at = data.index(b"IHDR", record.offset)
    data[at : at + 4] = b"XXXX"
    numbered[0].write_bytes(data)
    with pytest.raises(RunError, match=rf"^{numbered[0]}: expected an image at byte {record.offset}, got ") as caught:
        list(source.pieces(4))
    assert "\n" not in str(caught.value) and "got a record whose checksum is wrong;" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"no image at all", "got no image of these formats;"),
        (encoded(ramp(90, 90), "JPEG")[:-200], "jpeg"),
        (encoded(ramp(90, 90))[:-200], "truncated"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "got no image of these formats;"),
    ],
)
def test_an_image_that_is_none_is_named_though_its_record_is_whole(tmp_path, content, told):
    path = tmp_path / "a.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for part in (encoded(np.zeros((40, 40, 3), np.uint8)), content):
            writer.write(shards.serialize(part, "x", 0, 0.5))
    source, at = streamed.index([path], parse, 8), tfrecord.records(path)[1].offset
    with pytest.raises(RunError, match=rf"^{path}: expected an image at byte {at}, got .*mend this file") as caught:
        list(source.pieces(2))
    assert told in str(caught.value).lower()


def test_an_image_too_large_is_named(numbered, monkeypatch):
    monkeypatch.setattr(decode, "BOMB", 98)
    with pytest.raises(RunError, match=r"got an image of 11 x 9 pixels, more than 0 megapixels"):
        list(streamed.index(numbered, parse, 8).pieces(4))


def test_image_files_are_read_as_records_are(tmp_path):
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(encoded(np.full((9, 11, 3), number, np.uint8)))
    (tmp_path / "caf\udce9.webp").write_bytes(encoded(np.full((9, 11, 3), 3, np.uint8), "WEBP", lossless=True))
    files = tuple(map(str, sorted(tmp_path.iterdir())))
    places = np.array([(number, 0, Path(file).stat().st_size) for number, file in enumerate(files)], np.int64)
    source = streamed.Streamed(files, places, lambda data: (data, -1), 8, labeled=False, framed=False)
    ((images, _),) = source.pieces(4)
    assert images[:, 0, 0, 0].tolist() == [0, 1, 2, 3] and len(source.fingerprint()) == 64


def test_an_error_that_is_not_the_files_has_no_other_explanation(numbered):
    source = streamed.index(numbered, parse, 8)
    list(source.pieces(4))
    assert dataset(source, source).failure(tf.errors.ResourceExhaustedError(None, None, "no memory")) is None
