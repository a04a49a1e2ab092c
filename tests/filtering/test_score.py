"""Scores do not depend on neighbours, chunks or filling; bfloat16; the chunks of every kind of input.

Covers: inputs.py
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from mpl_tf import models
from mpl_tf.base.errors import UsageError
from mpl_tf.data import shards
from mpl_tf.filtering import inputs, network, score


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A small network with batch norm, its weights random, in a file."""
    keras.utils.set_random_seed(0)
    network = models.build("narrow_cnn", shape=(8, 8, 3), num_classes=5)
    inner = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Rescaling(1 / 64, -2.0), network])
    path = tmp_path_factory.mktemp("model") / "model.keras"
    inner.save(path)
    return path


IMAGES = np.random.default_rng(0).integers(0, 256, (19, 8, 8, 3), np.uint8)


@pytest.mark.parametrize("constant", [True, False])
def test_scores_are_those_of_keras_and_of_no_neighbour(model, monkeypatch, constant):
    monkeypatch.setattr(network, "MOST_CONSTANT", network.MOST_CONSTANT if constant else 0)
    expected = tf.nn.softmax(keras.models.load_model(model).predict(IMAGES, verbose=0)).numpy()
    scorer = score.Scorer(model, batch=16)
    first, rest = scorer(IMAGES[:16])[0], scorer(IMAGES[16:])[0]
    np.testing.assert_allclose(np.concatenate([first, rest]), expected, rtol=1e-5)
    for place in range(16):
        np.testing.assert_array_equal(scorer(IMAGES[place : place + 1])[0][0], first[place])
    np.testing.assert_array_equal(scorer(IMAGES[15::-1])[0][::-1], first)


def test_bfloat16_is_near_and_is_not_the_same(model):
    exact, rough = (score.Scorer(model, batch=32, precision=kind)(IMAGES)[0] for kind in ("float32", "bfloat16"))
    assert rough.dtype == np.float32 and not np.array_equal(exact, rough)
    np.testing.assert_allclose(rough, exact, atol=0.02)
    np.testing.assert_allclose(rough.sum(axis=1), 1, atol=1e-5)


def test_a_model_of_any_size_needs_one(tmp_path):
    network = keras.Sequential([keras.Input((None, None, 3)), keras.layers.GlobalAveragePooling2D()])
    network.save(tmp_path / "any.keras")
    with pytest.raises(UsageError, match="--image_size: .* takes images of any size"):
        score.Scorer(tmp_path / "any.keras")
    scorer = score.Scorer(tmp_path / "any.keras", size=8, batch=32)
    np.testing.assert_allclose(scorer(IMAGES)[0], tf.nn.softmax(IMAGES.mean(axis=(1, 2))), rtol=1e-4)


class Pictures(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A TFDS data set of 23 grey images in several shards."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {"image": tfds.features.Image(shape=(4, 4, 3)), "label": tfds.features.ClassLabel(num_classes=2)}
        return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

    def _split_generators(self, manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for level in range(23):
            yield level, {"image": np.full((4, 4, 3), level, np.uint8), "label": level % 2}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Folder of the data set, prepared."""
    folder = tmp_path_factory.mktemp("tfds")
    sharded = tfds.download.DownloadConfig(num_shards=3)
    builder = Pictures(data_dir=folder)
    builder.download_and_prepare(download_config=sharded)
    return folder, builder


@pytest.mark.parametrize(("split", "first", "stop"), [("train", 0, 23), ("train[5:18]", 5, 18)])
def test_a_tfds_split_is_cut_into_chunks_in_its_own_order(pictures, tmp_path, split, first, stop):
    folder, builder = pictures
    in_order = tfds.ReadConfig(interleave_cycle_length=1)
    levels = [int(one["image"][0, 0, 0]) for one in tfds.as_numpy(builder.as_dataset("train", read_config=in_order))]
    chunks = inputs.plan([f"tfds:pictures/{split}"], "--images", str(folder), 4, tmp_path / "plan")
    assert len({chunk.place for chunk in chunks}) == 3 and [chunk.number for chunk in chunks] == list(
        range(len(chunks))
    )
    found = [item.load() for chunk in chunks for item in inputs.items(chunk)]
    assert [name for name, _ in found] == [f"tfds:pictures/{split}#{n}" for n in range(stop - first)]
    assert [int(shards.decode(tf.constant(data))[0, 0, 0]) for _, data in found] == levels[first:stop]
    assert inputs.plan(["nothing"], "--images", "", 9, tmp_path / "plan") == chunks


def test_a_split_that_is_not_there(pictures, tmp_path):
    with pytest.raises(UsageError, match="--exclude: expected a split of pictures, one of train, got test"):
        inputs.plan(["tfds:pictures/test"], "--exclude", str(pictures[0]), 4, tmp_path / "plan")
    with pytest.raises(UsageError, match="expected tfds:NAME/SPLIT, got tfds:pictures"):
        inputs.plan(["tfds:pictures"], "--exclude", str(pictures[0]), 4, tmp_path / "plan")


def test_chunks_of_files_whatever_their_names(tmp_path):
    names = ["a.png", "é.jpg", "new\nline.png", "b/c.JPEG"]
    for name in names:
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(name.encode())
    for name in (".hidden.png", "notes.txt", "b/.partial-x.tfrecord"):
        (tmp_path / "in" / name).write_bytes(b"")
    chunks = inputs.plan([str(tmp_path / "in")], "--images", "", 3, tmp_path / "plan")
    assert list(map(len, chunks)) == [3, 1]
    found = dict(item.load() for chunk in chunks for item in inputs.items(chunk))
    assert found == {str(tmp_path / "in" / name): name.encode() for name in names}
    assert [item.row for item in inputs.pick(chunks[0], {0, 2})] == [0, 2]
