"""Which files are images: endings, hidden names, links and loops, what is passed over, folders that are locked.

Covers: file_kinds.py, walking.py
"""

import inspect
import os
import random
import sys
import time

import pytest

from mpl_tf.base import storage
from mpl_tf.base.errors import UsageError
from mpl_tf.data import file_kinds, listing, walking


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def names(folder, **options):
    found = listing.find(folder, "--images", **options)
    return [str(path.relative_to(folder)) for path in found.images], found.passed


def test_every_ending_of_every_format_counts_in_any_case(tmp_path):
    endings = sorted(file_kinds.ENDINGS)
    assert endings == sorted([".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"])
    touch(tmp_path, *(f"a{ending}" for ending in endings), *(f"B{ending.upper()}" for ending in endings))
    assert len(names(tmp_path)[0]) == 20


def test_others_are_counted_by_suffix_and_told_in_one_line(tmp_path):
    touch(tmp_path, "a.jpg", "b.HEIC", "deep/c.heic", "deep/d.txt", "e", "f.tfrecord")
    found, passed = names(tmp_path)
    assert found == ["a.jpg"]
    assert passed == {".heic": 2, ".txt": 1, file_kinds.BARE: 1, ".tfrecord": 1}
    (line,) = passed.told("--images")
    assert line == "--images: passed over what is no image: 2 .heic, 1 .tfrecord, 1 .txt, 1 without suffix"
    assert listing.PassedOver().told("--images") == ()


def test_of_many_suffixes_the_most_frequent_are_told(tmp_path):
    touch(tmp_path, "a.jpg", *(f"x.{number:03d}" for number in range(30)), "1.txt", "2.txt")
    (line,) = names(tmp_path)[1].told("--images")
    assert ": 2 .txt, 1 .000, " in line and line.endswith("23 other kinds") and len(line) < 150


HIDDEN = (
    ".DS_Store",
    "._a.jpg",
    ".ipynb_checkpoints/a-checkpoint.jpg",
    "__MACOSX/cat/a.jpg",
    "Thumbs.db",
    "desktop.ini",
    "deep/.hidden.png",
    "deep/@eaDir/a.jpg/thumb.jpg",
)


def test_hidden_names_are_no_images_at_any_depth(tmp_path):
    touch(tmp_path, "a.jpg", "deep/b.jpg", *HIDDEN)
    found, passed = names(tmp_path)
    assert found == ["a.jpg", "deep/b.jpg"] and passed == {file_kinds.HIDDEN: len(HIDDEN)}


def test_hidden_names_are_no_classes_and_files_beside_the_classes_are_counted(tmp_path):
    touch(tmp_path, "cat/a.jpg", "dog/a.jpg", "x.jpg", "notes.txt", *HIDDEN[:6])
    passed = listing.PassedOver()
    assert listing.class_folders(tmp_path, "--labeled_dir", passed) == ("cat", "dog")
    assert passed == {file_kinds.HIDDEN: 6, file_kinds.CLASSLESS: 1, ".txt": 1}
    with pytest.raises(UsageError, match="^--labeled_dir: expected one folder of images a class, found no folder in "):
        listing.class_folders(tmp_path / "cat", "--labeled_dir", passed)


def test_a_folder_that_is_hidden_itself_may_be_given(tmp_path):
    touch(tmp_path, ".cache/a.jpg")
    assert names(tmp_path / ".cache")[0] == ["a.jpg"]


def test_the_order_is_that_of_sorted_paths(tmp_path):
    shuffled = random.Random(0)
    parts = ["a", "a.b", "B", "a-b", "ab", "é", "0"]
    files = {"/".join(shuffled.choices(parts, k=shuffled.randint(0, 3)) + [f"{n}.jpg"]) for n in range(200)}
    touch(tmp_path, *files)
    found = listing.find(tmp_path, "--images").images
    assert found == sorted(tmp_path.rglob("*.jpg")) and len(found) == len(files)


# ---- Links --------------------------------------------------------------------------------------------------------


