"""Scoring a chunk: images decoded by threads while the model works on the batch before."""

import collections
import dataclasses
import itertools
import os
from concurrent.futures import ThreadPoolExecutor, wait

import keras
import numpy as np
import pyarrow as pa
import tensorflow as tf

from mpl_tf.base import storage
from mpl_tf.base.errors import RunError, UsageError
from mpl_tf.filtering import features, images, inputs, network, smooth, tables
from mpl_tf.models import saved

THREADS = os.cpu_count() or 1
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

        def finish(y, taken):
            return y if outputs == "probabilities" else tf.nn.softmax(y), y, features.unit(taken)

        self._run = network.Fixed(model, self.size, batch, finish)

    def __call__(self, pixels):
        """(probabilities, features) of images uint8 [n, S, S, 3], n at most the batch.

        Returns:
            float32 [n, C]; float16 [n, D], unit vectors of what the last layer takes.
        Raises:
            UsageError: the outputs are not what --outputs says.
        """
        probabilities, outputs, taken = self._run(pixels)
        # Outputs that sum to 1 where logits are expected, or the other way around, would rank by the wrong numbers.
        normal = (outputs >= 0).all() and (np.abs(outputs.sum(axis=1) - 1) < PROBABILITY_SUM).all()
        if len(pixels) and np.isfinite(outputs).all() and bool(normal) != (self._outputs == "probabilities"):
            other = "probabilities" if normal else "logits"
            raise UsageError(f"--outputs: {self._path} gives {other}, got --outputs={self._outputs}")
        return probabilities, taken

    def features(self, pixels):
        """float16 [n, D] of images, as a features.Backbone gives them."""
        return self(pixels)[1]


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
    last = network.weighted(model)[-1:]
    for layer in network.flat(model):
        if layer not in last and not isinstance(layer, keras.layers.Rescaling | keras.layers.Normalization):
            layer.dtype_policy = "mixed_bfloat16"


def score(chunk, scorer, top_classes, fingerprints, tell=None, embedder=None):
    """Scores of a chunk, a row an image, in order.

    Args:
        chunk: inputs.Chunk.
        scorer: Scorer.
        top_classes: best classes to note, n.
        fingerprints: whether to note sha256 and hash.
        tell: function that is told how many images more are done, every few; None: nobody is.
        embedder: the scorer itself or a features.Backbone, whose features are noted; None: none are.
    Returns:
        (pyarrow.Table of tables.scores_schema(n), table of tables.SMOOTH, table of tables.FEATURES).
    """
    schemas = (tables.scores_schema(top_classes), tables.SMOOTH, tables.FEATURES)
    parts = [[schema.empty_table() for schema in schemas]]
    what = (scorer.batch, scorer.size, fingerprints, scorer.pace)
    side = embedder.size if embedder not in (None, scorer) else 0
    for ids, found, decoded in decoded_batches(chunk, *what, resize=scorer.resize, side=side):
        usable = np.array([one.usable for one in decoded], bool)
        classes = np.zeros([len(decoded), top_classes], np.int32)
        best = np.zeros([len(decoded), top_classes], np.float32)
        if usable.any():
            probabilities, values = scorer(np.stack([one.pixels for one in decoded if one.usable]))
            # An image whose outputs are not finite is told as unreadable; the others keep their best classes.
            finite = np.isfinite(probabilities).all(axis=1)
            for place in np.flatnonzero(usable)[~finite]:
                decoded[place] = images.refused("unreadable", "the model's outputs for it are not finite")
            probabilities, usable[usable] = probabilities[finite], finite
            classes[usable] = np.argsort(-probabilities, axis=1, kind="stable")[:, :top_classes]
            best[usable] = np.take_along_axis(probabilities, classes[usable], axis=1)
            values = values[finite]
        noted = tables.FEATURES.empty_table()
        if embedder and usable.any():
            if side:
                values = embedder.features(np.concatenate([one.looks for one in decoded if one.usable]))
            noted = features.table_of([item.row for item, good in zip(found, usable, strict=True) if good], values)
        if tell:
            tell(len(decoded))
        # Columns in the order of tables.scores_schema; no class where there is no score.
        columns = [[item.row for item in found], *_problems(decoded)]
        columns += [[one.sha256 for one in decoded], [one.hashes[0] if one.hashes else None for one in decoded]]
        columns = [ids, [item.source for item in found], *columns]
        columns += [pa.array(values, mask=~usable) for values in (*classes.T, *best.T)]
        parts.append((pa.table(columns, schema=schemas[0]), smooth.table_of(found, decoded), noted))
    return tuple(map(pa.concat_tables, zip(*parts, strict=True)))


def fingerprint(chunk, embedder=None):
    """Fingerprints of a chunk of evaluation images, slight crops and mirror images too.

    Args:
        chunk: inputs.Chunk.
        embedder: as in `score`.
    Returns:
        (table of tables.EVALUATION, table of tables.FEATURES: of each image those of all forms.FORMS).
    """
    parts = [(tables.EVALUATION.empty_table(), tables.FEATURES.empty_table())]
    form, block = {"evaluated": True}, 256
    if embedder:  # Whose forms take room.
        form, block = form | {"side": embedder.size, "resize": embedder.resize}, 16
    for ids, found, decoded in decoded_batches(chunk, block, 0, True, Pace(THREADS), **form):
        columns = [ids, [item.source for item in found], *_problems(decoded), [chunk.number] * len(ids)]
        columns += [
            [item.row for item in found],
            [one.sha256 for one in decoded],
            [list(one.hashes) for one in decoded],
            [one.smooth for one in decoded],
        ]
        rows = [item.row for item, one in zip(found, decoded, strict=True) if one.usable]
        noted = tables.FEATURES.empty_table()
        if embedder and rows:
            values = features.of_many(embedder, np.concatenate([one.looks for one in decoded if one.usable]))
            noted = features.table_of(rows, values.reshape(len(rows), -1))
        parts.append((pa.table(columns, schema=tables.EVALUATION), noted))
    return tuple(map(pa.concat_tables, zip(*parts, strict=True)))


def _problems(decoded):
    return [[one.problem for one in decoded], [one.detail for one in decoded], [one.usable for one in decoded]]


def decoded_batches(chunk, batch, size, fingerprints, pace, **form):
    """Decode a chunk by threads, ahead of who takes it.

    Args:
        chunk: inputs.Chunk.
        batch: images in a block, which is one thread's work.
        size, fingerprints: as in images.decode_all.
        pace: Pace, which finds how many blocks go ahead.
        **form: evaluated, resize and side, as in images.decode_all.
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
