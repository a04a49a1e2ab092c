"""One list of all images, whatever the split."""

import numpy as np

from mpl_tf.data import Source
from mpl_tf.data.pool import Pool

IMAGES = np.random.default_rng(0).integers(0, 256, (9, 4, 4, 3), np.uint8)


def sources(*parts):
    return [Source(IMAGES[list(part)]) for part in parts]


def test_rows_lead_to_the_images_and_do_not_depend_on_the_split():
    one, other = sources((0, 1, 2), (3, 4, 5, 6, 7, 8)), sources((8, 3, 1), (0, 2), (4, 5, 6, 7))
    pools = [Pool(one), Pool(other)]
    assert len(pools[0]) == len(pools[1]) == 9
    assert pools[0].fingerprint() == pools[1].fingerprint()
    for pool, parts in zip(pools, (one, other), strict=True):
        for part in parts:
            rows = pool.rows(part)
            assert rows.dtype == np.int32
            np.testing.assert_array_equal(pool.images(rows), part.images)
    np.testing.assert_array_equal(pools[0].images(np.arange(9)), pools[1].images(np.arange(9)))


def test_equal_images_are_one_and_other_images_another_pool():
    pool = Pool(sources((0, 1, 1), (1, 2)))
    assert len(pool) == 3
    assert len(set(pool.rows(Source(IMAGES[[1, 1, 2]])))) == 2
    assert pool.fingerprint() != Pool(sources((0, 1), (3,))).fingerprint()
