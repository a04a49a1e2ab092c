"""Grids of pictures: which images they show, by hand; views of images in memory and in files; what has none."""

import base64
import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mpl_tf import data
from mpl_tf.data import Dataset, Source
from mpl_tf.data.stored import Stored
from mpl_tf.run.report import grids, look
from mpl_tf.run.report.sample import Answers, Sample

NAMES = ("a", "b", "c")
GREYS = np.repeat(np.arange(0, 250, 25, dtype=np.uint8), 64 * 3).reshape(10, 8, 8, 3)


def grey(figure):
    """The grey level of a figure of one colour, in steps of 25."""
    with Image.open(io.BytesIO(base64.b64decode(figure["uri"].split(",")[1]))) as image:
        assert image.size == (look.SIDE, look.SIDE)
        return round(np.asarray(image).mean() / 25)


def said(*rows):
    return np.array(rows, float)


def test_the_surest_and_the_least_sure_of_each_class_are_shown():
    sure = np.linspace(0.5, 0.95, 10)
    given = np.stack([sure, 1 - sure, 0 * sure], axis=-1)
    drawn = Sample(np.arange(10), GREYS, None)
    ((name, figures),) = grids.confident(given, drawn, NAMES)["rows"]
    assert (name, [grey(figure) for figure in figures]) == ("a", list(range(9, -1, -1)))
    assert figures[0]["caption"] == "0.950"
    many = Sample(np.arange(30), np.repeat(GREYS, 3, axis=0), None)
    given = np.repeat(given, 3, axis=0)
    assert len(grids.confident(given, many, NAMES)["rows"][0][1]) == 2 * grids.EACH
    each = np.eye(40)
    assert (
        len(grids.confident(each, Sample(None, np.repeat(GREYS, 4, axis=0), None), range(40))["rows"]) == grids.CLASSES
    )


def test_images_on_which_both_are_sure_of_different_classes_come_first():
    teacher = said([0.9, 0.1, 0], [0.6, 0.4, 0], [0.8, 0.1, 0.1])
    student = said([0.8, 0.2, 0], [0, 0.9, 0.1], [0.1, 0.2, 0.7])
    found = grids.differing(teacher, student, Sample(None, GREYS[:3], None), NAMES)
    ((_, figures),) = found["rows"]
    assert [figure["caption"] for figure in figures] == [
        "teacher a 0.80, student c 0.70",
        "teacher a 0.60, student b 0.90",
    ]
    assert found["note"].startswith("2 of 3")


def test_the_surest_wrong_answers_are_shown():
    own = said([0.9, 0.1, 0], [0.6, 0.4, 0], [0.8, 0.1, 0.1])
    found = grids.errors(own, Sample(None, GREYS[:3], np.array([0, 1, 2])), NAMES, "validation")
    ((_, figures),) = found["rows"]
    assert [figure["caption"] for figure in figures] == ["c, said a 0.80", "b, said a 0.60"]
    assert found["title"] == "Worst validation errors"


def test_views_are_those_of_the_run(make_config):
    config = make_config()
    dataset = data.load(config)
    found = grids.views(dataset, config)
    first, second = grids.of_views(found)
    assert (first["title"], second["title"]) == ("Views of labeled images", "Views of unlabeled images")
    for grid in (first, second):
        assert len(grid["rows"]) == grids.SHOWN
        for _, figures in grid["rows"]:
            kinds = ["as it is read", *["weak"] * grids.WEAK, *["strong"] * grids.STRONG]
            assert [figure["caption"] for figure in figures] == kinds
    assert grids.of_views(grids.views(dataset, config)) == [first, second]
    side, across = 8 * grids.SHOWN, 8 * (1 + grids.WEAK + grids.STRONG)
    picture = grids.joined(found["labeled"])
    assert picture.shape == (side, across, 3)
    np.testing.assert_array_equal(picture[8:16, 8:16], found["labeled"][1][1][1])  # The first weak view of the second.


def test_views_of_images_in_files(make_config, imagenet_dir):
    config = make_config("imagenet_10", data_dir=imagenet_dir, scale="smoke", model="narrow_cnn")
    dataset = data.load(config)
    assert [len(kinds[0][1]) for kinds in grids.views(dataset, config).values()] == [grids.SHOWN, grids.SHOWN]


def test_what_has_no_images_says_so():
    points = Source(np.zeros([2, 2], np.float32), np.zeros(2, np.int32))
    stored = Stored(np.arange(2), points.labels, views={"plain": np.zeros([2, 1, 5], np.float16)})
    assert "points" in grids.without(Dataset("two_moons", points, points, points, NAMES))
    assert "stored features" in grids.without(Dataset("digits_50", stored, stored, stored, NAMES))
    images = Source(GREYS, np.zeros(10, np.int32))
    assert grids.without(Dataset("digits_50", images, images, images, NAMES)) == ""


def test_a_network_is_asked_once():
    class Network:
        asked, weight, distribute_strategy = 0, 1.0, tf.distribute.get_strategy()

        def get_weights(self):
            return [np.float32(self.weight)]

        def predict(self, images, **_):
            self.asked += 1
            return np.zeros([len(images), 2])

    network, drawn = Network(), Sample(None, GREYS, None)
    answers = Answers(4)
    answers.ask({"student": network})
    np.testing.assert_array_equal(answers.of("student", drawn), np.full([10, 2], 0.5))
    assert answers.of("student", drawn) is answers.of("student", drawn)
    assert network.asked == 1
    # A copy with the same weights says the same; other weights have to be asked.
    answers.ask({"student": Network()})
    answers.of("student", drawn)
    assert Network.asked == 0
    network.weight = 2.0
    answers.ask({"student": network})
    answers.of("student", drawn)
    assert network.asked == 2


@pytest.mark.parametrize("size", [(8, 8), (300, 200)])
def test_a_thumbnail_has_one_size(size):
    uri = look.thumbnail(Image.new("RGB", size, (200, 30, 30)))
    with Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))) as image:
        assert image.size == (look.SIDE, look.SIDE)
