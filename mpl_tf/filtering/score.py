"""Scoring a chunk: images decoded by threads while the model works on the batch before."""

import collections
import dataclasses
import functools
import itertools
import os
from concurrent.futures import ThreadPoolExecutor, wait

import keras
import numpy as np
import pyarrow as pa
import tensorflow as tf

from mpl_tf.base import storage
from mpl_tf.base.errors import RunError, UsageError
from mpl_tf.filtering import images, inputs, smooth, tables
from mpl_tf.models import saved

THREADS = os.cpu_count() or 1
MOST_CONSTANT = 2**28  # Weights; a graph holds less than 2 GiB.
PROBABILITY_SUM = 1e-3  # Outputs >= 0 whose sums are this near to 1 are taken for probabilities.


@dataclasses.dataclass
class Pace:
    """How many blocks of images are decoded ahead of the model, found on the way and kept from chunk to chunk.

    Threads that are not needed only take Python's lock from each other: two decode the first block of a chunk of small
    images in three times the time of one.
    """

    blocks: int = 1

    def note(self, done):
        """Go by which of the blocks (list of bool, oldest first) are done when the model is ready for the oldest."""
        if not done[0]:
            self.blocks = min(self.blocks + 1, THREADS)
        elif all(done[:-1]):  # The newest was begun just now.
            self.blocks = max(self.blocks - 1, 1)


class Scorer:
    """A model that gives class probabilities for batches of one fixed size.

    Args:
        path: of a Keras model from images [B, S, S, 3] in [0, 255] to logits [B, C], such as RUN/student.keras.
        size: S, pixels; 0: the model's own.
        batch: images a batch; a smaller one is filled up, so that a score does not depend on its neighbours.
        precision: float32 or bfloat16, compute type of all layers but the first (normalisation) and the last.
        outputs: logits or probabilities, what the model gives.
        resize: how its images come to their size, as in data/decode.py's fit.
    Raises:
        UsageError: no such model, or one of other inputs and outputs.
    """

    def __init__(self, path, size=0, batch=256, precision="float32", outputs="logits", resize="crop"):
        model = saved.load(path, "model")
        _check_shapes(model, path, size)
        self.size, self.classes, self.batch = size or model.input_shape[1], model.output_shape[1], batch
        self.pace, self.resize, self._path, self._outputs = Pace(), resize, path, outputs
        if precision == "bfloat16":
            _to_bfloat16(model)

        call = _constant(model) if model.count_params() <= MOST_CONSTANT else functools.partial(model, training=False)

        @tf.function(input_signature=[tf.TensorSpec([batch, self.size, self.size, 3], tf.uint8)], autograph=False)
        def run(x):
            y = tf.cast(call(tf.cast(x, tf.float32)), tf.float32)
            return y if outputs == "probabilities" else tf.nn.softmax(y), y

        self._run = run

    def __call__(self, pixels):
        """Probabilities float32 [n, C] of images uint8 [n, S, S, 3], n at most the batch.

        Raises:
            UsageError: the outputs are not what --outputs says.
        """
        # One shape of batch: filled up with black images, whose outputs are cut off again.
        count = len(pixels)
        if count < self.batch:
            pixels = np.concatenate([pixels, np.zeros([self.batch - count, *pixels.shape[1:]], np.uint8)])
        probabilities, outputs = (part.numpy()[:count] for part in self._run(pixels))
        # Outputs that sum to 1 where logits are expected, or the other way around, would rank by the wrong numbers.
        normal = (outputs >= 0).all() and (np.abs(outputs.sum(axis=1) - 1) < PROBABILITY_SUM).all()
        if count and np.isfinite(outputs).all() and bool(normal) != (self._outputs == "probabilities"):
            other = "probabilities" if normal else "logits"
            raise UsageError(f"--outputs: {self._path} gives {other}, got --outputs={self._outputs}")
        return probabilities


def _check_shapes(model, path, size):
    """Raise UsageError unless the model takes square images, of side `size` if that is given, and gives classes."""
    shape, given = model.input_shape, model.output_shape
    if isinstance(shape, list) or len(shape) != 4 or shape[3] != 3:
        raise UsageError(f"--model: expected a model of images [batch, side, side, 3], {path} takes {shape}")
    if isinstance(given, list) or len(given) != 2 or (given[1] or 0) < 2:
        raise UsageError(f"--model: expected a model that gives [batch, classes], {path} gives {given}")
    if shape[1] != shape[2]:
        raise UsageError(f"--model: expected a model of square images, {path} takes {shape[1]} x {shape[2]}")
    if not (shape[1] or size):
        raise UsageError(f"--image_size: {path} takes images of any size; say which, in pixels")
    if size and shape[1] and size != shape[1]:
        raise UsageError(f"--image_size: expected {shape[1]}, the size that {path} takes, got {size}")


def _to_bfloat16(model):
    """Set the compute type of all layers but the normalisation and the last with weights."""
    layers = [layer for layer in model._flatten_layers() if not isinstance(layer, keras.Model)]
    weighted = [layer for layer in layers if layer.weights]
    for layer in layers:
        if layer is not weighted[-1] and not isinstance(layer, keras.layers.Rescaling | keras.layers.Normalization):
            layer.dtype_policy = "mixed_bfloat16"


