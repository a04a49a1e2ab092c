"""The features of a frozen network, computed once for all runs, splits and seeds.

A store (run/block_store.py) is a float16 array [P, V, F]: of each of P different images V views, each passed through
the network. Training images, whatever part of a split they are in, are one pool (data/pool.py): labeled, unlabeled and
held-out ones of any --num_labels and --seed are picks of it. Weak, strong and plain views have a store each, the plain
views of the test images another.
"""

import dataclasses
import hashlib
import json
import time

import numpy as np
import tensorflow as tf

from mpl_tf.base import kept, storage
from mpl_tf.data import pipeline
from mpl_tf.data.pool import Pool
from mpl_tf.data.source import PIPELINE_OPTIONS
from mpl_tf.data.stored import Stored
from mpl_tf.models import frozen
from mpl_tf.run.block_store import BlockStore
from mpl_tf.run.callbacks import duration

KINDS = ("plain", "weak", "strong")
BATCH = 128  # Images that pass the network together, on each replica.
BLOCK = 1024  # Images of a block: a multiple of BATCH; of 8 views some 10 s on two cores.
TOLD_SECONDS = 10.0  # Between lines of progress.


class Extraction:
    """The computing of views of the images of some sources, and the features.

    Args:
        dataset: Dataset of images, for its name, normalisation and how its images may be changed.
        sources: list of Source or OwnImages.
        backbone, config, devices: as in run.features.of.
    """

    def __init__(self, dataset, sources, backbone, config, devices):
        self.pool, self.backbone, self.config, self.devices = Pool(sources), backbone, config, devices
        self.dataset, self.views = dataset, pipeline.make_views(dataset, config)
        self.digest = frozen.digest(backbone)

    def stored(self, source, views):
        """A source of images as one of features.

        Args:
            source: Source, one of the pool's.
            views: dict of kind to what `view` returned.
        """
        rows = self.pool.rows(source)
        key = f"{self.pool.fingerprint()} {self.digest}"
        return Stored(rows, source.labels, order=source.order, views=views, key=key)

    def view(self, kind, count):
        """The features of `count` views of a kind: float16 [P, count, F], mapped, computed first if need be."""
        belongs = self._belongs(kind, count)
        digest = hashlib.sha256(json.dumps(belongs, sort_keys=True).encode()).hexdigest()[:12]
        folder = storage.path(self.config.feature_store or storage.path(self.config.workdir) / "features")
        network = self.config.model.replace(":", "_")  # A library's name has a colon, which not all disks take.
        path = folder / f"{self.dataset.name}-{network}-{kind}-{digest}.npy"
        shape = (len(self.pool), count, self.backbone.output_shape[-1])

        def compute(blocks):
            return self._compute(kind, count, store, blocks)

        store = BlockStore(path, belongs, shape, np.float16, BLOCK, compute, "feature_store")
        return kept.once(("store", path, digest), store.open_or_compute)

    def _belongs(self, kind, count):
        """What a store is a function of."""
        dataset, config = self.dataset, self.config
        scale, offset = dataset.normalisation()
        found = {
            "dataset": dataset.name,
            "images": self.pool.fingerprint(),
            "network": config.model,
            "weights": self.digest,
            "size": list(self.backbone.layers[-1].input_shape[1:3]),
            "resized": "bilinear",
            "scale": scale + offset,
            "batch": BATCH,  # Whose number is part of a view's seed.
            "view": kind,
            "count": count,
        }
        if kind != "plain":
            found |= {"seed": config.feature_seed, "shift": config.shift, "flip": dataset.flip, "fill": dataset.fill}
        if kind == "strong":
            names = (name for name in dataclasses.asdict(config) if name.startswith("randaugment_"))
            found |= {name: getattr(config, name) for name in ("cutout", *names)}
        return found

    def _compute(self, kind, count, store, blocks):
        """(block, float16 [rows, count, F]) of each block, in order; tells how long it will take."""
        jobs = [(batch, view) for block in blocks for batch in self._batches(store, block) for view in range(count)]
        found, began, told = self._passed(kind, np.array(jobs, np.int32)), time.perf_counter(), 0.0
        total, done = sum(_length(store.rows(block)) for block in blocks), 0
        for block in blocks:
            rows = store.rows(block)
            values = np.empty([_length(rows), *store.shape[1:]], np.float16)
            for batch in self._batches(store, block):
                part = slice(batch * BATCH - rows.start, min((batch + 1) * BATCH, rows.stop) - rows.start)
                for view in range(count):
                    values[part, view] = next(found)[: _length(part)]
            yield block, values
            done += len(values)
            seconds = time.perf_counter() - began
            if seconds - told > TOLD_SECONDS or done == total:
                told = seconds
                print(
                    f"features of {kind} views: {store.shape[0] - total + done}/{store.shape[0]} images  "
                    f"{done * count / seconds:.0f} views/s  {duration(seconds / done * (total - done))} left",
                    flush=True,
                )

    def _batches(self, store, block):
        """Numbers of a block's batches of BATCH images; the last may be short."""
        rows = store.rows(block)
        return range(rows.start // BATCH, -(-rows.stop // BATCH))

    def _passed(self, kind, jobs):
        """The features of each job's batch, float16 [BATCH, F], in order.

        Args:
            kind: of KINDS.
            jobs: int32 [n, 2], the numbers of a batch and of a view of it.
        """
        replicas = self.devices.replicas
        short = -len(jobs) % replicas  # Each replica has something to do in the last round too.
        jobs = np.concatenate([jobs, jobs[-1:].repeat(short, axis=0)])
        images = tf.data.Dataset.from_tensor_slices(jobs).map(
            tf.autograph.experimental.do_not_convert(lambda job: self._view(kind, job)),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
        features = frozen.constant(self.backbone)
        waiting = iter(images.prefetch(2 * replicas).with_options(PIPELINE_OPTIONS))
        for _ in range(len(jobs) // replicas):
            try:
                values = [next(waiting) for _ in range(replicas)]
            except tf.errors.OpError as error:  # An image that is read from its file now.
                raise self.pool.failure(error) or error from error
            yield from (value.numpy() for value in self.devices.spread(features, values))

    def _view(self, kind, job):
        """A view of a batch: uint8 [BATCH, H, W, 3], its last image repeated where it is short."""
        batch, number = tf.unstack(job)

        def images(batch):
            rows = np.arange(batch * BATCH, (batch + 1) * BATCH)
            return self.pool.images(np.minimum(rows, len(self.pool) - 1))

        found = tf.numpy_function(images, [batch], tf.uint8, stateful=False)
        found = tf.ensure_shape(found, [BATCH, *self.backbone.input_shape[1:]])
        if kind == "plain":
            return found
        seed = tf.constant([self.config.feature_seed, KINDS.index(kind)], tf.int32)
        seed = tf.random.fold_in(tf.random.fold_in(seed, number), batch)
        return getattr(self.views, kind)(found, seed)


def _length(rows):
    return rows.stop - rows.start
