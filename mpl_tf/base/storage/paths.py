"""Paths as users give them, on a disk or as URLs, and what is asked of them without reading a file."""

import errno
import functools
import importlib.util
import logging
import os
import re
import time
import urllib.parse
from pathlib import Path

from mpl_tf.base.errors import UsageError
from mpl_tf.base.storage.faults import told

URL = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*)://")
# What speaks to a kind of server, where fsspec does not itself: (module, what pip is to install).
NEEDED = {"gs": ("gcsfs", "mpl-tf[gcs]"), "gcs": ("gcsfs", "mpl-tf[gcs]"), "s3": ("s3fs", "mpl-tf[s3]")}
NEEDED["s3a"] = NEEDED["s3"]
REACHED = 60.0  # Seconds within which a server must say whether it has a place; its libraries ask for minutes.
_WORKED_IN, _NAMED = {}, {}  # URLs of folders to the local ones that stand for them (mirror.py), and back, for good.


def is_url(given):
    """Whether a path (str, bytes or path object) is a URL, and not on a disk; file:// is a disk."""
    found = URL.match(_text(given))
    return found is not None and found[1] != "file"


def path(given):
    """The path object of a path as a user gives it: pathlib.Path on a disk, UPath of a URL.

    Of what lies in a folder that a run works in by a copy (mirror.py), the copy's Path.

    Args:
        given: str, bytes or path object.
    Raises:
        UsageError: a URL with a password in it, or one for which a package is missing.
    """
    if isinstance(given, Path) or not URL.match(_text(given)):
        return given if isinstance(given, Path) else Path(os.fsdecode(given))
    if not isinstance(given, str | bytes):  # A UPath.
        return given
    text = os.fsdecode(given)
    if not is_url(text):
        return Path(urllib.parse.unquote(text.partition("://")[2]))
    for url, folder in _WORKED_IN.items():
        if text.rstrip("/") == url or text.startswith(url + "/"):
            return Path(folder, text[len(url) :].strip("/"))
    return remote(text)


def remote(text):
    """The UPath of a URL, whether or not a copy stands for it; raises UsageError as `path`."""
    _refuse(text)
    import upath  # Deferred, as fsspec is.

    return upath.UPath(text.rstrip("/"), use_listings_cache=False)


def named(text):
    """A message, in which a folder that stands for a URL has that URL's name."""
    for folder, url in _NAMED.items():
        text = text.replace(folder, url)
    return text


def _text(given):
    return os.fsdecode(given) if isinstance(given, str | bytes | os.PathLike) else str(given)


def _refuse(text):
    """UsageError of a URL that cannot be used here; it never repeats a password."""
    kind = URL.match(text)[1]
    address = urllib.parse.urlsplit(text)
    if address.password is not None:
        raise UsageError(
            f"{kind}://...@{address.hostname or ''}: expected a URL without a password, which logs and files would "
            "repeat; give it by the environment"
        )
    import fsspec  # It comes with TFDS; deferred, as only who has a URL needs it.

    if kind not in fsspec.available_protocols():
        raise UsageError(f"{text}: expected a path, gs://, s3:// or another URL of fsspec, got {kind}://")
    module, install = NEEDED.get(kind, ("upath", "universal_pathlib"))
    for name in (module, "upath"):
        if importlib.util.find_spec(name) is None:
            raise UsageError(f"{text}: needs the package {name}, which is not installed; pip install '{install}'")


def file_system(given):
    """(fsspec file system, the path as it names it) of a URL's UPath; one file system a process serves all threads."""
    return _file_system(given.protocol, os.getpid()), given.path


@functools.lru_cache(maxsize=8)
def _file_system(protocol, _):
    import fsspec

    logging.getLogger("gcsfs").setLevel(logging.CRITICAL)  # What it says is in its errors too.
    options = {}
    if NEEDED.get(protocol, ("",))[0] == "gcsfs":
        import aiohttp

        # By default each of its tries waits five minutes for a server that has gone; s3fs waits 15 seconds.
        options["requests_timeout"] = aiohttp.ClientTimeout(total=None, sock_connect=15, sock_read=60)
    # Listings that are remembered would hide what others write.
    return fsspec.filesystem(protocol, use_listings_cache=False, skip_instance_cache=True, **options)


def check(given, flag):
    """Refuse a URL whose server, bucket or rights fail; nothing need be there under it. Paths on a disk pass.

    Args:
        given: as a user gave it.
        flag: that gave it, without its dashes.
    Raises:
        UsageError: one line that names the flag.
    """
    if not is_url(given):
        return
    try:
        found = path(given)
    except UsageError as error:
        raise UsageError(f"--{flag}: {error}") from error
    if isinstance(found, Path):
        return
    try:
        with told(given):
            _reach(found)
    except FileNotFoundError as error:
        raise UsageError(
            f"--{flag}: expected a place in a bucket that exists, got {given}; make the bucket first"
        ) from error
    except OSError as error:
        raise UsageError(f"--{flag}: {given}: {error.strerror}") from error


def _reach(found):
    """Ask a UPath's server for it, and where it is not there for its bucket; raises as its libraries do."""
    system, name = file_system(found)
    ends = time.monotonic() + REACHED

    def ask(what, *given):
        if not getattr(system, "async_impl", False):
            return getattr(system, what)(*given)
        import fsspec.asyn

        left = max(ends - time.monotonic(), 0.1)
        try:
            return fsspec.asyn.sync(system.loop, getattr(system, f"_{what}"), *given, timeout=left)
        except fsspec.asyn.FSTimeoutError as error:
            raise TimeoutError(f"no answer within {REACHED:.0f} s; look at the network, and at the address") from error

    if not ask("exists", name) and found.protocol in NEEDED:
        ask("info", name.strip("/").partition("/")[0])


def refused(error):
    """Whether an exception is of a server that is busy, has gone or gives no right: no fault of the file."""
    mine = isinstance(error, OSError) and error.errno in (errno.EIO, errno.EACCES)
    return mine and isinstance(error.filename, str) and is_url(error.filename)


def exists(given):
    """Whether there is a file or a folder; raises OSError where a server does not say."""
    return _asked(given, "exists")


def is_dir(given):
    """Whether there is a folder; of a bucket, anything below that name."""
    return _asked(given, "is_dir")


def is_file(given):
    """Whether there is a file."""
    return _asked(given, "is_file")


def _asked(given, what):
    found = path(given)
    if isinstance(found, Path):
        return getattr(found, what)()
    system, name = file_system(found)
    with told(given):
        return getattr(system, {"exists": "exists", "is_dir": "isdir", "is_file": "isfile"}[what])(name)


def join(folder, name):
    """The path object of a file (str) in a folder (str or path object)."""
    return path(folder) / name if is_url(folder) else Path(folder, name)


def absolute(given):
    """The path as text that any working directory understands."""
    return str(given) if is_url(given) else os.path.abspath(given)


def real(given):
    """The path as text, links followed; a bucket has none."""
    return _text(given).rstrip("/") if is_url(given) else os.path.realpath(given)


def above(given):
    """The folders above a path, that `real` gave, as texts; none of a bucket, in which no link can lead there."""
    return [] if is_url(given) else [str(parent) for parent in Path(given).parents]


def size(given):
    """Bytes of a file; raises OSError where it is not there."""
    found = path(given)
    if isinstance(found, Path):
        return os.path.getsize(found)
    system, name = file_system(found)
    with told(given):
        return system.info(name)["size"]
