"""Standard data sets, read through TensorFlow Datasets and decoded once into memory.

| name         | --num_labels | unlabeled | test   | images, uint8   | not used | flip |
|--------------|--------------|-----------|--------|-----------------|----------|------|
| cifar10_4k   | 4,000        | 41,000    | 10,000 | [N, 32, 32, 3]  | 5,000    | yes  |
| cifar100_10k | 10,000       | 35,000    | 10,000 | [N, 32, 32, 3]  | 5,000    | yes  |
| svhn_1k      | 1,000        | 603,388   | 26,032 | [N, 32, 32, 3]  |          | no   |
| stl10_1k     | 1,000        | 104,000   | 8,000  | [N, 96, 96, 3]  |          | yes  |

Training images that --num_labels leaves over are unlabeled, together with the split `extra` of SVHN and `unlabelled` of
STL-10, whose images are decoded in place: STL-10 takes 3.1 GB of memory, SVHN 2 GB. The input's tensor takes as much
again, and for a moment twice as much.
"""

import dataclasses

from mpl_tf.data.source import Dataset, Source
from mpl_tf.data.splits import hold_out, labeled_split
from mpl_tf.data.tfds import TfdsData

HELD_OUT = 5000  # CIFAR: 45,000 for training, 5,000 kept for tuning (Oliver et al. 2018, paper section 3.2).


@dataclasses.dataclass(frozen=True)
class Standard:
    """One of them: what tells it from the others.

    Attributes:
        name: as in DATASETS.
        tfds: name of the TFDS data set; its splits `train` and `test` have labels.
        mean, std, flip: see Dataset.
        held_out: training images that are kept for tuning; of a smaller set a tenth.
        extra: a split of unlabeled images, whose labels are not looked at.
    """

    name: str
    tfds: str
    mean: tuple
    std: tuple
    flip: bool = True
    held_out: int = 0
    extra: str | None = None

    def load(self, config):
        """Of the training images some held out, config.num_labels labeled, the others unlabeled; see the table.

        Raises:
            UsageError: --num_labels is no multiple of the classes, or larger than a class allows.
            RunError: see TfdsData.
        """
        files = TfdsData(self.tfds, config.data_dir)
        names, train = files.class_names, files.read("train")
        _, used = hold_out(len(train), min(self.held_out, len(train) // 10), config.seed)
        chosen, rest = labeled_split(train.labels[used], config.num_labels, len(names), config.seed, names)
        unlabeled = train.images[used[rest]]
        if self.extra and config.unlabeled_source == "rest":
            unlabeled = files.read(self.extra, after=unlabeled).images
        return Dataset(
            self.name,
            labeled=train.take(used[chosen]),
            unlabeled=Source(unlabeled) if len(unlabeled) else None,
            test=files.read("test"),
            class_names=names,
            mean=self.mean,
            std=self.std,
            flip=self.flip,
        )


CIFAR10 = Standard(
    "cifar10_4k", "cifar10", mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616), held_out=HELD_OUT
)
CIFAR100 = Standard(
    "cifar100_10k", "cifar100", mean=(0.5071, 0.4867, 0.4408), std=(0.2675, 0.2565, 0.2761), held_out=HELD_OUT
)
SVHN = Standard(
    "svhn_1k",
    "svhn_cropped",
    mean=(0.4376821, 0.4437697, 0.47280442),
    std=(0.19803012, 0.20101562, 0.19703614),
    flip=False,
    extra="extra",
)
STL10 = Standard("stl10_1k", "stl10", mean=(0.4467, 0.4398, 0.4066), std=(0.2603, 0.2566, 0.2713), extra="unlabelled")