def test_a_link_to_a_folder_gives_its_images_once(tmp_path):
    touch(tmp_path, "pool/1.jpg", "pool/deep/2.jpg", "more/3.jpg")
    (tmp_path / "more/first").symlink_to("../pool")
    (tmp_path / "more/second").symlink_to(tmp_path / "pool")
    (tmp_path / "more/third").symlink_to("../pool/deep")
    found, passed = names(tmp_path / "more")
    assert found == ["3.jpg", "first/1.jpg", "first/deep/2.jpg"] and passed == {file_kinds.AGAIN: 2}


def test_class_folders_may_be_links(tmp_path):
    touch(tmp_path, "pool/cats/1.jpg", "labeled/dog/2.jpg")
    (tmp_path / "labeled/cat").symlink_to("../pool/cats")
    assert listing.class_folders(tmp_path / "labeled", "", listing.PassedOver()) == ("cat", "dog")
    assert names(tmp_path / "labeled" / "cat")[0] == ["1.jpg"]


def test_loops_end_and_lead_to_no_other_images(tmp_path):
    touch(tmp_path, "labeled/dog/1.jpg", "labeled/cat/2.jpg", "labeled/cat/deep/3.jpg")
    (tmp_path / "labeled/cat/self").symlink_to(".")
    (tmp_path / "labeled/cat/deep/up").symlink_to("..")
    (tmp_path / "labeled/cat/root").symlink_to(tmp_path)
    (tmp_path / "labeled/cat/all").symlink_to("..")
    found, passed = names(tmp_path / "labeled/cat")
    assert found == ["2.jpg", "deep/3.jpg"] and passed == {file_kinds.AGAIN: 4}


def test_links_to_files_are_files_and_broken_ones_are_told(tmp_path):
    touch(tmp_path, "a.jpg")
    (tmp_path / "b.jpg").symlink_to("a.jpg")
    (tmp_path / "c.jpg").symlink_to("gone.jpg")
    (tmp_path / "d").symlink_to("gone")
    os.mkfifo(tmp_path / "e.jpg")
    found, passed = names(tmp_path)
    assert found == ["a.jpg", "b.jpg"] and passed == {file_kinds.BROKEN: 2, file_kinds.SPECIAL: 1}


def test_links_that_cannot_be_followed_are_broken_ones(tmp_path):
    touch(tmp_path, "cat/a.jpg")
    for place in (tmp_path, tmp_path / "cat"):
        (place / "itself.jpg").symlink_to("itself.jpg")
        (place / "through_a_file.jpg").symlink_to(tmp_path / "cat/a.jpg/b.jpg")
        (place / "long.jpg").symlink_to("x" * 300)
    found, passed = names(tmp_path / "cat")
    assert found == ["a.jpg"] and passed == {file_kinds.BROKEN: 3}
    assert listing.class_folders(tmp_path, "--labeled_dir", listing.PassedOver()) == ("cat",)


def test_what_is_no_folder_is_not_told_to_have_other_permissions(tmp_path):
    os.mkfifo(tmp_path / "a.jpg")
    with pytest.raises(UsageError, match=r"got .*a.jpg \(Not a directory\); give a folder$"):
        names(tmp_path / "a.jpg")


def test_a_tree_deeper_than_pythons_stack(tmp_path):
    touch(tmp_path, "d/" * 100 + "a.jpg")
    before = sys.getrecursionlimit()
    try:
        sys.setrecursionlimit(len(inspect.stack(0)) + 50)
        found = list(walking.walk(tmp_path, "--images", listing.PassedOver()))
    finally:
        sys.setrecursionlimit(before)
    assert len(found) == 1 and found[0].count("/d") >= 100


# ---- What is asked for --------------------------------------------------------------------------------------------


def test_images_and_shards_are_told_apart(tmp_path):
    touch(tmp_path, "a.jpg", "b.tfrecord")
    found = listing.find(tmp_path, "--images", shards=True)
    assert ([path.name for path in found.images], [path.name for path in found.shards]) == (["a.jpg"], ["b.tfrecord"])
    assert listing.shards(tmp_path, "--images") == [tmp_path / "b.tfrecord"]


