"""Images in a column of a Parquet file: Hugging Face's form, a struct of bytes and path, or plain bytes.

A row group is what such a file lets be read by itself; chunks are whole row groups, so that each is read once.
"""

import contextlib

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mpl_tf.base import storage
from mpl_tf.base.errors import RunError, UsageError, reason

ENDING = ".parquet"
PLAIN = "image"  # The column that is taken for images where it is of bytes and no flag names one.
ROWS = 32  # Images in memory at a time.


def is_table(name):
    """Whether a file of this name is a Parquet file."""
    return name.lower().endswith(ENDING)


def column(path, feature=""):
    """Name of the column that holds the images.

    Args:
        path: of the file.
        feature: as --image_feature names it; empty: the one struct with bytes, or else a column `image` of bytes.
    Returns:
        str; None where there is no such column.
    Raises:
        UsageError: there are several.
        RunError: the file is damaged, or no Parquet file.
    """
    with _opened(path) as file:
        kinds = {field.name: field.type for field in file.schema_arrow}
    structs = [name for name, kind in kinds.items() if _is_struct(kind)]
    if feature:
        return feature if feature in structs or _is_bytes(kinds.get(feature)) else None
    if PLAIN in structs or (not structs and _is_bytes(kinds.get(PLAIN))):
        return PLAIN
    if len(structs) > 1:
        raise UsageError(f"--image_feature: {path} has images in the columns {', '.join(structs)}; say in which")
    return structs[0] if structs else None


def groups(path):
    """Rows of each row group: list of int; RunError as in `column`."""
    with _opened(path) as file:
        about = file.metadata
        return [about.row_group(number).num_rows for number in range(about.num_row_groups)]


def rows(path, name, first, count):
    """The images of neighbouring rows.

    Args:
        path: of the file.
        name: of the column.
        first: number of the row group that they begin with.
        count: of the rows, those of whole row groups.
    Yields:
        bytes of each; None where the row has none.
    Raises:
        RunError: the file is damaged.
    """
    with _opened(path) as file:
        stop, left = first, count
        while left > 0:
            left -= file.metadata.row_group(stop).num_rows
            stop += 1
        nested = _is_struct(file.schema_arrow.field(name).type)
        wanted = [f"{name}.bytes" if nested else name]
        for batch in file.iter_batches(ROWS, row_groups=range(first, stop), columns=wanted):
            values = batch.column(0)
            yield from (pc.struct_field(values, "bytes") if nested else values).to_pylist()


@contextlib.contextmanager
def _opened(path):
    try:
        with storage.open_file(path) as file:
            yield pq.ParquetFile(file, page_checksum_verification=True)
    except (OSError, IndexError, KeyError, pa.ArrowException) as error:
        raise RunError(
            f"{path}: expected a Parquet file that is whole, cannot read it ({reason(error)}); "
            "copy it again, or remove it"
        ) from error


def _is_struct(kind):
    return pa.types.is_struct(kind) and any(field.name == "bytes" and _is_bytes(field.type) for field in kind)


def _is_bytes(kind):
    return kind is not None and (pa.types.is_binary(kind) or pa.types.is_large_binary(kind))
