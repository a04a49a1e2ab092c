"""Files that hold many images, looked into many at a time: by threads, or by the workers where there are any.

What is found in a file goes by a file too, a line a piece, so that millions of members of archives are never in memory.
"""

import collections
import contextlib
import dataclasses
import functools
import itertools
import json
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, wait

from mpl_tf.base import console, files, storage
from mpl_tf.data import listing
from mpl_tf.filtering import cutting, runner
from mpl_tf.filtering.chunks import Chunk
from mpl_tf.filtering.runner import beam

WINDOW = 1 << 14  # Files of a list that are looked at before the first of them is handed on.
THREADS = 16
TOLD_SECONDS = 3.0  # Between lines of progress.


class Cut(runner.Told):
    """What is in a file, into a file of its own.

    Args:
        about: cutting.About.
        folder: for what is found.
    """

    def __init__(self, about, folder):
        self.about, self.folder = about, folder

    def work(self, element):
        """(number, function of the About that returns the pieces of a file) -> number."""
        number, find = element
        own = dataclasses.replace(self.about, passed=listing.PassedOver())

        def save(temporary):
            with temporary.open("w") as lines:
                for piece in find(own):
                    found = dataclasses.asdict(piece) if isinstance(piece, Chunk) else piece
                    lines.write(json.dumps(found) + "\n")
                lines.write(json.dumps({"passed": own.passed}) + "\n")

        files.write(_path(self.folder, number), save)
        yield number


def pieces(paths, alone, about, folder, arguments=()):
    """What cutting.pieces finds in files, in their order.

    Args:
        paths: iterable of str.
        alone: the one that the user named itself, or None.
        about: cutting.About.
        folder: Path that the workers see too, for what they find.
        arguments: list of str, Beam's own flags; where there are any, its workers look into the files.
    Yields:
        (path, iterable of the pieces).
    Raises:
        UsageError, RunError: as cutting.pieces; the first of them.
    """
    paths = iter(paths)
    while window := list(itertools.islice(paths, WINDOW)):
        many = [path for path in window if cutting.is_opened(path)]
        finds = [functools.partial(cutting.pieces, path, alone=path == alone) for path in many]
        with contextlib.closing(_each(finds, about, folder, arguments)) as found:
            for path in window:
                yield path, next(found) if cutting.is_opened(path) else cutting.image(path)


def of_tfds(spec, about, folder, arguments=()):
    """The Chunks of tfds:NAME/SPLIT; arguments and errors as in `pieces` and cutting.tfds_shards."""
    finds = cutting.tfds_shards(spec, about)
    yield from itertools.chain.from_iterable(_each(finds, about, folder, arguments))


def _each(finds, about, folder, arguments):
    """What each of some functions of the About finds, in their order: iterables."""
    if len(finds) < 2:
        yield from (find(about) for find in finds)
        return
    with contextlib.ExitStack() as stack:
        if arguments:
            place = folder / "pieces"
            stack.callback(storage.remove_tree, place)
            elements = list(enumerate(finds))
            console.tell(f"{about.flag}: the workers look into {len(finds):,} files")
            step = beam.ParDo(Cut(about, str(place)))
            runner.run(list(arguments), lambda p: p | beam.Create(elements) | beam.Reshuffle() | step)
        else:
            place = stack.enter_context(tempfile.TemporaryDirectory())
            _by_threads(finds, about, place)
        for number in range(len(finds)):
            yield _read(_path(place, number), about.passed)


def _by_threads(finds, about, place):
    told, cut = time.perf_counter(), Cut(about, place)
    with ThreadPoolExecutor(THREADS) as pool:
        work = [pool.submit(collections.deque, cut.work(element), 0) for element in enumerate(finds)]
        try:
            for done, one in enumerate(work):
                while wait([one], TOLD_SECONDS).not_done or time.perf_counter() > told + TOLD_SECONDS:
                    told = time.perf_counter()
                    console.tell(f"{about.flag}: {done:,} of {len(finds):,} files are looked into")
                one.result()
        finally:
            for one in work:
                one.cancel()


def _read(path, passed):
    """The pieces in a file; what was passed over is added."""
    with storage.open_file(path) as lines:
        for line in lines:
            found = json.loads(line)
            if isinstance(found, list):
                yield found
            elif "passed" in found:
                passed.update(found["passed"])
            else:
                yield Chunk(**found)


def _path(folder, number):
    return storage.path(folder) / f"pieces-{number:07d}.jsonl"
