"""What the studies of one step in two ways share: the batch of noise, and how far two results differ."""

import numpy as np

CLASSES = 10


def noise(random, shape, labeled, unlabeled):
    """A batch as the pipeline makes it, dict of numpy arrays: images of normal noise, random labels.

    Args:
        random: numpy Generator.
        shape: of an image, (H, W, C).
        labeled, unlabeled: numbers of images.
    """
    sizes = {"x_l": labeled, "x_u_weak": unlabeled, "x_u_strong": unlabeled}
    images = {key: random.normal(size=(count, *shape)).astype("float32") for key, count in sizes.items()}
    return images | {"y_l": random.integers(0, CLASSES, labeled).astype("int32")}


def parts_first(batch, replicas, parts):
    """The batch for one device with whose --accumulate its parts hold the same examples as those of the replicas.

    Args:
        batch: dict of arrays [B, ...], B a multiple of replicas * parts: each replica's examples in turn.
        replicas, parts: numbers.
    """

    def ordered(values):
        cut = values.reshape([replicas, parts, -1, *values.shape[1:]])
        return cut.swapaxes(0, 1).reshape(values.shape)

    return {key: ordered(values) for key, values in batch.items()}


def difference(expected, got):
    """Norm of the difference over the norm of the expected."""
    expected, got = np.asarray(expected, "float64"), np.asarray(got, "float64")
    return float(np.linalg.norm(got - expected) / max(np.linalg.norm(expected), 1e-12))


def flat(arrays):
    """Those of floats as one vector."""
    return np.concatenate([array.ravel() for array in arrays if array.dtype.kind == "f"])
