"""The study's shards, counting and page, on a few images."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mpl_tf.base import files
from mpl_tf.filtering import inputs
from tests.tools.studies.test_plants import opened, picture
from tools.studies import overlap_study, plants


def test_shards_hold_the_evaluation_images_and_the_copies_among_the_others(tmp_path):
    made = [picture(seed) for seed in range(4)]
    overlap_study._write(tmp_path, made[:2], {"set": made[:1]}, made[2:])
    found = {}
    for name in ("evaluation", "images"):
        path = str(tmp_path / f"{name}.tfrecord")
        (chunk,) = inputs.plan([path], "--images", "", 100, tmp_path / name)
        found[name] = dict(item.load() for item in inputs.items(chunk))
    assert set(found["evaluation"]) == {"evaluation/0", "evaluation/1"}
    assert set(found["images"]) == {"other/0", "other/1", *(f"planted/set/{kind}/0" for kind in plants.KINDS)}
    np.testing.assert_array_equal(opened(found["evaluation"]["evaluation/1"]), np.asarray(made[1]))


def test_found_copies_are_counted_by_set_and_kind_and_make_a_page(tmp_path):
    kept, rejected = ["planted//PNG/1", "other/0", "other/1"], ["planted//PNG/0", "planted//mirror/0", "other/2"]
    pq.write_table(pa.table({"id": kept}), tmp_path / "kept.parquet")
    pq.write_table(pa.table({"id": rejected, "reason": ["overlaps"] * 3}), tmp_path / "rejected.parquet")
    about = {"images": 9, "unreadable": 0, "least_similarity": 0.75}
    files.write_json(tmp_path / "summary.json", {"evaluation_images": about})
    counted = overlap_study._counted(tmp_path)
    assert counted == {
        "kinds": {"": {"PNG": [1, 2], "mirror": [1, 1]}},
        "others": 3,
        "others_removed": 1,
        "least_similarity": 0.75,
    }
    kinds = {part: {kind: [7, 9] for kind in plants.KINDS} for part in ("", "photographs", "smooth")}
    every = {way: counted | {"kinds": kinds} for way in overlap_study.WAYS}
    names = ("small", "small_backbone", "large_backbone")
    page = overlap_study.markdown({name: every for name in names} | {"command": "python"})
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| ")]
    assert {len(row) for row in rows} == {12} and len(rows) == 1 + len(plants.KINDS) + 2
    assert rows[1][1:4] == ["7"] * 3 and "1 of 3" in page and "0.750" in page


def test_a_study_without_its_data_is_one_line(tmp_path, capfd):
    assert overlap_study.main([f"--data_dir={tmp_path}", "--weights=none.npz"]) == 2
    assert len(capfd.readouterr().err.strip().splitlines()) == 1
