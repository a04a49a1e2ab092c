"""Where the images are: folders, patterns, lists, TFRecord shards and TFDS data sets, cut into chunks of work.

mpl_tf/data/listing.py says which files of a folder or a pattern are images; a list names files whatever they are.

The list of a run is written once, PLAN/images.jsonl with a line [id, path] a file, so that neither memory nor a run
that goes on depends on listing it again; chunks point into it.
"""

import dataclasses
import functools
import glob
import json
import os
import zlib
from collections.abc import Callable

from mpl_tf.base import files, storage
from mpl_tf.base.errors import RunError, UsageError, reason
from mpl_tf.data import ahead, decode, listing, tfrecord, walking
from mpl_tf.data.tfds import TfdsData
from mpl_tf.filtering import patterns


@dataclasses.dataclass(frozen=True)
class Chunk:
    """A unit of work: images `start` to `stop` of a list of files or of a TFRecord shard.

    Attributes:
        number: from 0.
        place: the file of the list, or of the shard.
        start, stop: of the place's images.
        offset: byte of the first line or record in the place.
        feature: of a shard's records, that holds the image; empty for a list of files.
        name: of a shard in ids, as the user wrote it.
        shift: added to the numbers of a shard's records in ids: images of the shards before it.
        background: colour that transparent images are laid on.
    """

    number: int
    place: str
    start: int
    stop: int
    offset: int
    feature: str = ""
    name: str = ""
    shift: int = 0
    background: str = "white"

    def __len__(self):
        return self.stop - self.start

    @property
    def ground(self):
        """The background as RGB, integers in [0, 255]."""
        return decode.colour(self.background)


@dataclasses.dataclass(frozen=True)
class Item:
    """An image of a chunk.

    Attributes:
        row: in the chunk, from 0.
        source: where it is: a path, or SHARD#number.
        load: function that returns (id, encoded image: bytes); raises OSError or ValueError.
        name: the id where `load` fails.
    """

    row: int
    source: str
    load: Callable
    name: str


def items(chunk):
    """The Items of a chunk, in order; images are read when they are loaded, those in a bucket some Items ahead."""
    return ahead.loaded(_listed(chunk))


def pick(chunk, rows):
    """The Items of a chunk at `rows` (a set or dict of int), in order."""
    return ahead.loaded(item for item in _listed(chunk) if item.row in rows)


def _listed(chunk):
    return _records_of(chunk) if chunk.feature else _files_of(chunk)


def _files_of(chunk):
    with storage.open_file(chunk.place) as lines:
        lines.seek(chunk.offset)
        for row in range(len(chunk)):
            name, path = json.loads(lines.readline())
            yield Item(row, printable(path), functools.partial(_load_file, printable(name), path), printable(name))


def _load_file(name, path):
    return name, storage.read_bytes(path)


def _records_of(chunk):
    found = tfrecord.records(chunk.place, chunk.offset, chunk.start, chunk.stop, chunk.feature)
    damaged = tfrecord.damaged(found)
    # Closed with the last Item, wherever that is loaded; of a bucket each record is a request of its own.
    file = None if storage.is_url(chunk.place) else open(chunk.place, "rb", buffering=0)  # noqa: SIM115
    for row, record in enumerate(found):
        name = f"{chunk.name}#{chunk.shift + record.number}"
        load = functools.partial(_load_record, name, record, file, damaged.get(record))
        yield Item(row, printable(str(record)), load, name)


def _load_record(name, record, file, wrong):
    if wrong:
        raise ValueError(wrong)
    example = record.example(file)
    own = example.get("image/id")
    return own.decode(errors="backslashreplace") if own else name, example[record.feature]


def printable(path):
    """A path as text that a table can hold, whatever bytes its name has."""
    return os.fsencode(path).decode(errors="backslashreplace")


