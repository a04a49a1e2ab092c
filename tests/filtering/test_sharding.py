"""Near pairs by workers are those of one process."""

import numpy as np
import pytest

from mpl_tf.base import storage
from mpl_tf.filtering import near, sharding
from tests.filtering.test_near import hashes


@pytest.mark.parametrize("where", ["disk", "bucket"])
def test_each_list_is_a_workers(where, tmp_path, bucket, monkeypatch):
    monkeypatch.setattr(sharding, "LEAST", 300)
    folder = storage.path(tmp_path / "near" if where == "disk" else f"{bucket}/near")
    words = near.spread(hashes(np.random.default_rng(0), 400, 36))
    made, work = [], sharding.Near.work
    monkeypatch.setattr(sharding.Near, "work", lambda self, element: made.append(element[0]) or work(self, element))
    workers = sharding.Workers(folder, ["--runner=FnApiRunner"])
    for first, size in ((0, words.shape[1]), (250, words.shape[1]), (0, 350), (0, 200)):
        expected = near.pairs(words[:, :size], first, 18)
        found = near.pairs(words[:, :size], first, 18, each=workers.of_lists)
        assert [one.tolist() for one in found] == [one.tolist() for one in expected] and len(expected[0]) > 5
        assert sorted(made) == (list(range(len(near.keys(size, 256, 18)))) if size >= 300 else [])
        made.clear()
    with pytest.raises(near.TooManyError):
        near.pairs(words, 0, 18, 10, workers.of_lists)
    # Without flags of Beam's the one process does all.
    alone = near.pairs(words, 0, 18, each=sharding.Workers(folder, ()).of_lists)
    assert len(alone[0]) == len(near.pairs(words, 0, 18)[0])
    assert len(storage.names(folder)) <= 1
