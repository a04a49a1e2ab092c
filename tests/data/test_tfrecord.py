"""Places of records and their checksums: every byte of the framing, damaged lengths and data, cut files.

Covers: record_places.py
"""

import struct

import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.base.errors import RunError
from mpl_tf.data import tfrecord

LENGTHS = (0, 1, 7, 300, 70_000)


def data_of(number):
    return np.random.default_rng(number).bytes(LENGTHS[number])


@pytest.fixture
def shard(tmp_path):
    path = tmp_path / "a.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for number in range(len(LENGTHS)):
            writer.write(data_of(number))
    return path


def changed(path, at, new):
    content = bytearray(path.read_bytes())
    content[at : at + len(new)] = new
    path.write_bytes(content)


def flipped(path, at, bit=0):
    changed(path, at, bytes([path.read_bytes()[at] ^ (1 << bit)]))


def read(record):
    return tfrecord.verified(str(record.path), record.offset, record.length).numpy()


def test_places_are_those_of_tensorflows_reader(shard):
    found = tfrecord.records(shard)
    assert [record.length for record in found] == list(LENGTHS)
    assert [read(record) for record in found] == [data.numpy() for data in tf.data.TFRecordDataset(str(shard))]
    assert tfrecord.damaged(found) == {}
    assert tfrecord.records(shard, found[2].offset - tfrecord.HEADER, 2, 4) == found[2:4]


def test_in_a_graph_too(shard):
    found = tfrecord.records(shard)
    places = tf.data.Dataset.from_tensor_slices(([r.offset for r in found], [r.length for r in found]))
    places = places.map(lambda *place: tuple(tf.cast(part, tf.int64) for part in place))
    data = places.map(lambda offset, length: tfrecord.verified(str(shard), offset, length))
    assert list(data.as_numpy_iterator()) == [data_of(number) for number in range(len(LENGTHS))]


@pytest.mark.parametrize("number", range(len(LENGTHS)))
@pytest.mark.parametrize("byte", range(12))
def test_a_flipped_bit_in_a_length_or_its_checksum_is_named(shard, number, byte):
    """Whatever the wrong length says: within the file, beyond it, negative as int64."""
    record = tfrecord.records(shard)[number]
    flipped(shard, record.offset - tfrecord.HEADER + byte, bit=7 if byte == 7 else 2)
    with pytest.raises(RunError) as caught:
        tfrecord.records(shard)
    told = str(caught.value)
    assert f"{shard}#{number}: the checksum of this record's length is wrong" in told or (
        f"{shard}: expected an uncompressed TFRecord file, it ends within record {number}" in told
    )


def test_a_length_that_is_wrong_within_the_file_is_blamed_and_not_where_it_leads(shard):
    record = tfrecord.records(shard)[3]
    changed(shard, record.offset - tfrecord.HEADER, struct.pack("<Q", 40))
    with pytest.raises(
        RunError, match=f"^{shard}#3: the checksum of this record's length is wrong; copy the file again$"
    ):
        tfrecord.records(shard)


@pytest.mark.parametrize("length", [-1, -(2**63), 2**63 - 1, 2**40])
def test_a_negative_or_vast_length_is_named(shard, length):
    record = tfrecord.records(shard)[2]
    changed(shard, record.offset - tfrecord.HEADER, struct.pack("<q", length))
    with pytest.raises(RunError, match=f"^{shard}: expected an uncompressed TFRecord file, it ends within record 2"):
        tfrecord.records(shard)


def test_a_file_of_another_kind_is_named(tmp_path):
    path = tmp_path / "a.tfrecord"
    for content in (b"\x1f\x8b" + bytes(range(256)), b"text\n" * 40, b"x"):
        path.write_bytes(content)
        with pytest.raises(RunError, match=f"^{path}: expected an uncompressed TFRecord file, it ends within record 0"):
            tfrecord.records(path)
    path.write_bytes(bytes(200))  # Zeros: lengths of zero whose checksum is not zero.
    with pytest.raises(RunError, match=f"^{path}#0: the checksum"):
        tfrecord.records(path)


def test_damaged_data_are_found_one_by_one(shard):
    found = tfrecord.records(shard)
    flipped(shard, found[1].offset)
    flipped(shard, found[4].offset + 69_999, bit=7)
    flipped(shard, found[3].offset + found[3].length + 2)  # In the data's own checksum.
    assert tfrecord.damaged(found) == dict.fromkeys([found[1], found[3], found[4]], tfrecord.WRONG)
    assert tfrecord.damaged(found[::2]) == {found[4]: tfrecord.WRONG}
    assert tfrecord.damaged([]) == {}
    with pytest.raises(tf.errors.DataLossError):
        read(found[1])
    assert read(found[2]) == data_of(2)


def test_a_name_that_is_no_text(shard, tmp_path):
    strange = tmp_path / "caf\udce9.tfrecord"
    shard.rename(strange)
    found = tfrecord.records(strange)
    assert tfrecord.damaged(found) == {} and len(found) == len(LENGTHS)
