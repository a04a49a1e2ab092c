"""Measurements behind tools/benchmark.py: one function each, plain numbers out."""

import contextlib
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from mpl_tf.base.errors import UsageError
from mpl_tf.settings.catalogue import DATASETS

from . import loop, peaks, pil_views

OWN_CLASSES = 10  # Of own images, of which nobody knows how many they have.
SYNTHETIC = 4096  # Examples of the stand-in data set.


def stand_in(config, examples=SYNTHETIC):
    """A Dataset of so many random examples shaped like the configured one, so that no data is needed."""
    from mpl_tf.data import Dataset, Source

    row = DATASETS[config.dataset]
    shape, classes = row.example_shape(config.image_size), row.classes or OWN_CLASSES
    random = np.random.default_rng(0)
    if len(shape) == 1:
        values = random.normal(size=(examples, *shape)).astype(np.float32)
    else:
        values = random.integers(0, 256, size=(examples, *shape), dtype=np.uint8)
    labels = np.arange(examples, dtype=np.int32) % classes
    about = {} if len(shape) == 1 else {"mean": (0.5,) * 3, "std": (0.25,) * 3}
    source = Source(values, labels)
    names = tuple(map(str, range(classes)))
    targets = np.full((examples, classes), 1 / classes, np.float32)
    return Dataset(config.dataset, source, Source(values, targets=targets), source, names, flip=config.flip, **about)


def step(config, repeats, warmup):
    """A training step on a ready batch, and the wait for the next one when the pipeline feeds it.

    Args:
        config: Config.
        repeats, warmup: steps timed, steps before.
    Returns:
        dict: seconds_per_step (median), images_per_second, flops_per_step (of the step's graph), input_wait_share
        (share of the time of a fed step spent waiting for its batch), peak_memory_bytes, and with convolutions
        convolution_flops_per_second (see peaks.convolution) and share_of_convolution_peak.
    """
    import tensorflow as tf

    method, batches = prepare(config)
    batch = next(iter(batches))
    run = tf.function(method.train_step, jit_compile=config.jit_compile, autograph=False)
    flops = _flops(run.get_concrete_function(batch))
    seconds = peaks.times(lambda: peaks.wait(run(batch)), repeats, warmup)
    images = images_a_step(config, method)
    result = {
        "seconds_per_step": seconds,
        "images_per_second": images / seconds,
        "flops_per_step": flops,
        "flops_per_second": flops / seconds,
        "input_wait_share": wait_share(run, batches, repeats),
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "matmul_flops_per_second": peaks.matmul(config.precision),
    }
    # What the machine could do at most: the same convolutions, one shape after the other.
    peak = peaks.convolution(method.deployed(), images, config.precision)
    if peak:
        result |= {"convolution_flops_per_second": peak, "share_of_convolution_peak": flops / seconds / peak}
    return result


def images_a_step(config, method):
    """Examples of a step; a method of labeled images alone is given no unlabeled ones."""
    from mpl_tf.data import pipeline as data_pipeline

    unlabeled = config.mu if set(method.batch_keys) - data_pipeline.LABELED_KEYS else 0
    return config.labeled_batch * (1 + unlabeled)


def wait_share(run, batches, repeats):
    """Share of the time of `repeats` steps that is spent waiting for their batches; the first, which starts the
    pipeline, left out."""
    waits, fed, iterator = [], [], iter(batches)
    for _ in range(repeats):
        start = time.perf_counter()
        batch = next(iterator)
        waits.append(time.perf_counter() - start)
        peaks.wait(run(batch))
        fed.append(time.perf_counter() - start)
    return sum(waits[1:]) / sum(fed[1:])


