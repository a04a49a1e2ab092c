"""What a run is asked to do, checked."""

import dataclasses
import re

import numpy as np

from mpl_tf.base import files, storage
from mpl_tf.base.errors import UsageError
from mpl_tf.settings import fields
from mpl_tf.settings.config import Config
from mpl_tf.settings.fields import flag, like

MOST = 10**15  # Images to keep of a class: more than there are, and their sums fit 64 bits.
LARGEST_DISTANCE = 64  # Bits: a quarter of a hash's; unrelated images differ in half of them.
WHERE = (
    "a folder (any depth), a pattern ('a/**/*.jpg'), a .txt list of files, tar, zip, Parquet or TFRecord files or "
    "tfds:NAME/SPLIT"
)


@dataclasses.dataclass(frozen=True)
class Scoring:
    """What decides the scores; the fields are flags of tools/filter_unlabeled.py."""

    images: tuple = flag(f"the unlabeled images: {WHERE}; may be given several times", (), topic="Scores")
    model: str = flag("Keras model from images in [0, 255], such as RUN/student.keras", "")
    data_dir: str = like(Config, "data_dir", "")
    image_feature: str = flag(
        "feature of TFRecords, or column of Parquet files, that holds the image; empty: image/encoded, or the column "
        "that holds images",
        "",
    )
    image_size: int = like(Config, "image_size", 0, text="side of the model's input; 0: the model's own", low=0)
    batch: int = flag("images a batch", 256, unit="images", low=1)
    precision: str = like(
        Config, "precision", "float32", text="compute type of the model", choices=("float32", "bfloat16")
    )
    outputs: str = flag("what the model gives", "logits", choices=("logits", "probabilities"))
    chunk: int = flag("images a unit of work: what a kill -9 can lose", 2048, unit="images", low=1)
    top_classes: int = flag("classes that an image competes for, its most probable ones", 1, low=1)
    fingerprints: bool = flag("note hashes with the scores, for --exclude and --dedup", True)
    overlap: str = flag(
        "how overlaps with --exclude are found, beside equal pixels",
        "hash",
        choices={
            "hash": "perceptual hashes, and the pixels of pictures with little texture",
            "embedding": "features of a network, by their cosine: crops, frames, turns too; needs faiss",
            "both": "one or the other",
        },
    )
    backbone: str = flag(
        "Keras model from images in [0, 255] to the features of --overlap; empty: what the last layer of --model takes",
        "",
    )
    background: str = like(Config, "background", "white")
    resize: str = like(
        Config,
        "resize",
        "",
        text="how images come to that side, crop, pad or stretch; empty: as the run of --model has it",
        choices=("", "crop", "pad", "stretch"),
    )

    @property
    def embedded(self):
        """Whether features are noted with the scores."""
        return self.overlap != "hash"


@dataclasses.dataclass(frozen=True)
class Selection:
    """What decides which of the scored images are kept; flags likewise."""

    per_class: str = flag(
        "images to keep a class, or a file of lines class,number", "12800", unit="images", topic="Choice"
    )
    min_probability: float = flag("least probability of a kept image", 0.0, low=0, high=1)
    top_classes: int = like(Scoring, "top_classes", 1)
    upsample: bool = flag("classes with fewer images repeat them, counted in image/copies", False)
    exclude: tuple = flag(f"evaluation images that none kept may overlap: {WHERE}; may be given several times", ())
    data_dir: str = like(Config, "data_dir", "")
    image_feature: str = like(Scoring, "image_feature", "")
    distance: int = flag(
        "bits of 256 by which hashes of overlapping images may differ; -1: equal pixels alone",
        18,
        unit="bits",
        low=-1,
        high=LARGEST_DISTANCE,
    )
    overlap: str = like(Scoring, "overlap", "hash")
    similarity: float = flag(
        "least cosine of the features of overlapping images; 0: such that one in 200 of --exclude has another so near",
        0.0,
        low=0,
        high=1,
    )
    dedup: bool = flag("of unlabeled images that overlap keep the most probable", False)
    shard_images: int = flag(
        "images a shard of the kept ones; 0: none is written, but the tables", 10_000, unit="images", low=0
    )

    @property
    def hashed(self):
        """Whether the choice needs fingerprints."""
        return bool(self.exclude) or self.dedup

    @property
    def embedded(self):
        """Whether features are compared."""
        return self.overlap != "hash"


