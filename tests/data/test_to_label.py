"""Images to label: a folder, a file or a list, a piece at a time; what cannot be read is told at the end.

Covers: unreadable.py
"""

import zipfile

import numpy as np
import pytest
from PIL import Image

from mpl_tf.base.errors import RunError, UsageError
from mpl_tf.data import decode, to_label


@pytest.fixture
def photos(tmp_path):
    """Images of level 0 to 6 at `photos/N.png`, number 3 broken."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(7):
        Image.new("RGB", (4, 4), (number,) * 3).save(folder / f"{number}.png")
    (folder / "3.png").write_bytes(b"no image")
    (folder / "notes.txt").write_text("no image")
    return folder


@pytest.fixture
def found(make_config):
    def make(images, skip=True):
        return to_label.ToLabel(make_config(images=images, skip_bad_images=skip), 4)

    return make


def levels(pieces):
    return [images[:, 0, 0, 0].tolist() for _, images in pieces]


def test_a_folder_comes_in_pieces_without_what_cannot_be_read(photos, found, monkeypatch):
    sizes = []
    decoded = decode.decode_all
    monkeypatch.setattr(decode, "decode_all", lambda part, *rest: sizes.append(len(part)) or decoded(part, *rest))
    given = found(photos)
    pieces = given.pieces(2)
    paths, images = next(pieces)
    assert sizes == [2] and [path.name for path in paths] == ["0.png", "1.png"] and images.shape == (2, 4, 4, 3)
    assert levels(pieces) == [[2], [4, 5], [6]] and sizes == [2, 2, 2, 1]
    assert (len(given), given.unreadable.count) == (7, 1)
    assert given.notes() == (
        "--images: passed over what is no image: 1 .txt",
        f"unreadable images left out: {photos / '3.png'} (no image of these formats)",
    )


def test_without_leave_to_skip_all_that_cannot_be_read_are_named_at_the_end(photos, found):
    (photos / "6.png").write_bytes(b"")
    pieces = found(photos, skip=False).pieces(2)
    assert next(pieces)[0]
    with pytest.raises(RunError) as caught:
        list(pieces)
    assert str(caught.value).startswith("2 images: expected readable ")
    assert "3.png (no image" in str(caught.value) and "6.png (no image" in str(caught.value)
    (photos / "6.png").unlink()
    with pytest.raises(RunError, match=r"3.png: expected a readable .* image, got no image of these formats; mend or"):
        list(found(photos, skip=False).pieces(99))


@pytest.mark.parametrize("ending", ["csv", "CSV"])
def test_a_list_has_paths_from_its_folder_and_absolute_ones_in_its_order(photos, found, ending):
    path = photos.parent / f"list.{ending}"
    path.write_text(f"\ufeffid,path\n9,photos/5.png\n8,{photos / '2.png'}\n7,photos/gone.png\n6,photos/5.png\n")
    given = found(path)
    ((paths, images),) = given.pieces(9)
    assert paths == [str(photos / "5.png"), str(photos / "2.png"), str(photos / "5.png")]
    assert images[:, 0, 0, 0].tolist() == [5, 2, 5]
    (note,) = given.notes()
    assert len(given) == 4 and "gone.png (" in note and "No such file" in note


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("file\na.png\n", "expected the column path in the first line of {}, got file"),
        ("", "expected the column path in the first line of {}, got nothing"),
        ("path\n", "expected the paths of images in {}, found none"),
        ("path,id\na.png,1\n,2\n", "{}, line 3: expected a path, got nothing"),
        ('path\n"a.png\n', "expected a CSV file with a column path, cannot read {} (unexpected end of data)"),
    ],
)
def test_what_is_no_list_of_paths_is_refused_in_a_line(tmp_path, found, text, told):
    path = tmp_path / "list.csv"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        found(path)
    assert str(caught.value) == f"--images: {told.format(path)}"


def test_some_are_spread_over_all(photos, found):
    images = found(photos).some(3)  # Of the places 0, 3 and 6, the second of which cannot be read.
    assert images[:, 0, 0, 0].tolist() == [0, 6]
    assert len(found(photos / "5.png").some(3)) == 1
    assert len(found(photos).some(100)) == 6
    np.testing.assert_array_equal(found(photos).some(100)[:, 0, 0, 0], [0, 1, 2, 4, 5, 6])


def test_images_inside_files_come_after_those_of_the_folder(photos, found, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with zipfile.ZipFile(photos / "more.zip", "w") as archive:
        for number in (1, 3, 0):
            archive.write(photos / f"{number}.png", f"deep/{number}.png")
    given = found(photos)
    assert len(given) == 10 and levels(given.pieces(5)) == [[0, 1, 2, 4], [5, 6, 1, 0]]
    assert given.unreadable.count == 2
    ((paths, _),) = found(photos / "more.zip").pieces(5)
    assert [str(path) for path in paths] == [f"{photos}/more.zip/deep/{number}.png" for number in (1, 0)]
    with zipfile.ZipFile(tmp_path / "none.zip", "w"):
        pass
    with pytest.raises(UsageError, match="--images: expected images or tar, zip or Parquet files of images, found"):
        found(tmp_path / "none.zip")
