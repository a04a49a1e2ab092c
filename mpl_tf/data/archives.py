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
from mpl_tf.settings.forms import TARS, ZIPS

CLASS, LONGEST = ".cls", 4096  # WebDataset's member with an example's class, bytes at most.
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


def is_packed(path):
    """Whether a tar file is compressed, whatever its name; a zip file is not. RunError as in `images`."""
    if str(path).lower().endswith(ZIPS):
        return False
    with _told(path), storage.open_file(path) as file, tarfile.open(fileobj=file, mode="r:*", tarinfo=_Strict) as tar:
        return tar.fileobj is not file


def sizes(path):
    """Bytes of each member of a zip file, unpacked, by the first number of its place: list of int."""
    with _told(path):
        return [member.file_size for member in _opened(str(path), storage.size(path)).infolist()]


def images(path, passed, classes=None):
    """The images of a tar or zip file, in its order.

    Args:
        path: of the file.
        passed: PassedOver, which counts the other members.
        classes: dict that gets what WebDataset's members NAME.cls hold, str, by NAME, but for empty ones; None: they
            are passed over.
    Yields:
        (name of the member, its place for `read`, a list of int); of a compressed tar file the place is None.
    Raises:
        RunError: the file is damaged, or none of its kind.
    """
    with _told(path):
        if str(path).lower().endswith(ZIPS):
            size = storage.size(path)
            archive = _opened(str(path), size)
            for number, member in enumerate(archive.infolist()):
                if _is_class(member.filename, member.file_size, classes):
                    _note(classes, member.filename, archive.read(member))
                elif not member.is_dir() and (name := _wanted(member.filename, True, passed)):
                    yield name, [number, size]
            return
        for member, file, packed in _members(path):
            whole = member.isreg() and not member.issparse()
            if whole and _is_class(member.name, member.size, classes):
                _note(classes, member.name, _content(member, file))
            elif not member.isdir() and (name := _wanted(member.name, whole, passed)):
                yield name, None if packed else [member.offset_data, member.size]


def packed_images(path, passed=None, classes=None):
    """(name of the member, its bytes) of each image of a compressed tar file; arguments and RunError as in `images`."""
    passed = {} if passed is None else passed
    with _told(path):
        for member, file, _ in _members(path):
            whole = member.isreg() and not member.issparse()
            if whole and _is_class(member.name, member.size, classes):
                _note(classes, member.name, _content(member, file))
            elif not member.isdir() and (name := _wanted(member.name, whole, passed)):
                yield name, _content(member, file)


def example(name):
    """What the members of one example of a WebDataset have in common: the name up to its file's first dot."""
    folder, file = posixpath.split(posixpath.normpath(name).lstrip("/"))
    return posixpath.join(folder, file.partition(".")[0])


def _is_class(name, size, classes):
    return classes is not None and name.lower().endswith(CLASS) and size <= LONGEST


def _content(member, file):
    file.seek(member.offset_data)
    return file.read(member.size)


def _note(classes, name, data):
    """Note the class that a member NAME.cls holds; an empty one tells none."""
    if text := data.decode(errors="backslashreplace").strip():
        classes[example(name)] = text


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
    """(TarInfo, the file that its place is in, whether that was compressed) of each member; it is then read whole."""
    with storage.open_file(path) as file, tarfile.open(fileobj=file, mode="r:*", tarinfo=_Strict) as tar:
        packed = tar.fileobj is not file
        while (member := tar.next()) is not None:
            yield member, tar.fileobj, packed
            tar.members = []  # Else all of them stay in memory.
        while packed and tar.fileobj.read(2**20):  # The checksum is at the end.
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
