"""Images in a column of a Parquet file: Hugging Face's form, a struct of bytes and path, or plain bytes.

A row group is what such a file lets be read by itself. pyarrow, an extra, is imported where a file is opened.
"""

import contextlib
import importlib.util
import json

from mpl_tf.base import storage
from mpl_tf.base.errors import RunError, UsageError, reason
from mpl_tf.settings.forms import TABLES

PLAIN = "image"  # The column that is taken for images where it is of bytes and no flag names one.
LABEL = "label"  # The column of the classes.
ROWS = 32  # Images in memory at a time.


def is_table(name):
    """Whether a file of this name is a Parquet file."""
    return name.lower().endswith(TABLES)


def column(path, feature="", several="--image_feature: {}; say in which"):
    """Name of the column that holds the images.

    Args:
        path: of the file.
        feature: as --image_feature names it; empty: the one struct with bytes, or else a column `image` of bytes.
        several: what is said where there are several, around what there is.
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
        raise UsageError(several.format(f"{path} has images in the columns {', '.join(structs)}"))
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
            yield from (values.field("bytes") if nested else values).to_pylist()


def labels(path):
    """The classes of all rows by a column `label`, in Hugging Face's form by their names.

    Args:
        path: of the file.
    Returns:
        list of str, None where a row has no class: no value, an empty text, -1, a number that has no name, or what is
        neither a whole number nor a text; None where there is no such column.
    Raises:
        RunError: as in `column`.
    """
    with _opened(path) as file:
        if LABEL not in file.schema_arrow.names:
            return None
        names = _class_names(file.schema_arrow)
        found = [_label(value) for value in file.read([LABEL]).column(0).to_pylist()]
    if names:  # Texts are names already.
        found = [
            (names[value] if 0 <= value < len(names) else None) if type(value) is int else value for value in found
        ]
    return [None if value in (None, "", -1) else str(value) for value in found]


def _class_names(schema):
    """The names of the classes by Hugging Face's metadata: list of str; empty where these say none."""
    try:
        names = json.loads(schema.metadata[b"huggingface"])["info"]["features"][LABEL]["names"]
    except (ValueError, KeyError, TypeError):  # None of it, of another form, or of a column that is no ClassLabel.
        return []
    return names if isinstance(names, list) else []


def _label(value):
    """A label as int or str, None where it is neither: pandas makes whole numbers floats where one is missing."""
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    return value if isinstance(value, str | int) else None


@contextlib.contextmanager
def _opened(path):
    pyarrow = _pyarrow()
    try:
        with storage.open_file(path) as file:
            yield pyarrow.parquet.ParquetFile(file, page_checksum_verification=True)
    except (OSError, IndexError, KeyError, pyarrow.ArrowException) as error:
        raise RunError(
            f"{path}: expected a Parquet file that is whole, cannot read it ({reason(error)}); "
            "copy it again, or remove it"
        ) from error


def there():
    """Whether pyarrow is installed."""
    return importlib.util.find_spec("pyarrow") is not None


def check_there():
    """Raise UsageError where pyarrow is not installed."""
    if not there():
        raise UsageError(
            "Parquet files need the package pyarrow, which is not installed; pip install 'mpl-tf[parquet]'"
        )


def _pyarrow():
    check_there()
    import pyarrow.parquet

    return pyarrow


def _is_struct(kind):
    return hasattr(kind, "fields") and any(one.name == "bytes" and _is_bytes(one.type) for one in kind.fields)


def _is_bytes(kind):
    return str(kind) in ("binary", "large_binary")
