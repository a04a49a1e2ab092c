"""A data set of TFDS that lies in a bucket: streamed from there, or brought to the disk, as what it is on the disk."""

import numpy as np

from mpl_tf.base import storage
from mpl_tf.data.tfds import TfdsData


def upload(folder, bucket):
    for path in folder.rglob("*"):
        if path.is_file():
            storage.put(path, f"{bucket}/{path.relative_to(folder)}")


def test_streamed_and_read_as_from_the_disk(imagenet_dir, bucket):
    upload(imagenet_dir, bucket)
    here, there = (TfdsData("imagenet2012", root) for root in (str(imagenet_dir), bucket))
    assert here.class_names == there.class_names
    ours, theirs = (data.streamed("validation", 32) for data in (here, there))
    assert theirs.files[0].startswith("memory://bucket/imagenet2012/")
    assert ours.fingerprint() == theirs.fingerprint()
    for (images, labels), (others, same) in zip(ours.pieces(16), theirs.pieces(16), strict=True):
        np.testing.assert_array_equal(images, others)
        np.testing.assert_array_equal(labels, same)
    ours, theirs = (data.read("validation", 32) for data in (here, there))
    np.testing.assert_array_equal(ours.images, theirs.images)
