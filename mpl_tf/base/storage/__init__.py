"""Where a user's files are: a disk, a bucket (gs://, s3://) or any URL of fsspec; every flag's path comes here.

A path on a disk is the pathlib.Path that it always was. A URL is a UPath (universal_pathlib), which has the same
methods for names, over fsspec, whose file systems speak to the servers. etils.epath, which TFDS brings, was the other
choice: it takes gs:// and s3:// to TensorFlow's own file systems once TensorFlow is imported, has no other URLs, and no
reads of a part. An object has no rename, and needs none: it is there whole under its name, or not at all.
"""

from mpl_tf.base.storage.cached import fetched, made, remembered, shared
from mpl_tf.base.storage.listing import find, names, scandir, sizes, tree
from mpl_tf.base.storage.objects import (
    fetch,
    make_folder,
    open_file,
    open_whole,
    put,
    read_bytes,
    readable,
    remove,
    remove_tree,
)
from mpl_tf.base.storage.paths import (
    above,
    absolute,
    check,
    exists,
    is_dir,
    is_file,
    is_url,
    join,
    named,
    path,
    real,
    refused,
    size,
)
from mpl_tf.base.storage.room import grown, hold
from mpl_tf.base.storage.scratch import kept

__all__ = [
    "above",
    "absolute",
    "check",
    "exists",
    "fetch",
    "fetched",
    "find",
    "grown",
    "hold",
    "is_dir",
    "is_file",
    "is_url",
    "join",
    "kept",
    "made",
    "make_folder",
    "named",
    "names",
    "open_file",
    "open_whole",
    "path",
    "put",
    "read_bytes",
    "readable",
    "real",
    "refused",
    "remembered",
    "remove",
    "remove_tree",
    "scandir",
    "shared",
    "size",
    "sizes",
    "tree",
]
