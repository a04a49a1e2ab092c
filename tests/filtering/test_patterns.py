"""Patterns of file names: as glob has them, without hidden files, and with an end to loops."""

import glob

import pytest

from mpl_tf.data import listing
from mpl_tf.filtering import patterns

FILES = (
    "1.jpg",
    "a/2.jpg",
    "a/2.png",
    "a/b/3.jpg",
    "a/b/c/4.jpeg",
    "b/5.jpg",
    "b/notes.txt",
    "x[1]/6.jpg",
    "b/7.tfrecord",
)
PATTERNS = (
    "*.jpg",
    "*/*.jpg",
    "**/*.jpg",
    "a/**/*.jp*g",
    "**/b/*",
    "**",
    "*/**/c/*",
    "[ab]/?.jpg",
    "**/**/3.jpg",
    "x[[]1]/*",
)


@pytest.fixture
def place(tmp_path):
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def expand(pattern):
    passed = listing.PassedOver()
    return patterns.expand(str(pattern), "--images", passed), passed


@pytest.mark.parametrize("pattern", PATTERNS)
def test_as_glob_has_it(place, pattern):
    whole = f"{glob.escape(str(place))}/{pattern}"
    expected = {path for path in glob.glob(whole, recursive=True) if path.endswith(("jpg", "png", "jpeg", "tfrecord"))}
    found, passed = expand(whole)
    assert expected and found == sorted(expected)
    assert passed == ({".txt": 1} if pattern in ("**/b/*", "**") else {})


def test_relative_to_where_one_stands(place, monkeypatch):
    monkeypatch.chdir(place)
    assert expand("**/*.jpg")[0] == ["1.jpg", "a/2.jpg", "a/b/3.jpg", "b/5.jpg", "x[1]/6.jpg"]
    assert expand("./a/*.jpg")[0] == ["./a/2.jpg"]
    assert expand("a/../b/*.jpg")[0] == ["a/../b/5.jpg"]


def test_loops_multiply_nothing(place):
    """Six images came out as 245 where glob follows links."""
    (place / "a/loop").symlink_to("..")
    (place / "b/loop").symlink_to(place / "a")
    (place / "a/b/self").symlink_to(".")
    found, _ = expand(place / "**" / "*.jpg")
    assert found == [str(place / name) for name in ("1.jpg", "a/2.jpg", "a/b/3.jpg", "b/5.jpg", "x[1]/6.jpg")]


def test_a_loop_leads_to_no_images_above(place):
    """Such a link brought the test images in."""
    (place / "a/up").symlink_to("..")
    (place / "a/far").symlink_to("../..")
    (place / "a/beside").symlink_to("../b")
    found = expand(place / "a" / "**" / "*.jpg")[0]
    assert found == [str(place / name) for name in ("a/2.jpg", "a/b/3.jpg", "a/beside/5.jpg")]
    assert str(place / "a/up/1.jpg") in expand(place / "a" / "up" / "*.jpg")[0]  # It is spelled.


def test_a_link_is_found_by_its_own_name_too(place):
    (place / "a/zzz").symlink_to("../b")
    assert expand(place / "**" / "zzz" / "*.jpg")[0] == [str(place / "a/zzz/5.jpg")]
    assert len(expand(place / "**" / "5.jpg")[0]) == 1


def test_hidden_names_are_found_only_where_they_are_spelled(place):
    for name in (".ipynb_checkpoints/8.jpg", "__MACOSX/9.jpg", "a/._2.jpg"):
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_bytes(b"x")
    assert len(expand(place / "**" / "*.jpg")[0]) == 5
    assert expand(place / ".ipynb_checkpoints" / "*.jpg")[0] == [str(place / ".ipynb_checkpoints/8.jpg")]
    assert expand(place / "**" / ".*" / "*.jpg")[0] == [str(place / ".ipynb_checkpoints/8.jpg")]
    assert expand(place / "a" / "._*")[0] == [str(place / "a/._2.jpg")]