def test_one_file_stands_for_itself_whatever_its_name(tmp_path):
    touch(tmp_path, "scan.001")
    assert listing.find(tmp_path / "scan.001", "--images").images == [tmp_path / "scan.001"]


def test_nothing_found_tells_what_was_passed_over(tmp_path):
    touch(tmp_path, "a.heic", "b.heic", "._c.jpg")
    with pytest.raises(UsageError) as caught:
        listing.find(tmp_path, "--test_dir")
    assert str(caught.value) == (
        f"--test_dir: expected images, found none in {tmp_path}; passed over what is no image: 2 .heic, 1 hidden; "
        "images are JPEG, PNG, WebP, BMP, GIF or TIFF files"
    )
    assert listing.find(tmp_path, "--test_dir", may_lack=True).images == []


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
    touch(tmp_path, "a.jpg", "locked/b.jpg")
    scandir = os.scandir

    def guarded(folder):
        if str(folder).endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", guarded)  # The tests may run as root, who may list all.
    with pytest.raises(UsageError, match=r"^--images: expected a folder that can be listed, got .*locked \(Permission"):
        listing.find(tmp_path, "--images")


def test_names_that_are_no_text(tmp_path):
    raw = os.fsencode(tmp_path) + b"/caf\xe9.jpg"
    with open(raw, "wb"):
        pass
    (path,) = listing.find(tmp_path, "--images").images
    assert os.fsencode(path) == raw


def test_listing_tells_how_far_it_is_where_that_takes_long(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(walking, "TOLD_SECONDS", 0.0)
    monkeypatch.setattr(walking, "LOOKED", 4)
    touch(tmp_path, *(f"{number}.jpg" for number in range(5)), *(f"deep/{number}.txt" for number in range(4)))
    assert len(listing.find(tmp_path, "--unlabeled_dir").images) == 5
    out, err = capsys.readouterr()
    told = [f"mpl_tf: --unlabeled_dir: {tmp_path}: {count} names so far" for count in (4, 8)]
    assert out == "" and err.splitlines() == told


def test_folders_are_listed_ahead_in_their_order(tmp_path, monkeypatch):
    """As on a disk at the other end of a network; what is passed over is counted once."""
    paths = [f"{one}/{two}/{number}.jpg" for one in "abcdef" for two in "xyz" for number in range(2)]
    touch(tmp_path, *paths, "a/x/note.txt", "f/note.txt")
    (tmp_path / "b" / "again").symlink_to(tmp_path / "a")
    scandir, now, most = storage.scandir, set(), []

    def slow(folder):
        now.add(str(folder))
        most.append(len(now))
        time.sleep(0.02)
        now.discard(str(folder))
        return scandir(folder)

    monkeypatch.setattr(storage, "scandir", slow)
    passed = listing.PassedOver()
    found = [os.path.relpath(path, tmp_path) for path in walking.walk(tmp_path, "--images", passed)]
    assert found == sorted(paths) and passed == {".txt": 2, walking.AGAIN: 1}
    assert len(most) == 1 + 6 + 18 and max(most) > 3


def test_no_file_is_looked_at_that_is_no_link(tmp_path, monkeypatch):
    touch(tmp_path, "a.jpg", "deep/b.jpg", "deep/c.png")
    (tmp_path / "link.jpg").symlink_to("a.jpg")
    looked, calls = [], {name: getattr(os, name) for name in ("stat", "lstat")}
    with monkeypatch.context() as patched:
        for name, call in calls.items():
            patched.setattr(os, name, lambda path, *a, call=call, **k: looked.append(str(path)) or call(path, *a, **k))
        found = list(walking.scan(str(tmp_path), "--images", listing.PassedOver()))
    assert not [path for path in looked if path.endswith((".jpg", ".png"))]
    deep = str(tmp_path / "deep")
    assert found == [
        (str(tmp_path), "a.jpg", False),
        (deep, "b.jpg", False),
        (deep, "c.png", False),
        (str(tmp_path), "link.jpg", True),
    ]
