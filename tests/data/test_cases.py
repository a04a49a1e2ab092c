"""Small inputs that once went wrong in silence: each comes out right, or is told.

They are made here, as ../shared/cases has them; where that folder is there its files are read too.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from mpl_tf import data
from mpl_tf.base.errors import UsageError
from mpl_tf.data import decode, listing

SHARED = Path(__file__).resolve().parents[3] / "shared" / "cases"
SIDE = (40, 28)
CLASSES = ("cat", "dog", "emu")


def photograph(number):
    """An image like no other: soft colours."""
    random = np.random.default_rng(number)
    return Image.fromarray(random.integers(0, 256, (3, 4, 3), np.uint8)).resize(SIDE, Image.Resampling.BICUBIC)


def put(path, image, **how):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **how)


def own_base(root):
    for label, name in enumerate(CLASSES):
        for number in range(6):
            put(root / "labeled" / name / f"i{number:03d}.jpg", photograph(10 * label + number))
        for number in range(5):
            put(root / "test" / name / f"i{100 + number}.jpg", photograph(100 + 10 * label + number))
    for number in range(30):
        put(root / "more" / f"u{number:03d}.jpg", photograph(200 + number))


def own_webp(root):
    own_base(root)
    for number in range(3):
        (root / "labeled" / "emu" / f"i{number:03d}.jpg").unlink()
        put(root / "labeled" / "emu" / f"w{number}.webp", photograph(300 + number))
    for number in range(20):
        (root / "more" / f"u{number:03d}.jpg").unlink()
        put(root / "more" / f"u{number:03d}.webp", photograph(400 + number))


def own_symlink(root):
    """Links by relative paths, to a data set beside it."""
    own_base(root.parent / "base")
    (root / "labeled").mkdir(parents=True)
    for name in CLASSES:
        (root / "labeled" / name).symlink_to(f"../../base/labeled/{name}")
    put(root / "more" / "a.jpg", photograph(500))
    (root / "more" / "part1").symlink_to("../../base/more")


def own_hidden(root):
    own_base(root)
    for number in range(3):
        put(root / "labeled/cat/.ipynb_checkpoints" / f"i{number:03d}-checkpoint.jpg", photograph(10 + number))


def own_macos(root):
    own_base(root)
    (root / "labeled/cat/._i000.jpg").write_bytes(b"\0\x05\x16\x07\0\x02\0\0Mac OS X        " + bytes(90))


def own_transparent(root):
    for name in ("cross", "circle"):
        picture = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
        pen = ImageDraw.Draw(picture)
        if name == "cross":
            pen.line([(8, 8), (56, 56)], fill="black", width=5)
        else:
            pen.ellipse([(8, 8), (56, 56)], outline="black", width=5)
        put(root / f"{name}.png", picture)
        put(root / f"{name}_pal.png", picture.quantize(4))


def own_modes(root):
    grey = np.asarray(photograph(1).convert("L"), np.uint16)
    clear = photograph(2).convert("RGBA")
    clear.putalpha(0)
    turned = Image.Exif()
    turned[decode.ORIENTATION] = 6
    put(root / "labeled/cat/clear.png", clear)
    put(root / "labeled/cat/turned.jpg", photograph(3), exif=turned)
    put(root / "labeled/dog/cmyk.jpg", photograph(4).convert("CMYK"))
    put(root / "labeled/dog/grey.jpg", photograph(5).convert("L"))
    put(root / "labeled/dog/sixteen_bit.png", Image.fromarray(grey * 257))
    put(root / "labeled/dog/twelve_bit.png", Image.fromarray(grey * 16))
    put(root / "labeled/emu/line.png", photograph(6).resize((600, 1)))
    put(root / "labeled/emu/one_bit.png", photograph(7).convert("1"))
    put(root / "labeled/emu/pal.png", photograph(8).quantize(64))


NAMES = ("Größe ß", "кот 🐈", "猫")


def own_unicode(root):
    for label, name in enumerate(NAMES):
        for number in range(4):
            put(root / "labeled" / name / f"i{number}.jpg", photograph(10 * label + number))
        for number in range(2):
            put(root / "test" / name / f"i{number}.jpg", photograph(100 + 10 * label + number))


def own_oneclass(root):
    for number in range(8):
        put(root / "labeled/ok" / f"i{number}.jpg", photograph(number))
    for number in range(4):
        put(root / "test/ok" / f"i{number}.jpg", photograph(100 + number))


MAKERS = {name.removeprefix("own_"): maker for name, maker in list(globals().items()) if name.startswith("own_")}


def linked(source, root):
    """A copy of a folder in which text files that name a place, as some transfers leave links, are links again."""
    shutil.copytree(source, root, symlinks=True)
    for path in root.rglob("*"):
        if path.is_file() and path.stat().st_size < 100 and path.read_bytes().startswith(b"../"):
            target = path.read_text()
            path.unlink()
            path.symlink_to(target)


@pytest.fixture(params=["own", "shared"])
def case(request, tmp_path):
    """A function of a case's name that returns its folder, made here or read from ../shared/cases."""

    def get(name):
        if request.param == "own":
            MAKERS[name](tmp_path / name)
            return tmp_path / name
        if not SHARED.is_dir():
            pytest.skip("../shared/cases is not here")
        for needed in {name, "base"} if name == "symlink" else {name}:
            linked(SHARED / needed, tmp_path / needed)
        return tmp_path / name

    return get


