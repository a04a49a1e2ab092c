"""An array on disk, computed block by block and mapped: what it belongs to and which blocks are right is on record.

STORE.npy is the array [N, ...]; STORE.json says what it belongs to, and the SHA-256 of each block of rows. While it
grows it is STORE.partial. Every block is checked when the store is opened; those that are missing or damaged, and only
those, are computed. One process computes a store, any number reads it.
"""

import dataclasses
import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from mpl_tf.base import console, files, lock, storage
from mpl_tf.base.errors import RunError, UsageError


@dataclasses.dataclass(frozen=True)
class BlockStore:
    """A store, present or to be computed.

    Attributes:
        path: Path of STORE.npy.
        belongs: dict, as JSON gives it back: what the array is a function of.
        shape: of the array, (N, ...).
        dtype: of the array.
        block: rows of a block; the last may be short.
        compute: function of the list of the blocks to compute, that yields (block, values [rows, ...]) in their order.
        flag: that gave the path, for messages.
        words: dict of keys of `belongs` to what they are called in messages.
    """

    path: Path
    belongs: dict
    shape: tuple
    dtype: type
    block: int
    compute: Callable
    flag: str
    words: dict = dataclasses.field(default_factory=dict)

    def open_or_compute(self):
        """The array, read from the store or computed into it first.

        Returns:
            np.memmap of that shape and dtype, read-only.
        Raises:
            UsageError: the store belongs to something else, is no store, or another process is computing it.
            RunError: it cannot be written.
        """
        if storage.is_url(self.path):
            return self._by_copy()
        if self.path.is_dir():
            raise UsageError(f"--{self.flag}: expected a file, {self.path} is a folder; remove it")
        # A whole store is only read, so that any number of runs may share it.
        array = self._opened(self.path) if self.path.exists() else None
        if array is None or self._missing(array, self._digests()):
            with lock.held(self.path.parent, self.flag, f".{self.path.stem}.lock"):
                self._complete()
            array = self._opened(self.path)
        return array

    def _by_copy(self):
        """The same of a store in a bucket, by a copy on the disk; who computes it holds a lock in the bucket too."""
        with storage.shared(self.path, self.record) as copy:
            store = dataclasses.replace(self, path=copy)
            if not copy.exists():
                with lock.held(self.path.parent, self.flag, f".{self.path.stem}.lock"):
                    return store.open_or_compute()
            return store.open_or_compute()

    def rows(self, block):
        """Where a block lies in the array: slice."""
        return slice(block * self.block, min((block + 1) * self.block, self.shape[0]))

    @property
    def blocks(self):
        """Number of blocks."""
        return -(-self.shape[0] // self.block)

    @property
    def record(self):
        """The file that says what the store belongs to."""
        return self.path.with_suffix(".json")

    def _complete(self):
        """Compute the blocks that are missing or damaged; only under the store's lock."""
        # What an earlier computation, cut off or damaged since, has left and can be trusted is kept.
        digests = self._digests()
        array, file = self._writable()
        missing = self._missing(array, digests)
        damaged = [block for block in missing if block < len(digests) and digests[block]]
        if damaged:
            console.tell(f"{file}: {len(damaged)} damaged blocks are computed again")
        digests += [""] * (self.blocks - len(digests))
        for block, values in self.compute(missing) if missing else ():
            array[self.rows(block)] = values
            # The rows are on their way to the disk before the record vouches for them.
            array.flush()
            digests[block] = self._digest(array, block)
            files.write_json(self.record, self.belongs | {"block": self.block, "digests": digests})
        # The name of a whole store is taken in one step, when it is one.
        if file != self.path:
            os.replace(file, self.path)

    def _digest(self, array, block):
        """SHA-256 of a block's values."""
        return hashlib.sha256(np.ascontiguousarray(array[self.rows(block)])).hexdigest()

    def _missing(self, array, digests):
        """Numbers of the blocks that are not what the record vouches for; hashing leaves Python's lock: in threads."""
        with ThreadPoolExecutor() as pool:
            found = pool.map(lambda block: self._digest(array, block), range(min(self.blocks, len(digests))))
        # Blocks that the record does not name are missing like those that differ.
        right = {block for block, digest in enumerate(found) if digest == digests[block]}
        return [block for block in range(self.blocks) if block not in right]

    def _digests(self):
        """The blocks' digests that the record vouches for, "" for those not computed yet; [] without a record.

        Raises:
            UsageError: the record is of something else or cannot be read, or there is an array without one.
        """
        record = self.record
        if not record.exists():
            if self.path.exists():
                raise UsageError(
                    f"--{self.flag}: {self.path} has no record {record.name} of what it belongs to; give another "
                    f"--{self.flag}, or delete {self.path.name} so that it is computed"
                )
            return []
        # Records of another block size, or from before there were digests, vouch for nothing.
        try:
            found = files.read_json(record)
            differing = [name for name in self.belongs if found[name] != self.belongs[name]]
            digests = [str(digest) for digest in found.get("digests", [])] if found.get("block") == self.block else []
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UsageError(
                f"--{self.flag}: cannot read {record} ({error!r}); delete it and {self.path.name} so that both are "
                "made again"
            ) from error
        # What is of something else would be taken for this one's.
        if differing:
            names = " and another ".join(self.words.get(name, name) for name in differing)
            raise UsageError(
                f"--{self.flag}: {self.path} belongs to another {names}; give another --{self.flag}, or delete it and "
                f"{record.name}"
            )
        return digests

    def _opened(self, path, mode="r"):
        """The array of a file, None where it is cut off or no such array."""
        try:
            array = np.lib.format.open_memmap(path, mode=mode)
        except (OSError, ValueError, EOFError, SyntaxError, TypeError):  # What numpy raises on a damaged header.
            return None
        return array if (array.shape, array.dtype) == (self.shape, self.dtype) else None

    def _writable(self):
        """(array, its file) to compute into: the whole store, the one that grows, or a new one.

        All of the file's space is taken at once, as a full disk would kill a mapped write.
        """
        growing = self.path.with_suffix(".partial")
        # A whole store that is damaged is mended in its place, one that a stop cut off goes on.
        for file in (self.path, growing):
            array = self._opened(file, "r+") if file.exists() else None
            if array is not None:
                self._take_space(file)
                return array, file
        try:
            array = np.lib.format.open_memmap(growing, mode="w+", dtype=self.dtype, shape=self.shape)
        except OSError as error:
            raise self._unwritable(growing, error) from error
        self._take_space(growing)
        return array, growing

    def _take_space(self, file):
        """Take all blocks of a file on the disk, of which a new one has none yet."""
        if not hasattr(os, "posix_fallocate"):  # macOS has none.
            return
        try:
            with open(file, "r+b") as opened:
                os.posix_fallocate(opened.fileno(), 0, file.stat().st_size)
        except OSError as error:
            raise self._unwritable(file, error) from error

    def _unwritable(self, file, error):
        return RunError(
            f"--{self.flag}: expected to write {file}, got {error}; {files.remedy(error)}, or give another "
            f"--{self.flag}"
        )