def _constant(model):
    """The model as a function whose graph holds the weights, so that TensorFlow can fold them: a small CNN takes a
    tenth less time."""
    parts = [[weight.numpy() for weight in part] for part in (model.trainable_variables, model.non_trainable_variables)]

    def call(x):
        return model.stateless_call(*[[tf.constant(value) for value in part] for part in parts], x, training=False)[0]

    return call


def score(chunk, scorer, top_classes, fingerprints, tell=None):
    """Scores of a chunk, a row an image, in order.

    Args:
        chunk: inputs.Chunk.
        scorer: Scorer.
        top_classes: best classes to note, n.
        fingerprints: whether to note sha256 and hash.
        tell: function that is told how many images more are done, every few; None: nobody is.
    Returns:
        (pyarrow.Table of tables.scores_schema(n), table of tables.SMOOTH).
    """
    schema, parts, smooth_parts = tables.scores_schema(top_classes), [], [tables.SMOOTH.empty_table()]
    what = (scorer.batch, scorer.size, fingerprints, scorer.pace)
    for ids, found, decoded in decoded_batches(chunk, *what, resize=scorer.resize):
        usable = np.array([one.usable for one in decoded], bool)
        classes = np.zeros([len(decoded), top_classes], np.int32)
        best = np.zeros([len(decoded), top_classes], np.float32)
        if usable.any():
            probabilities = scorer(np.stack([one.pixels for one in decoded if one.usable]))
            # An image whose outputs are not finite is told as unreadable; the others keep their best classes.
            finite = np.isfinite(probabilities).all(axis=1)
            for place in np.flatnonzero(usable)[~finite]:
                decoded[place] = images.refused("unreadable", "the model's outputs for it are not finite")
            probabilities, usable[usable] = probabilities[finite], finite
            classes[usable] = np.argsort(-probabilities, axis=1, kind="stable")[:, :top_classes]
            best[usable] = np.take_along_axis(probabilities, classes[usable], axis=1)
        # Columns in the order of tables.scores_schema; no class where there is no score.
        if tell:
            tell(len(decoded))
        columns = [[item.row for item in found], *_problems(decoded)]
        columns += [[one.sha256 for one in decoded], [one.hashes[0] if one.hashes else None for one in decoded]]
        columns = [ids, [item.source for item in found], *columns]
        columns += [pa.array(values, mask=~usable) for values in (*classes.T, *best.T)]
        parts.append(pa.table(columns, schema=schema))
        smooth_parts.append(smooth.table_of(found, decoded))
    return pa.concat_tables([schema.empty_table(), *parts]), pa.concat_tables(smooth_parts)


def fingerprint(chunk):
    """Fingerprints of a chunk of evaluation images, slight crops and mirror images too: table of tables.EVALUATION."""
    parts = []
    for ids, found, decoded in decoded_batches(chunk, 256, 0, True, Pace(THREADS), evaluated=True):
        columns = [ids, [item.source for item in found], *_problems(decoded), [chunk.number] * len(ids)]
        columns += [
            [item.row for item in found],
            [one.sha256 for one in decoded],
            [list(one.hashes) for one in decoded],
            [one.smooth for one in decoded],
        ]
        parts.append(pa.table(columns, schema=tables.EVALUATION))
    return pa.concat_tables(parts)


def _problems(decoded):
    return [[one.problem for one in decoded], [one.detail for one in decoded], [one.usable for one in decoded]]


def decoded_batches(chunk, batch, size, fingerprints, pace, **form):
    """Decode a chunk by threads, ahead of who takes it.

    Args:
        chunk: inputs.Chunk.
        batch: images in a block, which is one thread's work.
        size, fingerprints: as in images.decode_all.
        pace: Pace, which finds how many blocks go ahead.
        **form: evaluated and resize, as in images.decode_all.
    Yields:
        (ids, Items, Decoded images) of a block, in the chunk's order: lists of `batch` at most.
    """
    waiting, found = collections.deque(), inputs.items(chunk)
    form |= {"size": size, "fingerprints": fingerprints, "background": chunk.ground}
    left = iter(lambda: list(itertools.islice(found, batch)), [])
    with ThreadPoolExecutor(THREADS) as pool:
        for number, block in enumerate(left):
            waiting.append(pool.submit(_decode_block, block, form))
            if pace.blocks == 1 and not number:
                wait(waiting)
            if number > pace.blocks:  # The first of a chunk is late at any pace.
                pace.note([block.done() for block in waiting])
            while len(waiting) > pace.blocks:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _decode_block(found, form):
    """(ids, Items, Decoded images) of a list of inputs.Item; one that cannot be read is told in its Decoded."""
    ids, encoded = [], []
    for item in found:
        try:
            name, data = item.load()
        except (OSError, ValueError) as error:
            if storage.refused(error):
                raise RunError(f"{item.source}: {error.strerror}; the same command goes on") from error
            name, data = item.name, images.refused("unreadable", f"{type(error).__name__}: {error}")
        ids.append(name)
        encoded.append(data)
    return ids, found, images.decode_all(encoded, **form)
