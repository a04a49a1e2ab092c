"""The tables of a run, Parquet files each written in one step.

scores/scores-00000.parquet, a row an image: id, source, row, problem, detail, usable, sha256, hash, class_1,
    probability_1 and so on for --top_classes.
kept.parquet, a row an image and class, by class and rank: id, source, class, probability, rank (0: the best), copies.
rejected.parquet, a row an image: id, source, class, probability, rank (null), reason (unreadable, overlaps,
    below_threshold or beyond_top_k), overlaps (the id that it overlaps), distance (bits, or as `measure` says),
    measure (what an evaluation image was found by: pixels; hash, in bits; smooth, in grey levels; features, in
    thousandths that the cosine is below 1), detail.
problems.parquet, a row an odd image: id, source, problem, detail, usable (false: it was left out).

Texts and bytes have offsets of 64 bits: those of 32 end at 2 GiB a column, 27 million ids of 80 bytes.
"""

import pyarrow as pa
import pyarrow.parquet as pq

from mpl_tf.base import files, storage
from mpl_tf.base.errors import RunError, reason

HOW = {"compression": "zstd", "write_page_checksum": True}  # `read` looks at the checksums.
TEXT, BYTES = pa.large_string(), pa.large_binary()
MANY_BYTES = pa.large_list(BYTES)
# What they were in files of earlier versions, which are read.
NARROW = {TEXT: pa.string(), BYTES: pa.binary(), MANY_BYTES: pa.list_(pa.binary())}
IMAGE = [("id", TEXT), ("source", TEXT)]
PROBLEM = [("problem", TEXT), ("detail", TEXT), ("usable", pa.bool_())]
HASHES = [("sha256", BYTES), ("hash", BYTES)]
PROBLEMS = pa.schema(IMAGE + PROBLEM)
PLACE = [("chunk", pa.int32()), ("row", pa.int32())]
EVALUATION = pa.schema([*IMAGE, *PROBLEM, *PLACE, ("sha256", BYTES), ("hashes", MANY_BYTES), ("smooth", BYTES)])
SMOOTH = pa.schema([("row", pa.int32()), ("pixels", BYTES)])
FEATURES = pa.schema([("row", pa.int32()), ("features", BYTES)])  # float16, of one form or more.
CANDIDATES = pa.schema(
    [
        *IMAGE,
        ("class", pa.int32()),
        ("probability", pa.float32()),
        *PLACE,
        ("fingerprint", BYTES),  # Where --dedup compares them: hash, or sha256.
    ]
)
# Of each class the probability of the last candidate, and its group: classes whose candidates are merged together.
SURVEY = pa.schema([("least", pa.float32()), ("group", pa.int32())])
# What a shard is made from: each kept image once. Its id comes with the image itself.
SHARD = pa.schema([*PLACE, ("class", pa.int32()), ("probability", pa.float32()), ("copies", pa.int32())])
PLACED = [("class", pa.int32()), ("probability", pa.float32()), ("rank", pa.int32())]
KEPT = pa.schema([*IMAGE, *PLACED, ("copies", pa.int32())])
REJECTED = pa.schema(
    [*IMAGE, *PLACED, ("reason", TEXT), ("overlaps", TEXT), ("distance", pa.int32())]
    + [("measure", TEXT), ("detail", TEXT)]
)
# An image's row in its chunk; id, chunk and row of the evaluation image that it overlaps.
OVERLAPS = pa.schema(
    [("row", pa.int32()), ("overlaps", TEXT), ("other_chunk", pa.int32()), ("other_row", pa.int32())]
    + [("distance", pa.int32())]
)
FOUND = OVERLAPS.append(pa.field("measure", TEXT))  # Of evaluation images, with what it was found by.
# The same of all chunks, of images that overlap a kept one.
DUPLICATES = pa.schema([("chunk", pa.int32()), *OVERLAPS])


def scores_schema(top_classes, names=None):
    """Schema of a chunk's scores, with the `top_classes` best classes of each image; `names`: of the other columns."""
    best = [(f"class_{n}", pa.int32()) for n in range(1, top_classes + 1)]
    best += [(f"probability_{n}", pa.float32()) for n in range(1, top_classes + 1)]
    others = [*IMAGE, ("row", pa.int32()), *PROBLEM, *HASHES]
    return pa.schema([field for field in others if names is None or field[0] in names] + best)


def write(path, table):
    """Write a table in one step; RunError as files.write."""
    files.write(path, lambda temporary: pq.write_table(table, temporary, **HOW))


def write_parts(path, schema, parts):
    """Write a table that is made part by part, a row group each, in one step.

    Args:
        path: of the file.
        schema: of it.
        parts: iterable of tables.
    """

    def save(temporary):
        with pq.ParquetWriter(temporary, schema, **HOW) as writer:
            for part in parts:
                writer.write_table(part)

    files.write(path, save)


def cut(parts, schema, rows):
    """Tables put together and cut anew: of `rows` rows each, the last of what is left, and that one even if empty.

    Args:
        parts: iterable of tables.
        schema: theirs.
        rows: of a table.
    """
    waiting = schema.empty_table()
    for part in parts:
        waiting = pa.concat_tables([waiting, part])
        while len(waiting) > rows:
            yield waiting.slice(0, rows).combine_chunks()
            waiting = waiting.slice(rows)
    yield waiting.combine_chunks()


def read(path, schema, only=False, part=None):
    """A table.

    Pages have checksums; the file's own list of its columns has none, so that it is compared with what it should be.

    Args:
        path: of the file.
        schema: the columns that it has, among others.
        only: whether these alone are read.
        part: number of the row group that is read; None: all.
    Returns:
        Table of all its columns, those of the schema in the schema's types.
    Raises:
        RunError: it cannot be read, or is damaged.
    """
    try:
        with storage.open_whole(path) as file:
            source, columns = pq.ParquetFile(file, page_checksum_verification=True), schema.names if only else None
            found = source.read(columns) if part is None else source.read_row_group(part, columns)
        for field in schema:
            at = found.schema.get_field_index(field.name)
            if at < 0 or found.schema.field(at).type not in (field.type, NARROW.get(field.type)):
                raise pa.ArrowInvalid(f"there is no column {field.name} as there should be")
            found = found.set_column(at, field, found.column(at).cast(field.type))
        return found
    except (OSError, pa.ArrowException) as error:
        raise RunError(
            f"{path}: expected a Parquet table ({reason(error)}); remove it and run the command that made it again"
        ) from error
