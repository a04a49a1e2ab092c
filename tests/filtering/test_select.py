"""Top-k per class against a sort by Python, over random cuts into chunks; copies by hand."""

import numpy as np
import pyarrow as pa
import pytest

from mpl_tf.filtering import select, tables

CLASSES = 4


def random_scores(random, count, top):
    """Scores of `count` images: few different probabilities, so that ties are many; some cannot be used."""
    classes = np.stack([random.permutation(CLASSES)[:top] for _ in range(count)])
    probabilities = -np.sort(-random.choice([0.125, 0.25, 0.5, 0.75, 1.0], [count, top]), axis=1)
    usable = random.random(count) > 0.1
    names = [f"é{number}" if number % 3 else f"z{number}" for number in random.permutation(count)]
    return names, classes.astype(np.int32), probabilities.astype(np.float32), usable


def table_of(names, classes, probabilities, usable):
    """The same as a table of scores."""
    count, top = classes.shape
    columns = [names, names, np.arange(count, dtype=np.int32), [""] * count, [""] * count, usable]
    columns += [pa.nulls(count, pa.binary())] * 2
    columns += [pa.array(values, mask=~usable) for values in (*classes.T, *probabilities.T)]
    return pa.table(columns, schema=tables.scores_schema(top))


def by_hand(names, classes, probabilities, usable, barred, limits, least):
    """{class: [names]}, each class' best by (probability downwards, name), with Python's sort of UTF-8 bytes."""
    result = {}
    for label in range(CLASSES):
        found = [
            (-probabilities[i, place], names[i].encode())
            for i in range(len(names))
            for place in range(classes.shape[1])
            if classes[i, place] == label and usable[i] and not barred[i] and probabilities[i, place] >= least
        ]
        result[label] = [name.decode() for _, name in sorted(found)[: limits[label]]]
    return result


@pytest.mark.parametrize("seed", range(20))
def test_best_of_each_class_whatever_the_chunks(seed):
    random = np.random.default_rng(seed)
    count, top = int(random.integers(1, 200)), int(random.integers(1, CLASSES + 1))
    scores = random_scores(random, count, top)
    barred = random.random(count) < 0.1
    limits, least = random.integers(0, 20, CLASSES), random.choice([0.0, 0.25, 0.5])
    expected = by_hand(*scores, barred, limits, least)
    cuts = np.sort(random.integers(0, count, random.integers(0, 9)))
    pools = [select.Pool(limits) for _ in range(3)]
    for chunk in random.permutation(len(cuts) + 1):
        rows = np.split(np.arange(count), cuts)[chunk]
        part = table_of(*([values[i] for i in rows] if isinstance(values, list) else values[rows] for values in scores))
        found = select.candidates(part, chunk, top, least, barred[rows], with_hashes=False)
        pools[random.integers(3)].add(select.best(found, limits))
    merged = select.Pool(limits)
    for pool in pools:
        merged.add(pool.best())
    best = merged.best()
    found = {label: [] for label in range(CLASSES)}
    for label, name in zip(best["class"].to_pylist(), best["id"].to_pylist(), strict=True):
        found[label].append(name)
    assert found == expected


def test_a_pool_stays_small():
    pool = select.Pool([3, 0, 2, 0])
    random = np.random.default_rng(0)
    for chunk in range(50):
        part = table_of(*random_scores(random, 20, 2))
        pool.add(select.candidates(part, chunk, 2, 0, np.zeros(20, bool), with_hashes=False))
        assert sum(map(len, pool.parts)) <= 2 * 5 + 40
    assert np.bincount(pool.best()["class"].to_numpy(), minlength=4).tolist() == [3, 0, 2, 0]


def test_copies_fill_every_class_to_its_number():
    classes = np.array([0, 0, 0, 2, 2, 3])
    assert select.copies(classes, [7, 5, 2, 4]).tolist() == [3, 2, 2, 1, 1, 4]
    assert select.ranks(classes).tolist() == [0, 1, 2, 0, 1, 0]
    assert select.ranks(np.array([], int)).tolist() == []
