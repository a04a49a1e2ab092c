"""What a data set is: labeled, unlabeled and test examples in memory, and how its images may be changed."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Source:
    """Examples with random access.

    Attributes:
        images: uint8 [N, H, W, 3] in [0, 255], or float32 [N, D] points.
        labels: int32 [N] in [0, classes), or None where they are unknown.
        targets: float32 [N, classes], a fixed teacher's distributions, mapped from their file; or None.
    """

    images: np.ndarray
    labels: np.ndarray | None = None
    targets: np.ndarray | None = None

    def __len__(self):
        return len(self.images)

    def take(self, indices, with_labels=True):
        """The examples at `indices` (int [n]), without their labels if so asked."""
        return Source(self.images[indices], self.labels[indices] if with_labels else None)


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A data set, split and decoded.

    Attributes:
        name: as in DATASETS.
        labeled: Source with labels, for training.
        unlabeled: Source without labels, for training; None where the method needs none.
        test: Source with labels, for evaluation alone.
        class_names: tuple of str, one a class.
        mean, std: tuples of three floats, per channel, images scaled to [0, 1]; None for points.
        flip: whether a mirrored image keeps its class.
        fill: grey level of what a shift, a rotation or a cutout uncovers (released: 128; digits: their background).
        skipped: paths of images left out because they could not be read.
    """

    name: str
    labeled: Source
    unlabeled: Source | None
    test: Source
    class_names: tuple
    mean: tuple | None = None
    std: tuple | None = None
    flip: bool = False
    fill: int = 128
    skipped: tuple = ()

    @property
    def shape(self):
        """Shape of one example: (H, W, 3), or (D,)."""
        return self.labeled.images.shape[1:]

    @property
    def num_classes(self):
        """Number of classes."""
        return len(self.class_names)
