"""Images in tar files (WebDataset's shards too) and zip files, read where they are.

A member of a plain tar file or of a zip file is read by its place, from any thread and in any order. A compressed tar
file can only be read from its begin to its end. Which members are images is as in folders; of a tar file links count
as what is passed over.
"""

import contextlib
import functools
import lzma
import os
import posixpath
import tarfile
import zipfile
import zlib

from mpl_tf.base import storage
from mpl_tf.base.errors import RunError, reason
from mpl_tf.data.file_kinds import BARE, HIDDEN, SPECIAL, is_hidden, is_image, suffix

TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
ZIPS = (".zip",)
OPEN = 4  # Zip files whose lists of members a process keeps: half a KB a member.
# What tarfile, zipfile and their decompressors raise of a file that is damaged, or packed in a way that they lack.
DAMAGE = (
    OSError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)


def is_archive(name):
    """Whether a file of this name is a tar or zip file."""
    return name.lower().endswith(TARS + ZIPS)


class _Strict(tarfile.TarInfo):
    """A header that is damaged is told; tarfile takes it for the end of the file."""

    @classmethod
    def frombuf(cls, buf, encoding, errors):
        """As tarfile has it; ReadError where the header is damaged."""
        try:
            return super().frombuf(buf, encoding, errors)
        except (tarfile.InvalidHeaderError, tarfile.TruncatedHeaderError) as error:
            raise tarfile.ReadError(f"a damaged header: {error}") from error


def images(path, passed):
    """The images of a tar or zip file, in its order.

    Args:
        path: of the file.
        passed: PassedOver, which counts the other members.
    Yields:
        (name of the member, its place for `read`, a list of int); of a compressed tar file the place is None.
    Raises:
        RunError: the file is damaged, or none of its kind.
    """
    with _told(path):
        if str(path).lower().endswith(ZIPS):
            size = storage.size(path)
            for number, member in enumerate(_opened(str(path), size).infolist()):
                if not member.is_dir() and (name := _wanted(member.filename, True, passed)):
                    yield name, [number, size]
            return
        for member, packed in _members(path):
            if not member.isdir() and (name := _wanted(member.name, member.isreg() and not member.issparse(), passed)):
                yield name, None if packed else [member.offset_data, member.size]


def packed_images(path):
    """(name of the member, its bytes) of each image of a compressed tar file; RunError as in `images`."""
    with _told(path):
        for member, file in _members(path):
            if member.isreg() and not member.issparse() and (name := _wanted(member.name, True, {})):
                file.seek(member.offset_data)
                yield name, file.read(member.size)


def read(path, place):
    """The bytes of the image at a place that `images` gave.

    Raises:
        ValueError: it is damaged, encrypted or packed in a way that zipfile does not know.
        OSError: the file cannot be read.
    """
    first, size = place
    if not str(path).lower().endswith(ZIPS):
        data = storage.read_bytes(path, first, first + size) if size else b""
        if len(data) < size:
            raise ValueError("the file ends within this image")
        return data
    try:
        archive = _opened(str(path), size)
        return archive.read(archive.infolist()[first])
    except DAMAGE as error:
        if isinstance(error, OSError):
            raise
        raise ValueError(reason(error) or type(error).__name__) from error


def _members(path):
    """(TarInfo, the open file where it is compressed, else None) of each member; what is compressed is read whole."""
    with storage.open_file(path) as file, tarfile.open(fileobj=file, mode="r:*", tarinfo=_Strict) as tar:
        packed = None if tar.fileobj is file else tar.fileobj
        while (member := tar.next()) is not None:
            yield member, packed
            tar.members = []  # Else all of them stay in memory.
        while packed and packed.read(2**20):  # The checksum is at the end.
            pass


def _wanted(name, is_file, passed):
    """The name of a member without ./ and /, or None where it is no image, which is counted."""
    name = posixpath.normpath(name).lstrip("/")
    if any(is_hidden(part) for part in name.split("/") if part != ".."):
        kind = HIDDEN
    elif not is_file:
        kind = SPECIAL
    elif is_image(name):
        return name
    else:
        kind = suffix(name) or BARE
    passed[kind] = passed.get(kind, 0) + 1
    return None


@contextlib.contextmanager
def _told(path):
    try:
        yield
    except DAMAGE as error:
        kind = "zip" if str(path).lower().endswith(ZIPS) else "tar"
        why = reason(error).rstrip(":") or type(error).__name__
        raise RunError(
            f"{path}: expected a {kind} file that is whole, cannot read it ({why}); copy it again, or remove it"
        ) from error


def _opened(path, size):
    return _archive(path, size, os.getpid())


@functools.lru_cache(maxsize=OPEN)
def _archive(path, size, _):
    """The ZipFile of a path, one a process, for all threads; OSError where the file has another size by now."""
    if storage.size(path) != size:
        raise OSError(f"{path} was changed since its images were listed")
    return zipfile.ZipFile(storage.open_file(path))
