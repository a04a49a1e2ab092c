"""The simulated heap, and the two other ways to its choice, on a few images; the tool's choice is theirs."""

import json

import numpy as np
import pytest

from mpl_tf.filtering import tables
from tools import filter_unlabeled
from tools.studies import filter_expected, filter_heap, filter_scale


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """The study of a small heap, all parts done."""
    heap = filter_heap.Heap(20_000, seed=1, chunk=2000, placeholders=200)
    study = filter_scale.Simulated(heap, tmp_path_factory.mktemp("scale"))
    study.limit = 6
    with pytest.MonkeyPatch.context() as patch:
        # In this process, which has all libraries.
        patch.setattr(filter_scale, "watched", lambda command: (filter_unlabeled.main(command[3:]), 1))
        return study, study.results()


def test_the_heap_has_what_it_says():
    heap = filter_heap.Heap(10**6)
    about = heap.images(0, 200_000)
    kind, family = about["kind"], about["family"]
    placeholder = about["number"] % 100 == 7
    assert placeholder.sum() == 2000 and (kind[placeholder] == filter_heap.EXACT).all()
    others = kind[~placeholder]
    assert abs((others == filter_heap.EXACT).mean() - 0.01) < 1e-3 > abs((others == filter_heap.CLOSE).mean() - 0.01)
    assert 0 < (~about["usable"]).mean() < 2e-3 and (about["probability"] <= 1).all()
    sizes = np.bincount(about["class"], minlength=1000)
    assert sizes[:50].sum() < 0.01 * sizes.sum() and sizes[500] > 2000
    # Hashes: equal in a family, or up to 18 bits off; unlike all others.
    near = heap.hashes(*(about[name] for name in ("number", "kind", "family")))
    whole = heap.hashes(about["number"], np.zeros(200_000, np.int8), family)
    bits = np.bitwise_count(near ^ whole).sum(axis=1)
    assert (bits[kind != filter_heap.CLOSE] == 0).all()
    flips = bits[kind == filter_heap.CLOSE]
    assert flips.max() == 18 and flips.min() <= 1 and len(set(flips.tolist())) > 15
    same = heap.about(np.array([17, 40_003], np.uint64))
    assert all((same[name] == about[name][[17, 40_003]]).all() for name in about)


def test_the_scores_are_a_run_s(simulated):
    study, _ = simulated
    table = tables.read(study.folder / "scores" / "scores-00003.parquet", tables.scores_schema(1))
    about = study.heap.images(6000, 8000)
    assert (
        table["id"][7].as_py() == "images/00003.tfrecord#7"
        and table["usable"].to_numpy().tolist() == about["usable"].tolist()
    )
    assert table["probability_1"].to_pylist() == [
        p if used else None for p, used in zip(about["probability"].tolist(), about["usable"].tolist(), strict=True)
    ]
    hashes = study.heap.hashes(*(about[name] for name in ("number", "kind", "family")))
    assert all(
        one is None or one == words.tobytes() for one, words in zip(table["hash"].to_pylist(), hashes, strict=True)
    )


def test_all_three_choices_are_equal(simulated):
    study, results = simulated
    compared, selected = results["compared"], results["selected"]
    assert compared["classes_equal"] == compared["classes"] == 1000
    assert compared["overlaps"] == selected["left_out"]["overlaps"] > 50
    assert compared["brute"] == {"kept": selected["kept"], "kept_equal": selected["kept"], "overlaps_equal": True}
    assert json.loads((study.folder / "compared.json").read_text()) == compared


def test_what_differs_is_told(simulated, tmp_path):
    study, results = simulated
    kept, _ = filter_expected.by_families(study.heap, study.limit)
    right = filter_expected.of_table(study.folder / "out" / "kept.parquet")
    kept[300], kept[700] = kept[300][::-1], kept[700][:-1]
    wrong = filter_expected.of_heap(study.heap, kept)
    assert [label for label in range(1000) if right[label] != wrong[label]] == [300, 700]
    text = filter_scale.markdown({"command": "c", "seed": 1, "sizes": [results | {"images": 20_000}]})
    assert "| 20,000 | 6 |" in text and "1,000 of 1,000 |" in text and "are the same images" in text
