"""Members of tar and zip files: which are images, and their bytes by place; filtering's tests have the rest."""

import io
import tarfile
import zipfile

import pytest

from mpl_tf.data import archives
from mpl_tf.data.file_kinds import PassedOver


def test_members_are_images_as_files_in_folders_are(tmp_path):
    path, passed = tmp_path / "a.tar", PassedOver()
    with tarfile.open(path, "w") as file:
        for name, kind in {
            "./x.png": tarfile.REGTYPE,
            "/deep/y.JPG": tarfile.REGTYPE,
            "../z.webp": tarfile.REGTYPE,
            "link.png": tarfile.SYMTYPE,
            "hard.png": tarfile.LNKTYPE,
            "folder": tarfile.DIRTYPE,
            ".git/u.png": tarfile.REGTYPE,
            "x.json": tarfile.REGTYPE,
            "README": tarfile.REGTYPE,
        }.items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "x.png" if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE) else ""
            member.size = 3 if kind == tarfile.REGTYPE else 0
            file.addfile(member, io.BytesIO(name[-3:].encode()))
    found = [*archives.images(path, passed)]
    assert [name for name, _ in found] == ["x.png", "deep/y.JPG", "../z.webp"]
    assert [archives.read(path, place) for _, place in found] == [b"png", b"JPG", b"ebp"]
    assert passed == {"hidden": 1, "no files": 2, ".json": 1, "without suffix": 1}


def test_an_empty_image_is_no_bytes_and_one_beyond_the_end_is_told(tmp_path):
    (tmp_path / "a.tar").write_bytes(b"1234")
    assert archives.read(tmp_path / "a.tar", [2, 0]) == b""
    assert archives.read(tmp_path / "a.tar", [2, 2]) == b"34"
    with pytest.raises(ValueError, match="the file ends within this image"):
        archives.read(tmp_path / "a.tar", [2, 3])


def test_of_members_of_one_name_each_is_read(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as file, pytest.warns(UserWarning, match="Duplicate name"):
        file.writestr("a.png", b"old")
        file.writestr("a.png", b"new")
    assert [archives.read(path, place) for _, place in archives.images(path, {})] == [b"old", b"new"]


def test_a_zip_file_that_was_changed_since_is_told(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a.png", b"a")
    ((_, (number, size)),) = archives.images(path, {})
    with pytest.raises(OSError, match="was changed since its images were listed"):
        archives.read(path, [number, size + 1])


def test_packed_members_come_in_their_order(tmp_path):
    path = tmp_path / "a.tgz"
    with tarfile.open(path, "w:gz") as file:
        for name in ("a.png", "b.txt", "c.png"):
            member = tarfile.TarInfo(name)
            member.size = 1
            file.addfile(member, io.BytesIO(name[:1].encode()))
    assert [*archives.images(path, {})] == [("a.png", None), ("c.png", None)]
    assert [*archives.packed_images(path)] == [("a.png", b"a"), ("c.png", b"c")]
