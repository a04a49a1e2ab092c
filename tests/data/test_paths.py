"""Paths of many files: in their order, relative to where they were listed, put together, in little memory."""

import os
import pathlib
import tracemalloc

import numpy as np
import pytest

from mpl_tf.data.paths import Paths


def made(root, *names):
    paths = Paths()
    for name in names:
        folder, file = os.path.split(os.path.join(root, name))
        paths.add(root, folder, file, is_link=file.startswith("link"))
    return paths


def test_paths_come_back_in_their_order_whatever_their_names_are():
    names = ["b.jpg", "deep/a.jpg", "deep/caf\udce9.jpg", "deep/er/猫.png", "a b,\n.jpg"]
    paths = made("/root", *names)
    assert paths == [pathlib.Path("/root", name) for name in names] and len(paths) == 5
    assert paths[np.int64(1)] == paths[-4] == pathlib.Path("/root/deep/a.jpg")
    assert [paths.relative(place) for place in range(5)] == [os.fsencode(name) for name in names]
    assert paths.folder(2) == "/root/deep" and paths.folders() == ["/root", "/root/deep", "/root/deep/er"]
    for place in (5, -6):
        with pytest.raises(IndexError):
            paths[place]


def test_two_are_put_together():
    both = made("/one", "a.jpg", "deep/link.jpg")
    both.extend(made("/two", "deep/b.jpg", "link2.jpg"))
    both.add("/two", "/two/deep", "c.jpg")
    assert list(map(str, both)) == [
        "/one/a.jpg",
        "/one/deep/link.jpg",
        "/two/deep/b.jpg",
        "/two/link2.jpg",
        "/two/deep/c.jpg",
    ]
    assert [both.relative(place) for place in range(5)] == [
        b"a.jpg",
        b"deep/link.jpg",
        b"deep/b.jpg",
        b"link2.jpg",
        b"deep/c.jpg",
    ]
    assert both.links == {1, 3}
    empty = Paths()
    empty.extend(both)
    assert empty == both and empty.links == both.links and not Paths()


def test_a_path_takes_its_name_and_a_dozen_bytes():
    tracemalloc.start()
    paths = made("/root", *(f"{number:08d}.jpg" for number in range(20_000)))
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(paths) == 20_000 and size / 20_000 < 40  # Names of 12 bytes; the buffers grow by an eighth.
