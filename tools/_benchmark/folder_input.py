"""How fast own images come to a step: read from their files, beside the same images in memory."""

import time

from . import measure


def rates(config, repeats):
    """Examples that the input pipeline makes a second of the user's folders, and whether a step waits for them.

    Args:
        config: Config of --dataset=folder.
        repeats: batches timed.
    Returns:
        dict: files_per_second (images read and decoded, without views), images_per_second_from_files and
        images_per_second_in_memory (labeled + unlabeled examples of batches, each unlabeled one counted once for its
        views; the second where all images fit into memory), input_wait_share (share of the time of a step fed from
        files that is spent waiting for its batch).
    """
    import tensorflow as tf

    from mpl_tf.data import Source, folder
    from mpl_tf.settings.catalogue import DATASETS

    row = DATASETS["folder"]
    files, fitting = folder.load(row, config, most=0), folder.load(row, config)
    method, batches = measure.prepare(config, files)
    found = {"files_per_second": _reading(files.unlabeled or files.labeled, repeats * config.labeled_batch)}
    found["images_per_second_from_files"] = measure.examples_per_second(config, method, batches, repeats)
    if all(isinstance(part, Source) for part in (fitting.labeled, fitting.unlabeled) if part is not None):
        from_memory = measure.prepare(config, fitting)
        found["images_per_second_in_memory"] = measure.examples_per_second(config, *from_memory, repeats)
    run = tf.function(method.train_step, jit_compile=config.jit_compile, autograph=False)
    return found | {"input_wait_share": measure.wait_share(run, batches, repeats)}


def _reading(source, count):
    """Images of a source that are read and decoded a second, of `count` at most."""
    read, start = 0, time.perf_counter()
    for images, _ in source.pieces(64):
        read += len(images)
        if read >= count:
            break
    return read / (time.perf_counter() - start)
