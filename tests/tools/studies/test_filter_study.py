"""The study's own counting and comparing, on a few images."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import ImageOps

from mpl_tf.filtering import images, overlap, settings, smooth
from tests.filtering.test_overlap import COPIES, evaluation, photograph, scores_of
from tools.studies import filter_reference, filter_study


def jpeg(picture):
    output = io.BytesIO()
    picture.resize((32, 32)).save(output, "JPEG", quality=95)
    return output.getvalue()


def test_all_pairs_find_what_the_index_finds():
    random = np.random.default_rng(3)
    tests, others = ([jpeg(photograph(random)) for _ in range(count)] for count in (12, 20))
    changed = [COPIES[kind](filter_reference.pixels(one)) for kind, one in zip([*COPIES] * 2, tests, strict=True)]
    # Smooth pictures: a copy, another one, and one like no other.
    soft = [picture.resize((3, 3)) for picture in (photograph(random), photograph(random))]
    tests += [jpeg(soft[0])]
    changed += [COPIES["jpeg"](ImageOps.mirror(soft[0].resize((32, 32)))), jpeg(soft[1])]
    found = filter_reference.overlapping(others[:10] + changed + others[10:], tests)
    known = evaluation([filter_reference.pixels(one) for one in tests], filter_reference.DISTANCE)
    overlaps = known.overlaps(*scores_of(others[:10] + changed + others[10:]))
    assert np.flatnonzero(found).tolist() == overlaps["row"].to_pylist() and len(overlaps) >= 12
    assert overlaps["measure"].to_pylist().count("smooth") == 1
    assert (filter_reference.SMOOTH, filter_reference.BLANK) == (smooth.SMOOTH, smooth.BLANK)
    assert filter_reference.LEVELS == smooth.LEVELS
    assert overlap.BITS == 256 == 4 * settings.LARGEST_DISTANCE and images.CROP == 1 / 32


def test_rows_that_differ_tell_how_far_apart_their_probabilities_are():
    probabilities = np.array([[0.5, 0.5], [0.25, 0.75], [0.375, 0.625]], np.float32)
    rows = [(1, 0, "a#1"), (1, 1, "a#2"), (0, 0, "a#0")]
    assert filter_reference.furthest(rows, rows, probabilities) == 0
    assert filter_reference.furthest(rows, [(1, 0, "a#2"), (1, 1, "a#1"), rows[2]], probabilities) == 0.125


def test_planted_images_are_counted_by_kind(tmp_path):
    kept = {"id": ["planted/exact/0", "a", "b"]}
    rejected = {"id": ["planted/exact/1", "planted/cropped/0", "c", "d"]}
    rejected["reason"] = ["overlaps", "overlaps", "overlaps", "beyond_top_k"]
    pq.write_table(pa.table(kept), tmp_path / "kept.parquet")
    pq.write_table(pa.table(rejected), tmp_path / "rejected.parquet")
    result = filter_reference.planted(tmp_path)
    assert result["kinds"] == {"exact": {"images": 2, "removed": 1}, "cropped": {"images": 1, "removed": 1}}
    assert (result["innocent"], result["innocent_removed"], result["others_removed_share"]) == (4, 1, 1.0)


def test_a_study_without_its_data_is_one_line(tmp_path, capfd):
    assert filter_study.main([f"--data_dir={tmp_path}", "--no_such_flag"]) == 2
    assert len(capfd.readouterr().err.strip().splitlines()) == 1
