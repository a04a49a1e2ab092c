"""Where the records of a TFRecord file begin: a walk from length to length, each of which has a checksum of its own."""

import struct

import numpy as np

from mpl_tf.base import storage
from mpl_tf.base.errors import RunError

HEADER, FOOTER = 12, 4  # Bytes before and after a record's data.
CRC32C, MASK = (
    0x82F63B78,
    0xA282EAD8,
)  # The checksum's polynomial, and what TFRecord adds to it after a turn of 15 bits.
SMALL, BLOCK = 2**12, 2**16  # Bytes: after a record as small as that, so many are read, which hold many headers.
LENGTH = struct.Struct("<Q")


def found(path, offset, first, stop):
    """Places of records.

    Args:
        path: of the shard.
        offset: byte where record `first` begins.
        first, stop: numbers of the records; None: to the end.
    Returns:
        int64 [N, 2]: offset and length of the data of each.
    Raises:
        RunError: a length whose checksum is wrong, a file that ends within a record or is no TFRecord file.
    """
    places, headers, size, number, start = [], bytearray(), storage.size(path), first, offset
    block, begin, length = b"", 0, 0
    with storage.open_file(path) as file:
        while start < size and number != stop:
            at = start - begin
            if at + HEADER > len(block):
                file.seek(start)
                block, begin, at = file.read(BLOCK if places and length <= SMALL else HEADER), start, 0
            header = block[at : at + HEADER]
            length = LENGTH.unpack_from(header)[0] if len(header) == HEADER else size
            if start + HEADER + length + FOOTER > size:
                break
            headers += header
            places.append((start + HEADER, length))
            number += 1
            start += HEADER + length + FOOTER
    # A wrong length leads astray: the first one is to blame, wherever the walk ended.
    wrong = np.flatnonzero(~lengths_hold(headers))
    if len(wrong):
        raise RunError(f"{path}#{first + wrong[0]}: the checksum of this record's length is wrong; copy the file again")
    if start < size and number != stop:
        raise RunError(
            f"{path}: expected an uncompressed TFRecord file, it ends within record {number}; "
            "copy it again, or remove it"
        )
    return np.array(places, np.int64).reshape(-1, 2)


def lengths_hold(headers):
    """bool [N]: whether the length (uint64) in each header of 12 bytes has the checksum (uint32) that follows it."""
    parts = np.frombuffer(headers, np.uint8).reshape(-1, HEADER)  # [N, 12]
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = (table >> 1) ^ (table & 1) * np.uint32(CRC32C)
    crc = np.full([len(parts)], 2**32 - 1, np.uint32)
    for column in range(8):
        crc = (crc >> 8) ^ table[(crc ^ parts[:, column]) & 255]
    crc = ~crc
    masked = ((crc >> 15) | (crc << 17)) + np.uint32(MASK)  # Wraps around.
    return masked == np.ascontiguousarray(parts[:, 8:]).view("<u4")[:, 0]
