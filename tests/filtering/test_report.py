"""The report's page: what is in it, and in a browser, its search, its classes and its threshold.

Covers: report.py, pairs.py
"""

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from mpl_tf.filtering import inputs, outputs, pairs, report, tables
from tests import browser

NAMES = ["<b>cat</b> & 'dog'", "élan", "ship" + "_of_the_line" * 6]
ODD = "<img src=x onerror=document.title='broken'>&amp;.png"
DISTANCE, FAR = 18, {0: 5, 3: 4, 12: 30, 18: 2}  # Pairs of each distance.


def add_pairs(found, images):
    """Pairs of each distance as FAR has them, every third one with a kept image, of each class in turn."""
    number = 0
    for distance, count in FAR.items():
        for _ in range(count):
            what = pairs.SETS[number % 3 == 2]
            place = (0, number % images), (0, 0 if what == "evaluation" else (number + 1) % images)
            found.add(pairs.Pair(what, *place, distance, number % len(NAMES)))
            number += 1


@pytest.fixture(scope="module", params=[True, False], ids=["named", "numbered"])
def page(request, tmp_path_factory):
    """Path of a page."""
    root, random = tmp_path_factory.mktemp("report"), np.random.default_rng(0)
    for folder, count in (("photos", 12), ("val", 1)):
        (root / folder).mkdir()
        for number in range(count):
            name = ODD if folder == "photos" and not number else f"{folder}{number:02d}.png"
            Image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8)).save(root / folder / name)
    chunks, excluded = (
        inputs.plan([str(root / folder)], "--images", "", 100, root / f"plan-{folder}") for folder in ("photos", "val")
    )
    counts = outputs.Counts(len(NAMES), 0.0)
    counts.images, counts.predicted[:] = 53, 20
    counts.histogram[:, 10] = 20
    add_pairs(counts.overlaps, 12)
    counts.reasons["overlaps"] = sum(FAR.values())
    labels = [0] * 6 + [1] * 4 + [2] * 2
    rows = {"class": labels, "probability": np.linspace(0.9, 0.5, 12), "chunk": [0] * 12, "row": range(12)}
    columns = [list(rows.get(name, [""] * 12)) for name in tables.CANDIDATES.names]
    kept = pa.table(columns, schema=tables.CANDIDATES)
    copies, none = np.ones(12, np.int32), tables.DUPLICATES.empty_table()
    chosen = outputs.Selected(kept, copies, np.full(3, 6), none, None, None)
    report.write(counts, chosen, NAMES if request.param else None, DISTANCE, chunks, excluded, root)
    return root / "report.html"


def test_pairs_are_all_counted_and_each_distance_is_shown_the_farthest_first():
    found = pairs.Pairs(most=9)
    add_pairs(found, 12)
    assert found.total == 41
    assert found.counts["evaluation"] + found.counts["unlabeled"] == FAR
    assert [pair.distance for pair in found.shown()] == [18] * 2 + [12] * 3 + [3] * 2 + [0] * 2
    assert len(pairs.Pairs().shown()) == 0
    few = pairs.Pairs(most=3)
    add_pairs(few, 12)
    assert [pair.distance for pair in few.shown()] == [18, 12, 3]


def test_pairs_of_other_measures_are_told_in_their_own_units_and_no_threshold_of_bits_is_theirs():
    found = pairs.Pairs(most=60)
    add_pairs(found, 12)
    for distance in range(200):
        found.add(pairs.Pair("evaluation", (0, 1), (0, 0), distance, 0, "features"))
    found.add(pairs.Pair("evaluation", (0, 2), (0, 0), 4, 0, "smooth"))
    found.add(pairs.Pair("evaluation", (0, 3), (0, 0), 18, 0, "hash"))
    assert found.total == 243 and found.others == {"features": 200, "smooth": 1}
    assert sum(found.counts["evaluation"].values()) + sum(found.counts["unlabeled"].values()) == 42
    shown = found.shown()
    assert len(shown) == 60 and shown[0].told == "4 grey levels off"
    assert sum(pair.bits for pair in shown) >= 8 and {pair.told for pair in shown if pair.bits} >= {"18 bits off"}
    cosines = [float(pair.told.removeprefix("cosine ")) for pair in shown if pair.measure == "features"]
    assert min(cosines) < 0.82 and max(cosines) == 1 and cosines == sorted(cosines)