def plan(specs, flag, data_dir, size, folder, background="white", echo=print):
    """Cut the images that a flag names into chunks, or read the plan that was made before.

    Args:
        specs: list of str: a folder (any depth), a pattern (`**` allowed), a .txt list of files (relative to its
            folder), an image, a TFRecord shard, or tfds:NAME/SPLIT.
        flag: its name, for messages.
        data_dir: folder of TFDS data sets; empty: ~/tensorflow_datasets.
        size: images a chunk at most.
        folder: Path; gets images.jsonl and chunks.jsonl.
        background: colour that transparent images are laid on.
        echo: is told what was passed over, a function of a str; where the plan was made before, it was told then.
    Returns:
        list of Chunk.
    Raises:
        UsageError: nothing found.
        RunError: a data set, a shard or the plan that cannot be read.
    """
    record = folder / "chunks.jsonl"
    if not storage.exists(record):
        chunks, passed = [], listing.PassedOver()

        def write(temporary):
            with open(temporary, "wb") as lines:
                for spec in specs:
                    chunks.extend(_chunks_of(spec, flag, data_dir, size, lines, folder / "images.jsonl", passed))

        files.write(folder / "images.jsonl", write)
        for line in passed.told(flag):
            echo(line)
        made = [dataclasses.replace(chunk, number=n, background=background) for n, chunk in enumerate(chunks)]
        text = "".join(json.dumps(dataclasses.asdict(chunk)) + "\n" for chunk in made)
        files.write_text(record, text + json.dumps(_checksums(text, folder)) + "\n")
        return made  # Nothing has had the time to damage it.
    try:
        planned = _planned(record)
    except (OSError, ValueError, TypeError) as error:
        raise RunError(
            f"{record}: expected the plan of a run, cannot read it ({reason(error)}); score again into another --output"
        ) from error
    # The list of files lies beside the plan, wherever both were moved since.
    listed = storage.absolute(folder / "images.jsonl")
    return [chunk if chunk.feature else dataclasses.replace(chunk, place=listed) for chunk in planned]


def _planned(record):
    """The Chunks of a plan; raises OSError, ValueError or TypeError where it, or its list of files, is damaged."""
    lines = storage.read_bytes(record).decode().splitlines(keepends=True)
    # The last line has the checksums; plans of earlier versions have none.
    last = json.loads(lines[-1]) if lines else None
    if isinstance(last, dict) and last.keys() == {"chunks_crc32", "images_crc32"}:
        lines.pop()
        if last != _checksums("".join(lines), record.parent):
            raise ValueError("it, or images.jsonl beside it, was changed or damaged since it was written")
    return [Chunk(**json.loads(line)) for line in lines]


def _checksums(text, folder):
    """CRC-32 of the lines of the chunks and of the list of files."""
    crc = 0
    with storage.open_file(folder / "images.jsonl") as lines:
        while part := lines.read(2**20):
            crc = zlib.crc32(part, crc)
    return {"chunks_crc32": zlib.crc32(text.encode()), "images_crc32": crc}


def _chunks_of(spec, flag, data_dir, size, lines, path, passed):
    if spec.startswith("tfds:"):
        yield from _tfds_chunks(spec, flag, data_dir, size)
        return
    start, offset, count, found = 0, lines.tell(), 0, 0
    for name in _paths(spec, flag, passed):
        found += 1
        if listing.is_shard(name):
            records = tfrecord.records(name)
            yield from _shard_chunks(records, size, "image/encoded", printable(name), 0)
            continue
        lines.write(json.dumps([name, storage.absolute(name)]).encode() + b"\n")
        count += 1
        if count - start == size:
            yield Chunk(0, storage.absolute(path), start, count, offset)
            start, offset = count, lines.tell()
    if count > start:
        yield Chunk(0, storage.absolute(path), start, count, offset)
    if not found:
        raise listing.nothing(flag, spec, passed)


def _shard_chunks(records, size, feature, name, shift):
    for start in range(0, len(records), size):
        first, last = records[start], records[min(start + size, len(records)) - 1]
        offset = first.offset - tfrecord.HEADER
        yield Chunk(0, storage.absolute(first.path), first.number, last.number + 1, offset, feature, name, shift)


def _tfds_chunks(spec, flag, data_dir, size):
    name, _, split = spec.removeprefix("tfds:").rpartition("/")
    if not name:
        raise UsageError(f"{flag}: expected tfds:NAME/SPLIT, got {spec}")
    done = 0
    for path, skip, take in TfdsData(name, data_dir).shards(split, flag):
        records = tfrecord.records(path)[skip : skip + take]
        yield from _shard_chunks(records, size, "image", spec, done - skip)
        done += take


def _paths(spec, flag, passed):
    """Paths of image files and shards that a spec other than tfds: names; `passed` counts the others."""
    if storage.is_dir(spec):
        yield from walking.walk(spec, flag, passed)
    elif storage.is_file(spec):
        if not spec.endswith(".txt"):
            yield spec
            return
        # A name that is not UTF-8 keeps its bytes.
        with storage.open_file(spec, "r", encoding="utf-8", errors="surrogateescape") as lines:
            parent = os.path.dirname(spec)
            yield from (os.path.join(parent, line.rstrip("\r\n")) for line in lines if line.strip())
    elif glob.has_magic(spec):
        yield from patterns.expand(spec, flag, passed)
    else:
        raise UsageError(
            f"{flag}: expected a folder, a pattern, a .txt list of files, TFRecord shards or tfds:NAME/SPLIT, "
            f"got {spec}, which does not exist"
        )