def kinds(config):
    """Seconds of one training step by kind of operation (added over cores), largest first.

    Returns:
        dict of kind to seconds.
    """
    import tensorflow as tf

    method, batches = prepare(config)
    batch = next(iter(batches))
    run = tf.function(method.train_step, autograph=False)
    for _ in range(2):
        peaks.wait(run(batch))
    space = loop.profile(lambda: peaks.wait(run(batch)))
    # Events of operations are named NODE:OPERATION; the others are of threads, queues and the like.
    found = {}
    for plane in space.planes:
        for event in (event for line in plane.lines for event in line.events):
            operation = re.fullmatch(r"[^:]+:(\w+)", plane.event_metadata[event.metadata_id].name)
            if operation:
                kind = _kind(operation.group(1))
                found[kind] = found.get(kind, 0.0) + event.duration_ps / 1e12
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _kind(operation):
    """The row that an operation of TensorFlow's belongs to: the first whose pattern it has."""
    table = (
        ("convolution, forward", r"Conv2D$|_FusedConv2D"),
        ("convolution, backward", r"Conv2DBackprop"),
        ("batch norm, forward", r"FusedBatchNorm(V\d|Ex)?$"),
        ("batch norm, backward", r"FusedBatchNormGrad"),
        ("activation", r"LeakyRelu|Relu|Sigmoid"),
        ("pooling", r"Pool"),
        ("matrix product", r"MatMul"),
        ("layout and casts", r"Transpose|Cast|Concat|Split|Slice|Reshape|Pack|Tile|Mkl.*ToTf"),
    )
    return next((kind for kind, pattern in table if re.search(pattern, operation)), "other elementwise and control")


def pipeline(config, repeats):
    """Examples that the input pipeline makes a second with nothing else running.

    Returns:
        dict: images_per_second (labeled + unlabeled examples; each unlabeled one counted once for its two views).
    """
    return {"images_per_second": examples_per_second(config, *prepare(config), repeats)}


def examples_per_second(config, method, batches, repeats):
    """The same of a method and its batches."""
    iterator = iter(batches)
    for _ in range(3):
        next(iterator)
    start = time.perf_counter()
    for _ in range(repeats):
        next(iterator)
    return images_a_step(config, method) * repeats / (time.perf_counter() - start)


def strong_views(config, batch, repeats):
    """Strong views a second of one core, by the pipeline's code and by PIL with the same policy (tools/pil_views.py).

    Returns:
        dict: ours, pil (views a second, medians) and their ratio.
    """
    import tensorflow as tf

    from mpl_tf.data.pipeline import make_views

    dataset = stand_in(config)
    images = dataset.labeled.images[:batch]
    view = make_views(dataset, config).strong
    make = tf.function(lambda seed: view(tf.constant(images), seed))
    ours = batch / peaks.times(lambda: peaks.wait(make(tf.constant([1, 2]))), repeats, 2)
    shift = round(config.shift * dataset.shape[0])
    policy = pil_views.Policy(config.randaugment_ops, config.randaugment_magnitude, config.cutout, dataset.flip, shift)
    pil = batch / peaks.times(lambda: [policy(image) for image in images], max(repeats // 4, 3), 1)
    return {"ours": ours, "pil": pil, "ratio": ours / pil}


def startup():
    """Seconds from the command to the first logged training steps of digits_50, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        workdir = Path(folder) / "run"
        command = [sys.executable, "-m", "mpl_tf.main", "--dataset=digits_50", "--steps_per_epoch=10"]
        start = time.perf_counter()
        process = subprocess.Popen([*command, f"--workdir={workdir}"], stdout=subprocess.DEVNULL)
        while not (workdir / "metrics.csv").exists() and process.poll() is None:
            time.sleep(0.02)
        seconds = time.perf_counter() - start
        process.kill()
        process.wait()
    return {"seconds_to_first_steps": seconds}


def one_core():
    """Confine this process to one core; call before TensorFlow starts."""
    with contextlib.suppress(AttributeError):  # macOS and Windows have no such call.
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def prepare(config, dataset=None):
    """(method, batches) of a configuration on a Dataset, on random examples without one."""
    import keras

    from mpl_tf import methods
    from mpl_tf.data import pipeline
    from mpl_tf.devices import distribute

    if config.frozen_backbone:
        raise UsageError(f"--freeze: the benchmark times whole networks, expected none, got {config.freeze}")
    keras.config.set_dtype_policy(config.precision)
    keras.utils.set_random_seed(config.seed)
    dataset = dataset or stand_in(config)
    method = methods.make(config, dataset.shape, dataset.num_classes, **dataset.facts)
    devices, steps = distribute.current(), 10**6
    keys = method.batch_keys
    method.arrival = pipeline.arrival(dataset, config, keys)
    return method, pipeline.training_batches(dataset, config, keys, config.labeled_batch, 0, steps, devices)


def _flops(concrete):
    """Floating-point operations of a traced function, by TensorFlow's own count of its graph."""
    import tensorflow as tf

    options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation() | {"output": "none"}
    return tf.compat.v1.profiler.profile(concrete.graph, options=options).total_float_ops
