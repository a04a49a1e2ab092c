"""Where the images are: folders, patterns, lists, files that hold many and TFDS data sets, cut into chunks of work.

mpl_tf/data/listing.py says which files of a folder or a pattern are images; a list names files whatever they are.

The list of a run is written once, PLAN/images.jsonl with a line [id, path] a file and [id, path, member, place] a
member of an archive, so that neither memory nor a run that goes on depends on listing it again; chunks point into it.
"""

import dataclasses
import glob
import json
import os
import zlib

from mpl_tf.base import files, storage
from mpl_tf.base.errors import RunError, UsageError, reason
from mpl_tf.data import ahead, listing, walking
from mpl_tf.filtering import cutting, headers, patterns, reading
from mpl_tf.filtering.chunks import Chunk


def items(chunk):
    """The chunks.Item of a Chunk, in order; images are read when they are loaded, those in a bucket some ahead."""
    return ahead.loaded(reading.items(chunk))


def pick(chunk, rows):
    """The Items of a chunk at `rows` (a set or dict of int), in order."""
    return ahead.loaded(reading.items(chunk, rows))


def plan(specs, flag, data_dir, size, folder, background="white", echo=print, feature="", arguments=()):
    """Cut the images that a flag names into chunks, or read the plan that was made before.

    Args:
        specs: list of str: a folder (any depth), a pattern (`**` allowed), a .txt list of files (relative to its
            folder), an image, a file that cutting.pieces knows, or tfds:NAME/SPLIT.
        flag: its name, for messages.
        data_dir: folder of TFDS data sets; empty: ~/tensorflow_datasets.
        size: images a chunk at most.
        folder: Path; gets images.jsonl and chunks.jsonl.
        background: colour that transparent images are laid on.
        echo: is told what was passed over, a function of a str; where the plan was made before, it was told then.
        feature: of TFRecords, or column of Parquet files, that holds the image; empty: as cutting.pieces has it.
        arguments: list of str, Beam's own flags, for the workers that look into files of many images.
    Returns:
        list of Chunk.
    Raises:
        UsageError: nothing found.
        RunError: a data set, a file of images or the plan that cannot be read.
    """
    record = folder / "chunks.jsonl"
    if not storage.exists(record):
        chunks, about = [], cutting.About(flag, size, feature, data_dir)

        def write(temporary):
            with open(temporary, "wb") as lines:
                for spec in specs:
                    chunks.extend(_chunks_of(spec, about, lines, folder / "images.jsonl", arguments))

        files.write(folder / "images.jsonl", write)
        for line in about.passed.told(flag):
            echo(line)
        made = [dataclasses.replace(chunk, number=n, background=background) for n, chunk in enumerate(chunks)]
        save(made, folder)
        return made  # Nothing has had the time to damage it.
    try:
        planned = _planned(record)
    except (OSError, ValueError, TypeError) as error:
        raise RunError(
            f"{record}: expected the plan of a run, cannot read it ({reason(error)}); score again into another --output"
        ) from error
    # The list of files lies beside the plan, wherever both were moved since.
    listed = storage.absolute(folder / "images.jsonl")
    return [dataclasses.replace(chunk, place=listed) if chunk.listed else chunk for chunk in planned]


def save(chunks, folder):
    """Write the plan of a run, chunks.jsonl, its images.jsonl being there: a line a Chunk, and then the checksums."""
    text = "".join(json.dumps(dataclasses.asdict(chunk)) + "\n" for chunk in chunks)
    files.write_text(folder / "chunks.jsonl", text + json.dumps(_checksums(text, folder)) + "\n")


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


def _chunks_of(spec, about, lines, path, arguments):
    if spec.startswith("tfds:"):
        yield from headers.of_tfds(spec, about, path.parent, arguments)
        return
    start, offset, count, found = 0, lines.tell(), 0, 0
    for name, pieces in headers.pieces(_paths(spec, about.flag, about.passed), spec, about, path.parent, arguments):
        found += listing.is_shard(name)
        for piece in pieces:
            found += 1
            if isinstance(piece, Chunk):
                yield piece
                continue
            lines.write(json.dumps(piece).encode() + b"\n")
            count += 1
            if count - start == about.size:
                yield Chunk(0, storage.absolute(path), start, count, offset)
                start, offset = count, lines.tell()
    if count > start:
        yield Chunk(0, storage.absolute(path), start, count, offset)
    if not found:
        raise listing.nothing(about.flag, spec, about.passed)


def _paths(spec, flag, passed):
    """Paths of images and of files that hold many, that a spec other than tfds: names; `passed` counts the others."""
    if storage.is_dir(spec):
        yield from walking.walk(spec, flag, passed, cutting.holds_many)
    elif storage.is_file(spec):
        if not spec.endswith(".txt"):
            yield spec
            return
        # A name that is not UTF-8 keeps its bytes.
        with storage.open_file(spec, "r", encoding="utf-8", errors="surrogateescape") as lines:
            parent = os.path.dirname(spec)
            yield from (os.path.join(parent, line.rstrip("\r\n")) for line in lines if line.strip())
    elif glob.has_magic(spec):
        yield from patterns.expand(spec, flag, passed, cutting.holds_many)
    else:
        raise UsageError(
            f"{flag}: expected a folder, a pattern, a .txt list of files, tar, zip, Parquet or TFRecord files or "
            f"tfds:NAME/SPLIT, got {spec}, which does not exist"
        )