def load(make_config, root, base=None, **values):
    """The data set of a case's folders; those that it lacks are those of `base`."""
    found = {}
    for flag, name in {"labeled_dir": "labeled", "unlabeled_dir": "more", "test_dir": "test"}.items():
        place = next((part / name for part in (root, base) if part and (part / name).is_dir()), None)
        found |= {flag: place} if place else {}
    if "unlabeled_dir" not in found:
        found["method"] = "supervised"
    return data.load(make_config("folder", image_size=16, labeled_batch=3, finetune_batch=3, **found | values))


def counts(dataset):
    return np.bincount(dataset.labeled.labels).tolist(), len(dataset.unlabeled or ()), len(dataset.test)


def told(dataset, part):
    return [line for line in dataset.notes if part in line]


def test_base_is_the_control(case, make_config):
    dataset = load(make_config, case("base"))
    assert counts(dataset) == ([6, 6, 6], 30, 15)
    size, counted = dataset.notes
    assert counted == "3 classes, labeled + test examples of each: cat 6 + 5, dog 6 + 5, emu 6 + 5"
    assert size.startswith("images in memory: ")


def test_webp_is_read(case, make_config, tmp_path):
    own_base(tmp_path / "control")
    dataset = load(make_config, case("webp"), tmp_path / "control")
    assert counts(dataset)[:2] == ([6, 6, 6], 30) and not told(dataset, "passed over")


def test_links_are_followed(case, make_config, tmp_path):
    root = case("symlink")
    dataset = load(make_config, root, tmp_path / "base")
    assert counts(dataset) == ([6, 6, 6], 31, 15) and not told(dataset, "passed over")


def test_hidden_folders_belong_to_no_class(case, make_config, tmp_path):
    own_base(tmp_path / "control")
    dataset = load(make_config, case("hidden"), tmp_path / "control")
    assert counts(dataset)[0] == [6, 6, 6]
    assert told(dataset, "passed over") == ["--labeled_dir: passed over what is no image: 1 hidden"]


def test_resource_forks_are_passed_over(case, make_config, tmp_path):
    own_base(tmp_path / "control")
    dataset = load(make_config, case("macos"), tmp_path / "control")
    assert counts(dataset)[0] == [6, 6, 6] and dataset.skipped == ()
    (line,) = told(dataset, "passed over")
    assert line.startswith("--labeled_dir: passed over what is no image: ") and line.endswith(" hidden")


def test_lines_on_a_clear_ground_are_seen(case):
    root = case("transparent")
    found = listing.find(root, "--images").images
    assert [path.name for path in found] == ["circle.png", "circle_pal.png", "cross.png", "cross_pal.png"]
    for path in found:
        white, black = decode.decode(path, 64), decode.decode(path, 64, (0, 0, 0))
        assert white.min() == 0 and white.max() == 255 and (white == 255).mean() > 0.5
        assert not black.any()  # The flag: black lines on black.
    drawn = [decode.decode(path, 64) for path in found]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    np.testing.assert_array_equal(drawn[2], drawn[3])


def values(path):
    with Image.open(path) as image:
        return np.asarray(image)


def test_every_mode_comes_out_right(case):
    found = {path.name: path for path in listing.find(case("modes"), "--images").images}
    pixels = {name: decode.whole(path.read_bytes()) for name, path in found.items()}
    # What is clear is white.
    stored = values(found["clear.png"]).astype(float)
    laid = 255 - (255 - stored[..., :3]) * stored[..., 3:] / 255
    np.testing.assert_allclose(pixels["clear.png"], laid, atol=0.51)
    # 12 bits are as bright as 16.
    for name, lower in (("sixteen_bit.png", 8), ("twelve_bit.png", 4)):
        np.testing.assert_array_equal(pixels[name][..., 0], values(found[name]) >> lower)
        assert 60 < pixels[name].mean() < 200
    # CMYK as Pillow has it: the files are Adobe's.
    cmyk = values(found["cmyk.jpg"]).astype(float)
    np.testing.assert_allclose(pixels["cmyk.jpg"], (255 - cmyk[..., :3]) * (255 - cmyk[..., 3:]) / 255, atol=1)
    np.testing.assert_array_equal(pixels["grey.jpg"], np.stack([values(found["grey.jpg"])] * 3, axis=-1))
    np.testing.assert_array_equal(pixels["one_bit.png"][..., 1], values(found["one_bit.png"]) * 255)
    np.testing.assert_array_equal(pixels["turned.jpg"], np.rot90(values(found["turned.jpg"]), -1))
    assert pixels["line.png"].shape == (1, 600, 3) and len(np.unique(pixels["pal.png"].reshape(-1, 3), axis=0)) > 10


def test_conversions_are_told(case):
    found = listing.find(case("modes"), "--images").images
    decoded = decode.decode_files(found, 28, False)
    assert len(found) == 9 and decoded.good.all() and (decoded.images[1:].std(axis=(1, 2, 3)) > 5).all()
    (line,) = decoded.notes
    for part in (
        "1 wholly transparent",
        "1 CMYK",
        "1 of 16 bits, cut to the upper 8",
        "1 of 16 bits with no more than 12 in use",
    ):
        assert part in line


def test_names_of_every_script_are_classes(case, make_config):
    dataset = load(make_config, case("unicode"))
    assert dataset.class_names == tuple(sorted(NAMES)) and counts(dataset) == ([4, 4, 4], 0, 6)
    assert told(dataset, "猫 4 + 2") and told(dataset, "кот 🐈 4 + 2")


def test_a_single_class_is_refused(case, make_config):
    with pytest.raises(UsageError, match="^--labeled_dir: expected a folder for each of two classes or more"):
        load(make_config, case("oneclass"))