def check(scoring, selection):
    """Check values that need no file; `scoring` may be None, where scores are given.

    Raises:
        UsageError: naming the flag.
    """
    for settings in (selection, scoring) if scoring else (selection,):
        for field in dataclasses.fields(settings):
            fields.check(field, getattr(settings, field.name))
    if scoring and not scoring.images:
        raise UsageError(f"--images: expected {WHERE}, got nothing")
    if scoring and not scoring.model:
        raise UsageError("--model: expected the student.keras of a finished run, got nothing")
    if scoring and selection.hashed and not scoring.fingerprints:
        raise UsageError("--nofingerprints: --exclude and --dedup compare fingerprints; leave it out")
    if scoring and scoring.backbone and not scoring.embedded:
        raise UsageError(f"--backbone: {scoring.backbone} goes with --overlap=embedding or both, got {scoring.overlap}")
    if selection.similarity and not selection.embedded:
        raise UsageError(
            f"--similarity: {selection.similarity} goes with --overlap=embedding or both, got {selection.overlap}; "
            "hashes have --distance"
        )


def resolved(scoring):
    """The Scoring whose `resize` is that of the run in the model's folder; crop where no run's config.json is there.

    Raises:
        UsageError: another one is asked for than the network was trained with.
    """
    path = storage.path(scoring.model).parent / "config.json"
    try:
        trained = files.read_json(path)["flags"]["resize"]
    except (OSError, ValueError, KeyError, TypeError):  # A model of elsewhere, or of before there was a choice.
        return dataclasses.replace(scoring, resize=scoring.resize or "crop")
    if scoring.resize not in ("", trained):
        raise UsageError(
            f"--resize: expected {trained}, as {path} says that {scoring.model} was trained, got {scoring.resize}; "
            "leave it out"
        )
    return dataclasses.replace(scoring, resize=trained)


def limits(per_class, classes, class_names=None):
    """How many images to keep of each class.

    Args:
        per_class: a number, or the path of a file of lines class,number, a class being its number or its name.
        classes: C.
        class_names: of the model, or None.
    Returns:
        int64 [C].
    Raises:
        UsageError: no number, none above 0, a class that the model does not have.
    """
    # A number: the same for every class.
    if not storage.is_file(per_class):
        if not re.fullmatch("[+-]?[0-9]+", per_class):
            raise UsageError(f"--per_class: expected a number or a file of class,number, got {per_class or 'nothing'}")
        if int(per_class) < 1:
            raise UsageError(f"--per_class: expected at least 1 image a class, got {per_class}")
        if int(per_class) > MOST:
            raise UsageError(f"--per_class: expected at most {MOST} images a class, got {per_class}")
        return np.full([classes], int(per_class), np.int64)
    # A file: a class may be told by its name or by its number; one that is not told keeps nothing.
    numbers = {name: number for number, name in enumerate(class_names or ())}
    numbers |= {str(number): number for number in range(classes)}
    result = np.zeros([classes], np.int64)
    for line, text in enumerate(storage.read_bytes(per_class).decode("utf-8", "surrogateescape").splitlines(), 1):
        if not text.strip():
            continue
        name, _, count = (part.strip() for part in text.rpartition(","))
        if name not in numbers or not re.fullmatch("[0-9]+", count) or int(count) > MOST:
            raise UsageError(
                f"--per_class: {per_class}, line {line}: expected class,number with a class of the model's {classes} "
                f"and at most {MOST} images, got {text!r}"
            )
        result[numbers[name]] = int(count)
    if not result.any():
        raise UsageError(f"--per_class: expected at least one class with images to keep in {per_class}, found none")
    return result
