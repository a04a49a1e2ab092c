"""Looking into many files at a time gives the plan of one after the other, by threads and by workers."""

import time

import pytest

from mpl_tf.base.errors import RunError, UsageError
from mpl_tf.filtering import cutting, headers, inputs
from tests.filtering.test_containers import WRITERS, encoded
from tests.filtering.test_inputs import level

WORKERS = ("--runner=FnApiRunner",)


@pytest.fixture
def place(tmp_path):
    """Files of each kind among images, and what is none."""
    folder = tmp_path / "photos"
    for number in range(3):
        for name, (write, _) in WRITERS.items():
            path = folder / f"{number}" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            write(path, encoded(number))
        (folder / f"{number}" / "b.png").write_bytes(level(number))
        (folder / f"{number}" / "notes.txt").write_bytes(b"text")
    return folder


def plan(tmp_path, spec, name, **options):
    """(lines of the plan's files, lines told)."""
    told = []
    inputs.plan([str(spec)], "--images", "", 2, tmp_path / name, echo=told.append, **options)
    assert sorted(path.name for path in (tmp_path / name).iterdir()) == ["chunks.jsonl", "images.jsonl"]
    return [(tmp_path / name / part).read_text().replace(name, "") for part in ("chunks.jsonl", "images.jsonl")], told


@pytest.mark.parametrize("window", [5, headers.WINDOW])
def test_the_plan_is_that_of_one_file_after_the_other(place, tmp_path, window, monkeypatch):
    monkeypatch.setattr(headers, "WINDOW", window)
    threads, workers = (
        plan(tmp_path, place, name, arguments=how) for name, how in (("plan_a", ()), ("plan_b", WORKERS))
    )
    monkeypatch.setattr(headers, "_each", lambda finds, about, *_: (find(about) for find in finds))
    (chunks, images), told = plan(tmp_path, place, "plan_c")
    assert threads[0][1] == workers[0][1] == images and images.count("\n") == 3 * (1 + 2 * 5)
    # The last line has checksums, which go by the place of the plan.
    assert [one[0][0].splitlines()[:-1] for one in (threads, workers)] == [chunks.splitlines()[:-1]] * 2
    assert threads[1] == workers[1] == told == ["--images: passed over what is no image: 3 .cls, 3 .txt, 3 hidden"]


@pytest.mark.parametrize("how", [(), WORKERS])
def test_what_is_wrong_with_a_file_ends_the_plan(place, tmp_path, how):
    (place / "1" / "a.tar").write_bytes(b"no tar")
    with pytest.raises(RunError, match="photos/1/a.tar: "):
        plan(tmp_path, place, "out", arguments=how)
    (place / "1" / "a.tar").unlink()
    with pytest.raises(UsageError, match="--image_feature: "):
        plan(tmp_path, place, "out", arguments=how, feature="other")
    assert not list((tmp_path / "out").iterdir())


def test_files_are_looked_into_at_the_same_time_and_how_far_it_is_is_told(tmp_path, monkeypatch, capsys):
    def slow(path, about, alone):
        time.sleep(0.05)
        return [[path, str(alone)]]

    monkeypatch.setattr(cutting, "pieces", slow)
    monkeypatch.setattr(headers, "TOLD_SECONDS", 0.02)
    paths, started = [f"{number:02d}.tar" for number in range(32)], time.perf_counter()
    found = headers.pieces(paths, "07.tar", cutting.About("--images", 2), tmp_path)
    found = [piece for path, pieces in found for piece in pieces]
    assert found == [[path, str(path == "07.tar")] for path in paths]
    assert time.perf_counter() - started < 32 * 0.05 / 2
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "mpl_tf: --images: 0 of 32 files are looked into" and len(told) > 1
