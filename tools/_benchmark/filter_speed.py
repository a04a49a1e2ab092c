"""Throughput of the filtering tool beside its model alone: the measurement behind `tools.benchmark --what=filter`."""

import io
import os
import tempfile
import time
from pathlib import Path

import numpy as np

# Name: side of the images in pixels, images, images a batch.
SIZES = {"small_cnn": (32, 8192, 256), "wide_resnet_28_2": (32, 1024, 128), "resnet_50": (224, 96, 32)}
NOISE = 8  # Side of the random pattern that an image is enlarged from, so that its JPEG is of a photograph's size.


def throughput(repeats):
    """Images a second of the tool and of its model, called on the same batches, decoded before, in one process.

    The tool's time is that of its Beam pipeline: reading TFRecord shards, decoding JPEG, fingerprints (and without
    them, as --nofingerprints), the model, the tables of scores and the choice; less the start-up, that of the same
    pipeline over what has been scored, which hardly grows with the images.

    On a machine that others use, the ratios of processor time tell more than those of time.

    Args:
        repeats: rounds; ratios are medians over them.
    Returns:
        dict: for each network of SIZES NAME_model_images_per_second, NAME_images_per_second, NAME_start_up_seconds;
        NAME_ratio, the model's time over the tool's, NAME_ratio_without_fingerprints, NAME_ratio_with_start_up; the
        first two also as NAME_processor_ratio...; and load_average, of the last minute.
    """
    figures = {}
    for name, (side, count, batch) in SIZES.items():
        with tempfile.TemporaryDirectory() as folder:
            rounds = _rounds(name, side, count, batch, Path(folder), repeats)
        model, plain, _, whole, start_up = np.moveaxis(np.array(rounds), 0, -1)  # Each [time or processor time, rounds]
        figures |= {
            f"{name}_model_images_per_second": count / np.median(model[0]),
            f"{name}_images_per_second": count / np.median((whole - start_up)[0]),
            f"{name}_start_up_seconds": np.median(start_up[0]),
            f"{name}_ratio_with_start_up": np.median((model / whole)[0]),
        }
        for kind, part in (("", whole), ("_without_fingerprints", plain)):
            ratio, processor_ratio = np.median(model / (part - start_up), axis=1)
            figures |= {f"{name}_ratio{kind}": ratio, f"{name}_processor_ratio{kind}": processor_ratio}
    return {name: float(figure) for name, figure in figures.items()} | {"load_average": os.getloadavg()[0]}


def _rounds(name, side, count, batch, folder, repeats):
    """[rounds, 5, 2]: of model, tool without fingerprints, its start-up, tool with them, its start-up: _seconds."""
    from mpl_tf.filtering import inputs, score
    from mpl_tf.filtering.settings import Scoring

    _model(name, side).save(folder / "model.keras")
    _write(folder / "images.tfrecord", side, count)
    # What the model alone is timed on: the very batches of the tool, decoded before.
    chunks = inputs.plan([str(folder / "images.tfrecord")], "--images", "", 2048, folder / "plan")
    parts = [
        images for chunk in chunks for _, _, images in score.decoded_batches(chunk, batch, side, False, score.Pace())
    ]
    batches = [np.stack([image.pixels for image in part]) for part in parts]
    alone = _compiled(folder / "model.keras")
    rounds = []
    for number in range(repeats + 1):  # The first warms up.
        seconds = []
        for fingerprints in (False, True):
            scoring = Scoring(("",), str(folder / "model.keras"), batch=batch, fingerprints=fingerprints)
            if not fingerprints:  # The model's turn, once a round.
                seconds.append(_seconds(lambda: [alone(images).numpy() for images in batches]))
            # Twice into one folder: the second finds all scored, and is the start-up.
            place = folder / f"scores{number}{fingerprints}"
            seconds += [
                _seconds(lambda scoring=scoring, place=place: _filter(chunks, scoring, place)) for _ in range(2)
            ]
        rounds.append(seconds)
    return rounds[1:]


def _filter(chunks, scoring, folder):
    from mpl_tf.filtering import merging, pipeline
    from mpl_tf.filtering.settings import Selection

    limits = np.full([pipeline.scorer(scoring).classes], 100)
    choice = merging.Choice(str(folder), Selection("100"), limits, str(folder), str(folder / "best"))
    merging.select_best(chunks, scoring, choice, [])


def _compiled(path):
    """The model as users call it: a tf.function from images to probabilities."""
    import keras
    import tensorflow as tf

    model = keras.models.load_model(path, compile=False)
    return tf.function(lambda x: tf.nn.softmax(model(tf.cast(x, tf.float32), training=False)), autograph=False)


def _seconds(work):
    """(time, processor time) of a call, seconds."""
    started, used = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - started, time.process_time() - used


def _model(name, side):
    import keras

    from mpl_tf import models

    keras.utils.set_random_seed(0)
    if name == "resnet_50":
        return keras.applications.ResNet50(weights=None, classifier_activation=None)
    return models.build(name, shape=(side, side, 3), num_classes=10)


def _write(path, side, count):
    """A shard of `count` random JPEG images."""
    import tensorflow as tf
    from PIL import Image

    from mpl_tf.data import shards

    random = np.random.default_rng(0)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for number in range(count):
            pattern = Image.fromarray(random.integers(0, 256, (NOISE, NOISE, 3), dtype=np.uint8))
            output = io.BytesIO()
            pattern.resize((side, side), Image.Resampling.BICUBIC).save(output, "JPEG", quality=90)
            writer.write(shards.serialize(output.getvalue(), f"{number:06d}", -1, -1.0))
