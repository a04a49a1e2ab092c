"""Top-k per class against a sort by Python, over random cuts into chunks; copies by hand; texts beyond 2 GiB."""

import mmap

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
    columns += [pa.nulls(count, tables.BYTES)] * 2
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
        found = select.candidates(part, chunk, top, least, barred[rows])
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
        pool.add(select.candidates(part, chunk, 2, 0, np.zeros(20, bool)))
        assert sum(map(len, pool.parts)) <= 2 * 5 + 40
    assert np.bincount(pool.best()["class"].to_numpy(), minlength=4).tolist() == [3, 0, 2, 0]


def test_copies_fill_every_class_to_its_number():
    classes = np.array([0, 0, 0, 2, 2, 3])
    assert select.copies(classes, [7, 5, 2, 4]).tolist() == [3, 2, 2, 1, 1, 4]
    assert select.ranks(classes).tolist() == [0, 1, 2, 0, 1, 0]
    assert select.ranks(np.array([], int)).tolist() == []


def far_ids(names, start):
    """Ids whose offsets lie beyond `start`, as they do in a column of so many bytes."""
    # Pages that nobody touches take no memory.
    text = "".join(names).encode()
    data = mmap.mmap(-1, start + len(text))
    data[start:] = text
    offsets = start + np.cumsum([0, *map(len, names)], dtype=np.int64)
    return pa.Array.from_buffers(tables.TEXT, len(names), [None, pa.py_buffer(offsets), pa.py_buffer(data)])


def candidates_of(ids):
    """Candidates of one class with these ids, each better than the one before."""
    count = len(ids)
    places = [np.zeros(count, np.int32), np.linspace(0.5, 1, count, dtype=np.float32)]
    places += [np.zeros(count, np.int32), np.arange(count, dtype=np.int32)]
    return pa.table([ids, ids, *places, pa.nulls(count, tables.BYTES)], schema=tables.CANDIDATES)


def test_ids_of_more_bytes_than_32_bits_count(tmp_path):
    pool = select.Pool([3])
    for names in (["a", "bc", "d"], ["e", "f", "gh"]):
        pool.add(candidates_of(far_ids(names, 2**31 + 8)))
    tables.write(tmp_path / "best.parquet", pool.best())
    best = tables.read(tmp_path / "best.parquet", tables.CANDIDATES)
    assert best["id"].to_pylist() == ["d", "gh", "bc"] and best.schema == tables.CANDIDATES
    with pytest.raises(pa.ArrowInvalid):  # As the offsets of 32 bits do not reach them.
        far_ids(["a"], 2**31).cast(pa.string())


def test_no_column_has_offsets_of_32_bits():
    schemas = [value for value in vars(tables).values() if isinstance(value, pa.Schema)] + [tables.scores_schema(2)]
    assert len(schemas) == 13
    kinds = {field.type for schema in schemas for field in schema}
    wide = {pa.large_string(), pa.large_binary(), pa.large_list(pa.large_binary())}
    assert kinds == wide | {pa.bool_(), pa.int32(), pa.float32()}


def test_tables_of_earlier_versions_are_read(tmp_path):
    old = pa.schema([(field.name, tables.NARROW.get(field.type, field.type)) for field in tables.EVALUATION])
    row = ["a", "a.png", "", "", True, 0, 1, b"sum", [b"x", b"y"], b"pixels"]
    tables.write(tmp_path / "old.parquet", pa.table([[value] for value in row], schema=old))
    found = tables.read(tmp_path / "old.parquet", tables.EVALUATION)
    assert found.schema == tables.EVALUATION and list(found.to_pylist()[0].values()) == row
