"""Which images a run of the filter takes: as training lists them; backgrounds, records and names on their way."""

import io
import os

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mpl_tf.base.errors import RunError, UsageError
from mpl_tf.data import listing, shards, tfrecord
from mpl_tf.filtering import images, inputs, score

CLEAR = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
CLEAR.putpixel((0, 0), (1, 2, 3, 255))


def png(image):
    output = io.BytesIO()
    image.save(output, "PNG")
    return output.getvalue()


def level(value):
    return png(Image.new("RGB", (8, 8), (value,) * 3))


@pytest.fixture
def place(tmp_path):
    """Three images, and what belongs to the system."""
    folder = tmp_path / "photos"
    for name, content in {
        "a.png": level(1),
        "deep/b.webp": level(2),
        "deep/c.PNG": level(3),
        ".ipynb_checkpoints/d.png": level(4),
        "__MACOSX/e.png": level(5),
        "deep/._f.png": b"fork",
        "notes.txt": b"text",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    (folder / "deep" / "loop").symlink_to("..")
    return folder


def plan(place, tmp_path, *specs, **options):
    """(names of the images, lines told)."""
    told = []
    chunks = inputs.plan(
        [str(spec) for spec in specs], "--images", "", 2, tmp_path / "plan", echo=told.append, **options
    )
    return [os.path.relpath(item.source, place) for chunk in chunks for item in inputs.items(chunk)], told


def test_a_folder_holds_what_it_holds_for_training(place, tmp_path):
    found, told = plan(place, tmp_path, place)
    assert found == ["a.png", "deep/b.webp", "deep/c.PNG"]
    assert found == [str(path.relative_to(place)) for path in listing.find(place, "--images").images]
    assert told == ["--images: passed over what is no image: 3 hidden, 1 .txt, 1 links back"]
    assert plan(place, tmp_path, place)[1] == []  # Told when the plan was made.


def test_a_pattern_takes_the_same_files(place, tmp_path):
    found, told = plan(place, tmp_path, place / "**" / "*")
    assert found == ["a.png", "deep/b.webp", "deep/c.PNG"] and told == [
        "--images: passed over what is no image: 1 .txt"
    ]


def test_a_list_takes_what_it_names(place, tmp_path):
    names = b"photos/notes.txt\nphotos/deep/b.webp\n\nphotos/caf\xe9.png\n"
    (tmp_path / "list.txt").write_bytes(names)
    found, told = plan(place, tmp_path, tmp_path / "list.txt")
    assert found == ["notes.txt", "deep/b.webp", r"caf\xe9.png"] and told == []


@pytest.mark.parametrize("spec", ["photos/__MACOSX/*.jpg", "photos/*.txt"])
def test_nothing_found_is_one_line_with_what_was_passed_over(place, tmp_path, spec):
    with pytest.raises(UsageError, match=r"^--images: expected images or TFRecord shards, found none in .*") as caught:
        plan(place, tmp_path, tmp_path / spec)
    assert ("passed over what is no image: 1 .txt; images are JPEG" in str(caught.value)) == spec.endswith("txt")


@pytest.mark.parametrize(("background", "colour"), [("white", 255), ("black", 0), ("#808080", 128)])
def test_transparent_images_are_scored_and_stored_on_the_background(tmp_path, background, colour):
    (tmp_path / "a.png").write_bytes(png(CLEAR))
    (chunk,) = inputs.plan([str(tmp_path)], "--images", "", 9, tmp_path / "plan", background=background)
    ((_, _, (decoded,)),) = score.decoded_batches(chunk, 4, 8, True, score.Pace())
    expected = np.full((8, 8, 3), colour, np.uint8)
    expected[0, 0] = (1, 2, 3)
    np.testing.assert_array_equal(decoded.pixels, expected)
    assert decoded.problem == ""
    (item,) = inputs.items(chunk)
    stored = images.storable(item.load()[1], chunk.ground)
    np.testing.assert_array_equal(shards.decode(tf.constant(stored)), expected)


def test_a_record_with_a_wrong_checksum_is_a_problem_and_no_image(tmp_path):
    path = tmp_path / "a.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for value in range(5):
            writer.write(shards.serialize(level(value), f"image {value}", 0, 0.5))
    at = tfrecord.records(path)[2].offset + 20
    content = bytearray(path.read_bytes())
    content[at] ^= 64
    path.write_bytes(content)
    chunks = inputs.plan([str(path)], "--images", "", 3, tmp_path / "plan")
    blocks = [block for chunk in chunks for block in score.decoded_batches(chunk, 9, 8, False, score.Pace())]
    names = [name for ids, _, _ in blocks for name in ids]
    problems = [one for _, _, decoded in blocks for one in decoded]
    assert names == ["image 0", "image 1", f"{path}#2", "image 3", "image 4"]
    assert [one.problem for one in problems] == ["", "", "unreadable", "", ""]
    assert "a record whose checksum is wrong" in problems[2].detail


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"number": 0}', "\x00"])
def test_a_damaged_plan_is_named(place, tmp_path, damage):
    plan(place, tmp_path, place)
    record = tmp_path / "plan" / "chunks.jsonl"
    record.write_text(record.read_text().replace("{", damage, 1) if damage == "" else damage)
    with pytest.raises(RunError, match=f"{record}: expected the plan of a run, cannot read it .*; score again into"):
        plan(place, tmp_path, place)
