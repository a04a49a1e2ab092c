"""Own images: every kind of JPEG and PNG, sizes, broken files, folders, and the number of labels.

Covers: decode.py
"""

import os

import numpy as np
import pytest
from PIL import Image

from mpl_tf import data
from mpl_tf.base import memory
from mpl_tf.base.errors import RunError, UsageError
from mpl_tf.data import Source, decode, folder, to_label
from mpl_tf.data.own_images import OwnImages
from mpl_tf.settings.catalogue import DATASETS

RED = (255, 0, 0)
ROTATED = Image.Exif()
ROTATED[0x0112] = 6  # Orientation: shown a quarter turn clockwise.


def saved(path, image, **how):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **how)
    return path


def plain(path, colour=RED, size=(8, 8)):
    """A file of one colour."""
    return saved(path, Image.new("RGB", size, colour))


def pixels(array):
    return Image.fromarray(np.asarray(array))


def grey(level):
    return (level,) * 3


@pytest.fixture
def own(tmp_path, make_config):
    """A function that makes the Config of the folders in tmp_path."""

    def make(**values):
        folders = {name: tmp_path / name for name in ("labeled_dir", "unlabeled_dir", "test_dir")}
        found = {name: path for name, path in folders.items() if path.is_dir()}
        return make_config("folder", image_size=8, labeled_batch=1, finetune_batch=1, **found | values)

    return make


@pytest.fixture
def animals(tmp_path):
    """Three cats (levels 10, 11, 12), two dogs (20, 21), a cat and a dog for the test (30, 40), two unlabeled (50, 60).

    Each image is all of its own grey level, which tells it from the others.
    """
    levels = {"labeled_dir/dog": (20, 21), "labeled_dir/cat": (10, 11, 12)}
    levels |= {"test_dir/cat": (30,), "test_dir/dog": (40,), "unlabeled_dir": (50,), "unlabeled_dir/deep/deeper": (60,)}
    for place, values in levels.items():
        for level in values:
            plain(tmp_path / place / f"{level}.png", grey(level))
    return tmp_path


def levels_of(source):
    return source.images[:, 0, 0, 0].tolist()


def labeled_levels(source):
    return sorted(zip(source.labels.tolist(), levels_of(source), strict=True))


def refusal(config, error=UsageError):
    with pytest.raises(error) as caught:
        data.load(config)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---- One file -----------------------------------------------------------------------------------------------------

COLOURS = {  # name of the file: what is saved, and the colour that comes back
    "colour.png": (Image.new("RGB", (8, 8), (1, 2, 3)), (1, 2, 3)),
    "colour.jpg": (Image.new("RGB", (8, 8), (90, 90, 200)), (90, 90, 200)),
    "grey.png": (Image.new("L", (8, 8), 77), grey(77)),
    "grey.jpeg": (Image.new("L", (8, 8), 77), grey(77)),
    "black_and_white.png": (Image.new("1", (8, 8), 1), grey(255)),
    "transparent.png": (Image.new("RGBA", (8, 8), (9, 8, 7, 255)), (9, 8, 7)),
    "grey_transparent.png": (Image.new("LA", (8, 8), (66, 255)), grey(66)),
    "palette.png": (Image.new("RGB", (8, 8), (30, 60, 90)).quantize(4), (30, 60, 90)),
    "cmyk.jpg": (Image.new("CMYK", (8, 8), (0, 255, 255, 0)), RED),
    "sixteen_bits_black.png": (pixels(np.full((8, 8), 0, np.uint16)), grey(0)),
    "sixteen_bits_middle.png": (pixels(np.full((8, 8), 128 * 257, np.uint16)), grey(128)),
    "sixteen_bits_white.png": (pixels(np.full((8, 8), 65_535, np.uint16)), grey(255)),
    "UPPER.PNG": (Image.new("RGB", (8, 8), (5, 6, 7)), (5, 6, 7)),
}


