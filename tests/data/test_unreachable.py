"""Images in a bucket whose server refuses one: the run ends by its name, and leaves none out, whatever it may skip."""

import numpy as np
import pytest

from mpl_tf import main
from mpl_tf.base import storage
from mpl_tf.base.errors import RunError
from mpl_tf.data import decode, listing
from mpl_tf.data.own_images import OwnImages
from tests.data.test_own_images import encoded, picture

REFUSED = "4.png"


@pytest.fixture
def places(bucket, monkeypatch):
    """A function of an exception: folders in a bucket, an image of which raises it when it is read."""
    from fsspec.implementations.memory import MemoryFileSystem

    for first, part in enumerate(("labeled/cat", "labeled/dog", "test/cat", "test/dog", "more")):
        for number in range(6):
            storage.put(encoded(picture(10 * first + number), "PNG"), f"{bucket}/{part}/{number}.png")
    plain = MemoryFileSystem.cat_file

    def refuse(error):
        def read(own, path, *given, **named):
            if path.endswith(f"more/{REFUSED}"):
                raise error
            return plain(own, path, *given, **named)

        monkeypatch.setattr(MemoryFileSystem, "cat_file", read)
        return bucket

    return refuse


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (PermissionError("AccessDenied"), "no right to it"),
        (OSError(16, "SlowDown"), "SlowDown"),
        (FileNotFoundError("gone"), "there is no such object, or no such bucket"),
    ],
)
def test_a_run_ends_in_one_line_with_the_name(places, tmp_path, capfd, error, told):
    bucket = places(error)
    flags = [f"--{name}_dir={bucket}/{part}" for name, part in (("labeled", "labeled"), ("test", "test"))]
    flags += [
        f"--unlabeled_dir={bucket}/more",
        "--dataset=folder",
        "--method=uda",
        "--model=small_cnn",
        "--image_size=8",
    ]
    flags += ["--labeled_batch=2", "--mu=1", "--train_steps=2", "--noreport", f"--workdir={tmp_path}/run"]
    assert main.main(flags) == 1
    *_, line = capfd.readouterr().err.strip().splitlines()
    assert line.startswith(f"mpl_tf: error: {bucket}/more/{REFUSED}: ") and told in line and "Traceback" not in line


@pytest.mark.parametrize("error", [PermissionError("AccessDenied"), OSError(16, "SlowDown")])
def test_what_a_server_refuses_is_no_bad_image(places, error):
    found = listing.find(f"{places(error)}/more", "--unlabeled_dir").images
    with pytest.raises(OSError) as raised:
        decode.decode_files(list(found), 8, skip_bad=True)
    assert storage.refused(raised.value)
    images = OwnImages((found,), np.arange(6, dtype=np.int32), 8, skip_bad=True)
    with pytest.raises(RunError, match=f"more/{REFUSED}: "):
        list(images.pieces(6))
    assert not images.bad


def test_an_object_that_has_gone_is_a_bad_image(places):
    found = listing.find(f"{places(FileNotFoundError('gone'))}/more", "--unlabeled_dir").images
    assert decode.decode_files(list(found), 8, skip_bad=True).good.tolist() == [True] * 4 + [False, True]
