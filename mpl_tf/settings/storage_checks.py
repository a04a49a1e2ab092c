"""Whether the buckets that flags name can be reached, before anything is done with them."""

from mpl_tf.base import storage
from mpl_tf.base.errors import UsageError

_MODELS = ("weights", "init_from", "init_teacher_from", "teacher")
_TRAINING = (
    "labeled_dir",
    "unlabeled_dir",
    "validation_dir",
    "test_dir",
    "data_dir",
    "labels",
    "store",
    "feature_store",
)
# Flags of files and folders that a mode reads or writes.
PLACES = {
    "train": ("workdir", *_TRAINING, *_MODELS),
    "features": (*_TRAINING, *_MODELS),
    "evaluate": ("workdir", "test_dir", "data_dir"),
    "predict": ("workdir", "images"),
    "export": ("workdir", "images"),
}


def unreachable(config):
    """What is wrong with the URLs among a configuration's flags: a line each, without a package, bucket, or rights."""
    for name in PLACES.get(config.mode, ()):
        try:
            storage.check(getattr(config, name), name)
        except UsageError as error:
            yield str(error)