@pytest.mark.parametrize("name", COLOURS)
def test_every_kind_of_image_comes_back_in_its_colour(tmp_path, name):
    image, colour = COLOURS[name]
    decoded = decode.decode(saved(tmp_path / name, image), 8)
    assert decoded.dtype == np.uint8
    tolerance = 2 if name.lower().endswith(("jpg", "jpeg")) else 0
    np.testing.assert_allclose(decoded, np.broadcast_to(colour, (8, 8, 3)), atol=tolerance)


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (31, 9), (3, 100), (640, 480)])
@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_an_image_of_one_colour_keeps_it_at_every_size(tmp_path, size, ending):
    path = plain(tmp_path / f"a.{ending}", grey(100), size)
    for side in (1, 8, 20):
        np.testing.assert_allclose(decode.decode(path, side), np.full((side, side, 3), 100), atol=1)


def test_the_middle_is_cut_out(tmp_path):
    wide = saved(tmp_path / "wide.png", pixels(np.array([[9, 1, 2, 9], [9, 3, 4, 9]], np.uint8)))
    np.testing.assert_array_equal(decode.decode(wide, 2)[..., 0], [[1, 2], [3, 4]])
    tall = saved(tmp_path / "tall.png", pixels(np.array([[9, 1, 2, 9], [9, 3, 4, 9]], np.uint8).T))
    np.testing.assert_array_equal(decode.decode(tall, 2)[..., 0], [[1, 3], [2, 4]])


SHAPES = {  # --resize: a 2 x 4 image of 0 and 200 (right half) at 4 pixels, on a background of 50.
    "crop": [[0, 0, 200, 200]] * 4,
    "pad": [[50] * 4, [0, 0, 200, 200], [0, 0, 200, 200], [50] * 4],
    "stretch": [[0, 0, 200, 200]] * 4,
}


@pytest.mark.parametrize("resize", SHAPES)
def test_images_of_other_shapes_come_to_the_size_as_asked(tmp_path, resize):
    wide = saved(tmp_path / "wide.png", pixels(np.tile(np.array([0, 0, 200, 200], np.uint8), (2, 1))))
    found = decode.decode(wide, 4, grey(50), resize)
    if resize == "crop":  # Twice as large, of which the middle half: 0 and 200 blend where they meet.
        np.testing.assert_array_equal(found[..., 0], [[0, 50, 150, 200]] * 4)
    else:
        np.testing.assert_array_equal(found[..., 0], SHAPES[resize])
    again = decode.decode_files([wide], 4, False, grey(50), resize).images[0]
    np.testing.assert_array_equal(again, found)


