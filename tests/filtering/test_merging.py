"""How probable the best are, and their merging by groups of classes, against a sort of everything.

Covers: survey.py
"""

import numpy as np
import pytest

from mpl_tf.filtering import inputs, merging, pipeline, select, settings, survey, tables
from mpl_tf.filtering.parts import Parts
from tests.filtering.test_select import CLASSES, by_hand, random_scores, table_of


@pytest.mark.parametrize("seed", range(5))
def test_the_last_of_the_best_of_each_class(seed, monkeypatch):
    monkeypatch.setattr(survey, "LEAST", 10)
    random = np.random.default_rng(seed)
    classes, limits = random.integers(0, 5, 300).astype(np.int32), np.array([3, 0, 70, 10**15, 1])
    probabilities = random.choice([0, 1e-30, 0.25, 0.5, 0.75, 1], 300).astype(np.float32)
    pool = survey.Pool(limits)
    for part in np.array_split(random.permutation(300), 7):
        pool.add(survey.numbers(classes[part], probabilities[part]))
        assert sum(map(len, pool.parts)) < 300
    best = pool.best()
    kept = [np.sort(probabilities[classes == label])[::-1][: limits[label]] for label in range(5)]
    assert survey.counts(best, 5).tolist() == [len(one) for one in kept]
    # A class that has fewer than it may have takes all; one that may have none takes none.
    expected = [kept[0][-1], np.inf, 0 if len(kept[2]) < 70 else kept[2][-1], 0, kept[4][-1]]
    assert survey.least(best, limits).tolist() == expected
    assert survey.least(survey.numbers(classes[:0], probabilities[:0]), limits).tolist() == [0, np.inf, 0, 0, 0]


def test_groups_of_classes_are_neighbours_of_about_equal_size(monkeypatch):
    monkeypatch.setattr(survey, "GROUP", 10)
    assert survey.groups(np.array([4, 4, 4, 4, 30, 1, 0, 9, 3])).tolist() == [0, 0, 0, 1, 1, 2, 2, 2, 3]
    assert survey.groups(np.zeros(3, int)).tolist() == [0, 0, 0]


@pytest.mark.parametrize("seed", range(4))
def test_the_best_of_each_class_by_files_of_groups(seed, tmp_path, monkeypatch):
    monkeypatch.setattr(survey, "GROUP", 15)
    monkeypatch.setattr(merging, "BATCH", 60)
    random = np.random.default_rng(seed)
    top, least, limits = 1 + seed % 3, [0.0, 0.25][seed % 2], random.integers(0, 30, CLASSES)
    scores, chunks = random_scores(random, 200, top), []
    for number, rows in enumerate(np.array_split(np.arange(200), 9)):
        part = table_of(*([one[i] for i in rows] if isinstance(one, list) else one[rows] for one in scores))
        chunks.append(inputs.Chunk(number, "", 0, len(rows), 0))
        tables.write(pipeline.scores_path(tmp_path, chunks[-1]), part)
    selection = settings.Selection(top_classes=top, min_probability=least)
    choice = merging.Choice(str(tmp_path), selection, limits, str(tmp_path), str(tmp_path / "best"))
    merging.select_best(chunks, None, choice, [])
    paths = merging.best_paths(tmp_path / "best")
    found, expected = {label: [] for label in range(CLASSES)}, by_hand(*scores, np.zeros(200, bool), limits, least)
    for _, table in Parts(paths).tables("class", "id"):
        for label, name in zip(*(column.to_pylist() for column in table), strict=True):
            found[label].append(name)
    assert found == expected and len(paths) == len(set(survey.groups([len(expected[label]) for label in found])))
    assert len(list((tmp_path / "best").glob("candidates-*"))) == len(merging.batches(chunks)) == 4
    assert [len(part) for _, part in merging.batches(chunks)] == [2, 3, 3, 1]
    # Of the rest nothing but what is as probable as the last goes into files.
    places = sum(len(tables.read(path, tables.CANDIDATES)) for path in (tmp_path / "best").glob("candidates-*"))
    assert places >= sum(map(len, expected.values()))
    assert select.best(tables.read(paths[0], tables.CANDIDATES), limits).equals(
        tables.read(paths[0], tables.CANDIDATES)
    )
