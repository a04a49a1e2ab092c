"""What a row of the catalogue holds."""

import dataclasses
import importlib


@dataclasses.dataclass(frozen=True)
class Row:
    """What all rows have.

    Attributes:
        name: as the flag takes it.
        help: one line for a user who chooses.
        path: where its class or function is, "package.module:name".
    """

    name: str
    help: str
    path: str

    def resolve(self):
        """The class or the function at `path`, its module imported now."""
        return imported(self.path)


def imported(path):
    """What is at "package.module:name", the module imported now."""
    module, name = path.split(":")
    return getattr(importlib.import_module(module), name)


@dataclasses.dataclass(frozen=True)
class MethodRow(Row):
    """A training method; `path` is a subclass of step.method.Method.

    Attributes:
        options: flags that its constructor takes under their names, beside ema_decay and seed, which all take.
        networks: its constructor's networks by role; the "teacher" is of --teacher_model where that is given.
        unlabeled: whether it learns from unlabeled examples.
        fixed_teacher: method that trains its teacher before it starts; the teacher's distributions are then part of
            the batch, as `q_u`. Empty: it has none.
        generations: whether its students become teachers, --generations times.
        mesh: whether it runs with --strategy=dtensor.
        two_optimizers: whether compile() takes a teacher_optimizer beside the student's.
        finetuned: whether the deployed network has seen no labels and is to be finetuned.
    """

    options: tuple = ()
    networks: tuple = ("network",)
    unlabeled: bool = True
    fixed_teacher: str = ""
    generations: bool = False
    mesh: bool = False
    two_optimizers: bool = False
    finetuned: bool = False


@dataclasses.dataclass(frozen=True)
class TfdsSplits:
    """Where the parts of a data set of TensorFlow Datasets are.

    Attributes:
        builder: name of the TFDS data set.
        train: split of the labeled training images; TFDS' parts of splits, as train[:80%], are names too.
        test: split of the test images; empty: there is none, and a fifth of each class of `train` is split off.
        extra: split of more unlabeled images, whose labels are not looked at; empty: there is none.
        held_out: training images kept for tuning; of a smaller set a tenth.
        label: feature with the label.
    """

    builder: str
    train: str = "train"
    test: str = "test"
    extra: str = ""
    held_out: int = 0
    label: str = "label"


@dataclasses.dataclass(frozen=True)
class DataRow(Row):
    """A data set; `path` is a function (row, config) -> data.Dataset.

    Attributes:
        shape: of one example, (H, W, 3) or (D,); None: images are resized to --image_size.
        classes: their number; None: the user's folders say.
        mean, std: of each channel of the training images, in [0, 1]; None: points, or taken from the images.
        flip: whether a mirrored image keeps its class; None: --flip says.
        fill: grey level of what a shift, a rotation or a cutout uncovers (released: 128; digits: their background).
        folders: flags of the user's folders that it takes, beside --data_dir.
        optional: those of `folders` that may be left out.
        streamed: whether its images are read while it trains, so that none can be left out.
        tfds: its splits, where `path` is data.standard:load.
        test_path: a function (row, config, class names) -> data.Dataset of the test part alone; empty: `path` reads
            nothing that could be gone.
        validation: whether it can hold images out of its training set for validation; sets of `tfds` can where their
            splits hold some out.
    """

    shape: tuple | None = None
    classes: int | None = None
    mean: tuple | None = None
    std: tuple | None = None
    flip: bool | None = False
    fill: int = 128
    folders: tuple = ()
    optional: tuple = ()
    streamed: bool = False
    tfds: TfdsSplits | None = None
    test_path: str = ""
    validation: bool = False

    @property
    def validates(self):
        """Whether it can hold validation images out of its training set."""
        return self.validation or (self.tfds is not None and self.tfds.held_out > 0)

    @property
    def thins(self):
        """Whether --imbalance can thin its classes: all its training images are known by class and in memory."""
        of_tfds = self.tfds is not None and not self.tfds.extra and not self.streamed
        return of_tfds or (self.validation and not self.folders)

    def resolve_test(self):
        """The function at `test_path`, its module imported now."""
        return imported(self.test_path)

    def example_shape(self, image_size):
        """Shape of one example where --image_size is so: (H, W, 3), or (D,)."""
        return self.shape or (image_size, image_size, 3)


@dataclasses.dataclass(frozen=True)
class NetworkRow(Row):
    """A network; `path` is a function (shape, num_classes, dropout) -> keras.Model of float32 logits.

    Attributes:
        smallest: side of the smallest images it takes, pixels; 0: it takes vectors.
        residual: whether it has branches to skip in training and a namespace of layers: the function takes
            stochastic_depth and layers too.
        pretrained: name in keras.applications of the network whose weights --pretrained gives it; empty: none.
        names: "package.module:name" of the function (keras.Model) -> names of its layers as PyTorch has them, by which
            --weights reads a .npz file; empty: it reads none.
        mean, std: of the inputs it was made for, of each channel in [0, 1], in place of the data set's; None: those.
        library: that it is of, "keras" or "keras_cv"; empty: of this program. One of a library brings its inputs to its
            own form by itself.
    """

    smallest: int
    residual: bool = False
    pretrained: str = ""
    names: str = ""
    mean: tuple | None = None
    std: tuple | None = None
    library: str = ""

    def refusal(self, shape):
        """Why it does not take examples of that shape and what to do, a str; empty where it takes them."""
        told = f"the data set has examples of shape {tuple(shape)}; use"
        if not self.smallest:
            fitting = len(shape) == 1
            return "" if fitting else f"{self.name} takes vectors, {told} small_cnn or wide_resnet_28_2"
        needed = f"{self.name} takes images of at least {self.smallest} x {self.smallest} pixels"
        if len(shape) != 3:
            return f"{needed}, {told} mlp"
        fitting = min(shape[:2]) >= self.smallest
        other = f"another network or, for own images, give --image_size={self.smallest} or more"
        return "" if fitting else f"{needed}, {told} {other}"


def table(*rows):
    """The rows by name, in their order.

    Raises:
        ValueError: two rows of one name.
    """
    found = {row.name: row for row in rows}
    if len(found) < len(rows):
        raise ValueError(f"expected rows of different names, got {[row.name for row in rows]}")
    return found