def test_names_are_escaped_and_nothing_is_fetched(page):
    text = page.read_text()
    assert "<b>cat" not in text and "<img src=x" not in text and "&lt;img src=x" in text
    assert ("&lt;b&gt;cat&lt;/b&gt; &amp; &#39;dog&#39;" in text) == ("carries no names" not in text)
    assert "http" not in text and "41 of 41 pairs" in text
    assert text.count("<label") == text.count("<input") + text.count("<select")
    assert len(text) < 450_000
    assert text.count('class="pair"') == 41


def test_no_pair_and_one_threshold_need_no_slider(page, tmp_path):
    content = {"overlaps": {"total": 0}, "classes": [], "grid": [], "totals": [], "named": True}
    assert "None was found" in report._template().render(content)
    of = report._distances({"evaluation": {0: 4}, "unlabeled": {0: 0}}, -1)
    content["overlaps"] = {"total": 4, "threshold": -1, "pairs": [], **of}
    assert 'type="range"' not in report._template().render(content)


def seen(opened, what):
    """How many elements of a kind are shown."""
    return opened.value(f"[...document.querySelectorAll('{what}')].filter((one) => one.offsetParent).length")


def test_a_person_searches_chooses_a_class_and_moves_the_threshold_by_keys(page, tmp_path):
    named = "carries no names" not in page.read_text()
    with browser.opened(tmp_path / "profile") as opened:
        opened.go(page.as_uri())
        assert [seen(opened, kind) for kind in ("tr[data-class]", "section", ".pair")] == [3, 3, 41]
        distances = opened.value("[...document.querySelectorAll('.pair')].map((one) => Number(one.dataset.distance))")
        assert distances == sorted(distances, reverse=True)
        # The first key comes to the search, whatever the case of what is typed; the second one to the classes.
        opened.press("Tab")
        assert opened.value("document.activeElement.labels[0].textContent") == "Search classes and files"
        opened.press("ÉL" if named else "1")
        assert [seen(opened, kind) for kind in ("tr[data-class]", "section")] == ([1, 1] if named else [1, 3])
        if named:
            assert (
                opened.value("document.getElementById('found').value") == "1 class, pictures of 1, 14 overlapping pairs"
            )
        opened.value("document.getElementById('search').value = ''")
        opened.press("Tab")
        opened.press("ship" if named else "2")
        assert [seen(opened, kind) for kind in ("tr[data-class]", "section", ".pair")] == [1, 1, 13]
        opened.press("Home")
        assert seen(opened, ".pair") == 41
        # Six bits less: 12 of 18. What is farther is marked, and counted; then it is hidden.
        opened.value("document.getElementById('threshold').focus()")
        opened.press("ArrowLeft", 6)
        assert opened.value("document.getElementById('removed').value") == (
            "--distance=12 would remove 39 of 41 overlapping images "
            "(26 images near an evaluation image, 13 images near a kept one); 2 would compete again."
        )
        assert seen(opened, ".above") == 2 and seen(opened, ".pair") == 41 and seen(opened, ".mark") == 2
        opened.press("Tab")
        opened.press(" ")
        assert seen(opened, ".above") == 0 and seen(opened, ".pair") == 39
        assert not opened.faults
        assert all(url.startswith(("file:", "data:")) for url in opened.requests)
        assert opened.value("document.title") == "12 of 53 images kept"


@pytest.mark.parametrize("page", [True], indirect=True)
def test_it_fits_a_telephone(page, tmp_path):
    with browser.opened(tmp_path / "profile") as opened:
        for width in (1280, 390):
            opened.go(page.as_uri(), width)
            assert opened.value("document.documentElement.scrollWidth") == width
            opened.picture(tmp_path / f"{width}.png")
            with Image.open(tmp_path / f"{width}.png") as image:
                assert image.width == width and len(image.getcolors(2**20)) > 100
        # Each control has a name that is read out, and each of the pictures too.
        assert opened.value("[...document.querySelectorAll('input, select')].every((one) => one.labels.length)")
        assert opened.value("[...document.querySelectorAll('img')].every((one) => one.alt)")