@pytest.mark.parametrize(("resize", "size"), [("pad", (4, 8)), ("stretch", (8, 8))])
def test_pad_and_stretch_keep_the_whole_image_as_pillow_resizes_it(tmp_path, resize, size):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 10, 3), np.uint8))
    found = decode.decode(saved(tmp_path / "a.png", image), 8, RED, resize)
    expected = np.asarray(image.resize(size, Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(found if resize == "stretch" else found[:, 2:6], expected)
    if resize == "pad":
        np.testing.assert_array_equal(found[:, [0, 1, 6, 7]], np.broadcast_to(RED, (8, 4, 3)))


def test_the_flag_reaches_every_part_and_what_is_labeled_later(animals, own):
    for place in ("labeled_dir/cat", "test_dir/cat", "unlabeled_dir"):
        plain(animals / place / "wide.png", grey(99), (16, 8))
    dataset = data.load(own(resize="pad", background="black"))
    for part in (dataset.labeled, dataset.test, dataset.unlabeled):
        (padded,) = part.images[part.images[:, 4, 4, 0] == 99]
        assert padded[:, 0, 0].tolist() == [0, 0, 99, 99, 99, 99, 0, 0]
    for resize, level in (("pad", 0), ("stretch", 99)):
        given = own(resize=resize, background="black").replace(images=str(animals / "unlabeled_dir/wide.png"))
        ((_, images),) = to_label.ToLabel(given, 8).pieces(9)
        assert images[0, 0, 0, 0] == level


def test_what_is_not_resized_has_no_choice(make_config):
    for name in ("digits_50", "imagenet"):
        with pytest.raises(UsageError) as caught:
            make_config(name, resize="pad", **({"data_dir": "d"} if name == "imagenet" else {}))
        told = f"--resize: pad goes with --dataset=folder, got --dataset={name}; leave it out"
        assert str(caught.value) == told


def test_halving_weighs_pixels_by_a_triangle(tmp_path):
    # Columns 0 0 140 140. A pixel of the answer weighs those around it by 3, 3, 1 over 7: 140 / 7 and 6 * 140 / 7.
    path = saved(tmp_path / "step.png", pixels(np.tile(np.array([0, 0, 140, 140], np.uint8), (4, 1))))
    np.testing.assert_array_equal(decode.decode(path, 2)[..., 0], [[20, 120], [20, 120]])


@pytest.mark.parametrize("ending", ["jpg", "png"])
def test_a_turned_photograph_is_put_upright(tmp_path, ending):
    halves = np.zeros((16, 16), np.uint8)
    halves[:, 8:] = 200  # Right half bright: a quarter turn clockwise puts it at the bottom.
    path = saved(tmp_path / f"a.{ending}", pixels(halves), exif=ROTATED)
    expected = np.repeat([0, 200], 8)[:, None, None] * np.ones((16, 16, 3))
    np.testing.assert_allclose(decode.decode(path, 16), expected, atol=2)


# ---- Files that are no images -------------------------------------------------------------------------------------

NOISE = pixels(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8))


def cut_short(path):
    saved(path, NOISE)
    os.truncate(path, path.stat().st_size // 2)


BROKEN = {
    "cut.jpg": cut_short,
    "cut.png": cut_short,
    "empty.jpg": lambda path: path.write_bytes(b""),
    "text.png": lambda path: path.write_text("not an image"),
    "header_only.png": lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n"),
}


@pytest.mark.parametrize("place", ["labeled_dir/cat", "test_dir/dog", "unlabeled_dir/deep"])
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_ends_the_run_and_is_named(animals, own, name, place):
    path = animals / place / name
    BROKEN[name](path)
    message = refusal(own(), RunError)
    assert message.startswith(f"{path}: expected a readable JPEG, PNG") and "--skip_bad_images" in message


def test_broken_files_are_left_out_on_request_and_counted(animals, own):
    places = ("labeled_dir/cat", "labeled_dir/dog", "test_dir/cat", "unlabeled_dir/deep")
    paths = [animals / place / name for place in places for name in BROKEN]
    for path in paths:
        BROKEN[path.name](path)
    dataset = data.load(own(skip_bad_images=True))
    assert sorted(dataset.skipped) == sorted(str(path) for path in paths)
    assert labeled_levels(dataset.labeled) == [(0, 10), (0, 11), (0, 12), (1, 20), (1, 21)]
    assert labeled_levels(dataset.test) == [(0, 30), (1, 40)]
    assert sorted(levels_of(dataset.unlabeled)) == [50, 60]


def test_nothing_is_left_out_where_all_is_well(animals, own):
    assert data.load(own(skip_bad_images=True)).skipped == ()


@pytest.mark.parametrize(("place", "flag"), [("labeled_dir/dog", "--labeled_dir"), ("test_dir", "--test_dir")])
def test_a_class_or_a_test_set_of_broken_files_alone_ends_the_run(animals, own, place, flag):
    for path in (animals / place).rglob("*.png"):
        path.write_bytes(b"")
    message = refusal(own(skip_bad_images=True), (UsageError, RunError))
    assert message.startswith(f"{flag}:") and ("dog" in message or flag == "--test_dir")


# ---- Folders ------------------------------------------------------------------------------------------------------


def test_classes_are_the_sorted_folders_and_unlabeled_images_lie_at_any_depth(animals, own):
    (animals / "labeled_dir" / ".cache").mkdir()
    (animals / "labeled_dir" / "notes.txt").write_text("no class")
    (animals / "unlabeled_dir" / "notes.txt").write_text("no image")
    dataset = data.load(own())
    assert dataset.class_names == ("cat", "dog")
    assert labeled_levels(dataset.labeled) == [(0, 10), (0, 11), (0, 12), (1, 20), (1, 21)]
    assert labeled_levels(dataset.test) == [(0, 30), (1, 40)]
    assert sorted(levels_of(dataset.unlabeled)) == [50, 60] and dataset.unlabeled.labels is None
    assert dataset.shape == (8, 8, 3) and dataset.skipped == ()
    assert dataset.mean == (0.485, 0.456, 0.406) and dataset.std == (0.229, 0.224, 0.225)
    assert dataset.fill == 128


def test_a_class_may_be_missing_from_the_test(animals, own):
    (animals / "test_dir" / "cat" / "30.png").unlink()
    (animals / "test_dir" / "cat").rmdir()
    dataset = data.load(own())
    assert labeled_levels(dataset.test) == [(1, 40)] and dataset.class_names == ("cat", "dog")


@pytest.mark.parametrize("flip", [True, False])
def test_whether_a_mirrored_image_keeps_its_class_is_the_users_word(animals, own, flip):
    assert data.load(own(flip=flip)).flip is flip


def test_supervised_training_needs_no_unlabeled_folder(animals, own):
    config = own(method="supervised", unlabeled_dir="")
    assert data.load(config).unlabeled is None


@pytest.mark.parametrize("unlabeled_dir", ["", "unlabeled_dir"])
def test_the_labeled_images_alone_serve_as_unlabeled_ones(animals, own, unlabeled_dir):
    BROKEN["text.png"](animals / "unlabeled_dir" / "text.png")  # So reading that folder would end the run.
    found = {"unlabeled_dir": animals / unlabeled_dir if unlabeled_dir else ""}
    dataset = data.load(own(method="mpl", unlabeled_source="labeled", num_labels=4, **found))
    assert len(dataset.unlabeled) == 4 and dataset.unlabeled.labels is None
    assert levels_of(dataset.unlabeled) == levels_of(dataset.labeled)


def test_an_empty_class_is_named(animals, own):
    (animals / "labeled_dir" / "emu").mkdir()
    message = refusal(own())
    assert message.startswith("--labeled_dir:") and message.endswith("labeled_dir/emu")


def test_all_empty_classes_are_named_at_once(animals, own):
    for name in ("emu", "fox"):
        (animals / "labeled_dir" / name).mkdir()
    (animals / "labeled_dir" / "fox" / "notes.txt").write_text("no image")
    message = refusal(own())
    assert f"labeled_dir/emu, {animals / 'labeled_dir' / 'fox'}; passed over what is no image: 1 .txt" in message


def test_all_test_classes_that_are_not_trained_are_named_at_once(animals, own):
    for name in ("fox", "emu"):
        plain(animals / "test_dir" / name / "1.png")
    assert refusal(own()).startswith("--test_dir: class emu, fox have no folder in --labeled_dir ")


def test_what_is_passed_over_is_told_of_each_folder(animals, own):
    for name in ("labeled_dir/cat/a.xml", "labeled_dir/b.jpg", "test_dir/dog/c.heic", "unlabeled_dir/deep/.d.png"):
        (animals / name).write_bytes(b"x")
    notes = data.load(own()).notes
    assert [line for line in notes if "passed over" in line] == [
        "--labeled_dir: passed over what is no image: 1 .xml, 1 images in no class folder",
        "--test_dir: passed over what is no image: 1 .heic",
        "--unlabeled_dir: passed over what is no image: 1 hidden",
    ]


def test_a_test_class_that_is_not_trained_is_named(animals, own):
    plain(animals / "test_dir" / "emu" / "1.png")
    message = refusal(own())
    assert message.startswith("--test_dir: class emu") and str(animals / "labeled_dir") in message


@pytest.mark.parametrize("flag", ["labeled_dir", "test_dir", "unlabeled_dir"])
def test_a_folder_without_images_is_named(animals, own, flag):
    (animals / "nothing").mkdir()
    message = refusal(own(**{flag: animals / "nothing"}))
    assert message.startswith(f"--{flag}:") and str(animals / "nothing") in message


def loaded(config, most):
    """The data set where images may take so many bytes of memory."""
    return folder.load(DATASETS["folder"], config, most)


def test_the_smallest_parts_are_in_memory_as_long_as_they_fit(animals, own):
    """Five labeled, two test and two unlabeled images of 192 bytes each."""
    for images, streamed in ((9, []), (8, ["labeled"]), (4, ["labeled"]), (3, ["labeled", "unlabeled"])):
        dataset = loaded(own(), images * 8 * 8 * 3)
        parts = {"labeled": dataset.labeled, "test": dataset.test, "unlabeled": dataset.unlabeled}
        found = [name for name, part in parts.items() if isinstance(part, OwnImages)]
        assert found == streamed
        told = [line for line in dataset.notes if "while the run goes on" in line]
        assert [line.split()[0] for line in told] == streamed
        assert any(
            line.startswith("images in memory: 0.0 MiB of the 0.0 MiB, 25% of it, that they may take")
            for line in dataset.notes
        )
        assert dataset.class_prior == [0.6, 0.4] and dataset.labeled.labels.tolist() == [0, 0, 0, 1, 1]
    assert told[0] == (
        "labeled images are read from their files while the run goes on: 5 of 8 x 8 pixels would take 0.0 MiB"
    )


def test_a_quarter_of_the_memory_is_for_images(animals, own, monkeypatch):
    monkeypatch.setattr(memory, "total", lambda: 4 * 9 * 192)
    assert isinstance(data.load(own()).labeled, Source)
    monkeypatch.setattr(memory, "total", lambda: 4 * 9 * 192 - 1)
    assert isinstance(data.load(own()).labeled, OwnImages)


# ---- Number of labels ---------------------------------------------------------------------------------------------


def test_labeled_images_beyond_the_number_of_labels_join_the_unlabeled(animals, own):
    every = {(0, 10), (0, 11), (0, 12), (1, 20), (1, 21)}
    dataset = data.load(own(num_labels=2))
    kept = set(labeled_levels(dataset.labeled))
    assert sorted(dataset.labeled.labels.tolist()) == [0, 1] and kept < every
    assert sorted(levels_of(dataset.unlabeled)) == sorted([50, 60, *(level for _, level in every - kept)])


def test_they_do_so_without_an_unlabeled_folder_too(animals, own):
    dataset = data.load(own(num_labels=4, method="supervised", unlabeled_dir=""))
    assert np.bincount(dataset.labeled.labels).tolist() == [2, 2]
    assert len(dataset.unlabeled) == 1 and levels_of(dataset.unlabeled)[0] in (10, 11, 12)


@pytest.mark.parametrize("most", [0, 10**9])
def test_a_class_with_fewer_images_than_its_share_gives_all(animals, own, most):
    dataset = loaded(own(num_labels=6), most)
    assert np.bincount(dataset.labeled.labels).tolist() == [3, 2] and len(dataset.unlabeled) == 2
    assert "--num_labels: 3 of each class are asked for, dog has 2: 5 labels in all" in dataset.notes
    assert not any("--num_labels" in line for line in loaded(own(num_labels=4), most).notes)
    assert refusal(own(num_labels=5)).startswith("--num_labels: expected a positive multiple of the 2 classes, got 5")


@pytest.mark.parametrize("most", [0, 4 * 192, 10**9])
def test_one_folder_of_classes_is_enough(animals, own, most):
    """Of --labeled_dir --num_labels are labeled, the others unlabeled, the same in memory and not."""
    expected = data.load(own(num_labels=4))
    dataset = loaded(own(num_labels=4, method="mpl", unlabeled_dir=""), most)
    (labeled,), (unlabeled,) = dataset.labeled.pieces(9), dataset.unlabeled.pieces(9)
    assert labeled[1].tolist() == [0, 0, 1, 1] and unlabeled[1] is None
    np.testing.assert_array_equal(labeled[0], expected.labeled.images)
    np.testing.assert_array_equal(unlabeled[0], expected.unlabeled.images[2:])
    assert isinstance(dataset.unlabeled, OwnImages) == (most == 0)
