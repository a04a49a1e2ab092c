"""The batch that is laid out ahead: in order, once, and its error when it is taken."""

import pytest

from mpl_tf.devices.mesh.packing import Packed


def test_each_batch_is_laid_out_once_and_before_it_is_taken():
    laid = []
    packed = Packed(lambda batch: laid.append(batch) or -batch)
    iterator = iter([1, 2, 3])
    for number in (1, 2, 3):
        assert packed.take(iterator) == -number
        packed.prepare(iterator)
        assert laid == [1, 2, 3][: number + 1]
    with pytest.raises(StopIteration):
        packed.take(iterator)


def test_an_error_waits_for_the_step_that_would_have_read_the_batch():
    def batches():
        yield 1
        raise OSError("unreadable")

    iterator, packed = batches(), Packed(lambda batch: batch)
    assert packed.take(iterator) == 1
    packed.prepare(iterator)
    with pytest.raises(OSError, match="unreadable"):
        packed.take(iterator)
    with pytest.raises(StopIteration):
        packed.take(iterator)


def test_another_iterator_has_batches_of_its_own():
    first, second, packed = iter([1, 2]), iter([3, 4]), Packed(lambda batch: batch)
    assert packed.take(first) == 1
    packed.prepare(first)
    assert packed.take(second) == 3


def test_the_end_of_an_iterator_is_not_that_of_the_next():
    first, second, packed = iter([1]), iter([2]), Packed(lambda batch: batch)
    assert packed.take(first) == 1
    packed.prepare(first)
    assert packed.take(second) == 2
