"""--images: what a trained network is to label, in a folder, as one file or by a list, read a piece at a time."""

import collections
import csv
import itertools
import os

import numpy as np

from mpl_tf.base import storage
from mpl_tf.base.errors import UsageError
from mpl_tf.data import decode, listing, members
from mpl_tf.data.unreadable import Unreadable

COLUMN = "path"  # Of a list.


class ToLabel:
    """Images to predict the classes of: all are found at once, few are in memory at a time.

    Attributes:
        unreadable: Unreadable, what was left out so far.

    Args:
        config: Config, whose `images` is a folder (any depth), an image, a tar, zip or Parquet file of images, or a CSV
            file of their paths.
        size: side S of the model's images, pixels.
    Raises:
        UsageError: no image, or a list that is none.
    """

    def __init__(self, config, size):
        self._config, self._size = config, size
        self.unreadable, self._conversions, self._passed = Unreadable(), collections.Counter(), ()
        if is_list(config.images):
            self._sources = _Listed(config.images)
        else:
            found = listing.find(config.images, "--images", shards=False, holders=True)
            inside, _ = members.inside(found.holders, "--images", found.passed)
            if not (len(found.images) or len(inside)):
                raise listing.nothing("--images", config.images, found.passed, shards=False, holders=True)
            self._sources, self._passed = _Both(found.images, inside), found.passed.told("--images")

    def __len__(self):
        """Images that were found."""
        return len(self._sources)

    def pieces(self, count):
        """The images that can be read, in their order.

        Args:
            count: how many are decoded at a time.
        Yields:
            (paths, images): list of n; uint8 [n, S, S, 3].
        Raises:
            RunError: at the end, naming all images that cannot be read, unless --skip_bad_images; from the first of
                these on nothing is yielded.
            UsageError: at the end, where none can be read.
        """
        sources = iter(self._sources)
        while part := list(itertools.islice(sources, count)):
            paths, images = self._read(part)
            if paths and (self._config.skip_bad_images or not self.unreadable.count):
                yield paths, images
        if self.unreadable.count and not self._config.skip_bad_images:
            raise self.unreadable.refusal()
        if self.unreadable.count == len(self):
            raise UsageError(f"--images: none of the {len(self)} images in {self._config.images} could be read")

    def some(self, count):
        """The readable ones of as many images, spread evenly over all: uint8 [n, S, S, 3]."""
        wanted = set(np.linspace(0, len(self) - 1, min(count, len(self))).astype(int).tolist())
        return self._read([source for place, source in enumerate(self._sources) if place in wanted])[1]

    def _read(self, part):
        """(paths, images) of those of some images that can be read; the others are noted."""
        background = decode.colour(self._config.background)
        images, conversions, faults = decode.decode_all(part, self._size, background, self._config.resize)
        self._conversions.update(conversions)
        for place in sorted(faults):
            self.unreadable.add(part[place], faults[place])
        good = np.ones([len(part)], bool)
        good[list(faults)] = False
        return [path for path, fine in zip(part, good, strict=True) if fine], images[good] if faults else images

    def notes(self):
        """Lines for the user of what was passed over, converted and left out so far: tuple of str."""
        return (*self._passed, *decode.converted(self._conversions), *self.unreadable.notes())


def is_list(path):
    """Whether a path is that of a CSV file, by its ending."""
    return path.lower().endswith(".csv") and storage.is_file(path)


class _Both:
    """The images of a folder, then those inside its tar, zip and Parquet files; each is made when it is come to."""

    def __init__(self, *pools):
        self._pools = pools

    def __len__(self):
        return sum(map(len, self._pools))

    def __iter__(self):
        return itertools.chain.from_iterable(self._pools)


class _Listed:
    """The paths of a CSV file's column, read from it whenever they are gone through.

    Args:
        path: of the file, UTF-8; its paths are absolute, or relative to its folder. Other columns are passed over.
    Raises:
        UsageError: no such column, a row without a path, no row, or a file that cannot be read.
    """

    def __init__(self, path):
        self._path = path
        self._count = sum(1 for _ in self)  # Looks at each row before the first image is read.
        if not self._count:
            raise UsageError(f"--images: expected the paths of images in {path}, found none")

    def __len__(self):
        return self._count

    def __iter__(self):
        folder = os.path.dirname(self._path)
        try:
            with storage.open_file(self._path, "r", newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
                rows = csv.DictReader(file, strict=True)
                if COLUMN not in (rows.fieldnames or ()):
                    given = ",".join(rows.fieldnames or ()) or "nothing"
                    raise UsageError(
                        f"--images: expected the column {COLUMN} in the first line of {self._path}, got {given}"
                    )
                for row in rows:
                    name = (row[COLUMN] or "").strip()
                    if not name:
                        raise UsageError(f"--images: {self._path}, line {rows.line_num}: expected a path, got nothing")
                    yield name if storage.is_url(name) else os.path.join(folder, name)
        except (OSError, csv.Error) as error:
            raise UsageError(
                f"--images: expected a CSV file with a column {COLUMN}, cannot read {self._path} ({error})"
            ) from error
