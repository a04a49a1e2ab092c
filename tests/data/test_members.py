"""Training on images inside tar, WebDataset, zip and Parquet files: the batches of the same images as files.

Covers: parquet.py, labels_inside.py
"""

import io
import json
import tarfile
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mpl_tf import main
from mpl_tf.base import storage
from mpl_tf.base.errors import RunError, UsageError
from mpl_tf.base.storage import scratch
from mpl_tf.data import Source, fingerprint, folder, labels_inside, listing, members, parquet
from mpl_tf.data.file_kinds import CLASSLESS, PassedOver
from mpl_tf.data.own_images import OwnImages
from mpl_tf.settings.catalogue import DATASETS
from tests.data.test_own_images import encoded, picture
from tests.data.test_pipeline import NO_CHANGE, batches

KEYS = ("x_l", "y_l", "i_l", "x_u_weak", "i_u")
PARTS = {"labeled_dir": 7, "test_dir": 3, "unlabeled_dir": 5}
CLASSES = ("cat", "dog")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def content(part):
    """dict of CLASS/NAME to (encoded image, class) of a part."""
    first = 10 * list(PARTS).index(part)
    names = [f"{CLASSES[number % 2]}/{number}.{'jpg' if number % 3 else 'png'}" for number in range(PARTS[part])]
    data = {name: encoded(picture(first + n), "JPEG" if n % 3 else "PNG") for n, name in enumerate(names)}
    return {name: (data[name], name.partition("/")[0]) for name in sorted(names)}


def tar(path, images, mode="w", classes=False, above=""):
    with tarfile.open(path, mode) as file:
        for name, (data, label) in images.items():
            stem = name.replace("/", "_").partition(".")[0]
            inside = f"{stem}.{name[-3:]}" if classes else above + name
            for one, bytes_ in [(inside, data), (f"{stem}.cls", f"{label}\n".encode())][: 1 + classes]:
                member = tarfile.TarInfo(one)
                member.size = len(bytes_)
                file.addfile(member, io.BytesIO(bytes_))


def zipped(path, images, classes=False):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for number, (name, (data, label)) in enumerate(images.items()):
            file.writestr(f"{number}.{name[-3:]}" if classes else name, data)
            if classes:
                file.writestr(f"{number}.cls", label)


def table(path, images, named=True):
    rows = [{"bytes": data, "path": name} for name, (data, _) in images.items()]
    labels = [label for _, label in images.values()]
    found = pa.table({"picture": rows, "label": [CLASSES.index(label) for label in labels] if named else labels})
    about = {"info": {"features": {"label": {"_type": "ClassLabel", "names": CLASSES}}}}
    found = found.replace_schema_metadata({"huggingface": json.dumps(about)}) if named else found
    pq.write_table(found, path, row_group_size=2)


KINDS = {
    "tar": (tar, "x.tar"),
    "deep": (lambda path, images: tar(path, images, above="data/all/"), "x.tar"),
    "gz": (lambda path, images: tar(path, images, "w:gz"), "x.tgz"),
    "webdataset": (lambda path, images: tar(path, images, classes=True), "x.tar"),
    "webdataset.gz": (lambda path, images: tar(path, images, "w:gz", classes=True), "x.tar.gz"),
    "zip": (zipped, "x.zip"),
    "zip.cls": (lambda path, images: zipped(path, images, classes=True), "x.ZIP"),
    "parquet": (table, "x.parquet"),
    "texts": (lambda path, images: table(path, images, named=False), "x.parquet"),
}


def write(root, kind):
    """dict of the flags of each part to its place: a folder, or a file that holds many images."""
    places = {part: root / kind / part for part in PARTS}
    for part, place in places.items():
        place.mkdir(parents=True)
        if kind != "files":
            make, name = KINDS[kind]
            make(place / name, content(part))
            continue
        for name, (data, _) in content(part).items():
            (place / name).parent.mkdir(exist_ok=True)
            (place / name).write_bytes(data)
    if kind in ("zip", "parquet"):  # The file itself is named.
        places |= {part: places[part] / KINDS[kind][1] for part in ("labeled_dir", "test_dir")}
    return places


@pytest.fixture
def loaded(tmp_path, make_config):
    """A function that loads what was written in a form: loaded(kind, most bytes in memory, flags)."""
    written = {}

    def load(kind, most, **values):
        places = written.setdefault(kind, None) or write(tmp_path, kind)
        written[kind] = places
        about = {"image_size": 8, "labeled_batch": 2, "finetune_batch": 2, "mu": 2, "resize": "pad"}
        config = make_config("folder", **about | places | values)
        return folder.load(DATASETS["folder"], config, most), config

    return load


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_says_the_classes_and_gives_the_bytes(tmp_path, kind):
    places = write(tmp_path, kind)
    for part, known in (("labeled_dir", ()), ("test_dir", CLASSES)):
        found, classes, _ = labels_inside.labeled(places[part], f"--{part}", known)
        images = content(part).values()
        assert [(member.read(), label) for member, label in zip(found, classes, strict=True)] == list(images)
        assert [member.length for member in found] == [len(data) for data, _ in images]


NAMED = {"info": {"features": {"label": {"names": ["cat", "dog"]}}}}


@pytest.mark.parametrize(
    ("labels", "about", "expected"),
    [
        ([0, 1, None, -1], None, ["0", "1", None, None]),
        ([0.0, 1.0, np.nan, 0.5], None, ["0", "1", None, None]),  # As pandas writes numbers of which some are missing.
        ([1.0, 0.0, np.nan, 2.0], NAMED, ["dog", "cat", None, None]),
        ([-1, 2, 1, 0], NAMED, [None, None, "dog", "cat"]),
        ([b"cat", b"dog", b"", None], None, ["cat", "dog", None, None]),
        (["cat", "dog", "", None], NAMED, ["cat", "dog", None, None]),
        ([[0], [1], [], None], None, [None] * 4),
        ([{"a": 1}] * 4, None, [None] * 4),
        ([3, 4, 5, 6], "{not json", ["3", "4", "5", "6"]),
        ([3, 4, 5, 6], [1], ["3", "4", "5", "6"]),
        ([3, 4, 5, 6], {"info": None}, ["3", "4", "5", "6"]),
        ([3, 4, 5, 6], {"info": {"features": {"label": {"dtype": "int64", "_type": "Value"}}}}, ["3", "4", "5", "6"]),
    ],
)
def test_labels_of_a_table_are_whole_numbers_and_texts(tmp_path, labels, about, expected):
    found = pa.table({"image": [b"1"] * 4, "label": pa.array(labels)})
    if about is not None:
        found = found.replace_schema_metadata({"huggingface": about if isinstance(about, str) else json.dumps(about)})
    pq.write_table(found, tmp_path / "x.parquet")
    assert parquet.labels(tmp_path / "x.parquet") == expected


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_an_empty_class_is_none(tmp_path, mode):
    tar(tmp_path / "x.tar", {"a.png": (b"1", ""), "b.png": (b"2", "dog")}, mode, classes=True)
    _, classes = members.inside([tmp_path / "x.tar"], "--labeled_dir", PassedOver())
    assert classes == [None, "dog"]


OFTEN = ("tar", "webdataset.gz", "zip", "parquet")


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=[pytest.mark.slow] * (kind not in OFTEN)) for kind in KINDS])
def test_batches_are_those_of_the_same_images_as_files(loaded, kind):
    expected, config = loaded("files", 10**9, **NO_CHANGE)
    whole = batches(expected, config, KEYS, batch=2, steps=7)
    for most in (10**9, 0):
        dataset, _ = loaded(kind, most)
        assert dataset.class_names == CLASSES
        for part in ("labeled", "unlabeled", "test"):
            found, other = getattr(dataset, part), getattr(expected, part)
            assert isinstance(found, OwnImages if not most else Source)
            ((images, labels),) = found.pieces(100)
            np.testing.assert_array_equal(images, other.images)
            np.testing.assert_array_equal(labels, other.labels) if other.labels is not None else None
        for start in (0, 4):
            found = batches(dataset, config, KEYS, batch=2, start=start, steps=7)
            for one, same in zip(found, whole[-len(found) :], strict=True):
                for key in KEYS:
                    np.testing.assert_array_equal(one[key], same[key], err_msg=key)


@pytest.mark.parametrize("kind", OFTEN)
def test_in_a_bucket_they_are_those_of_the_disk_and_a_move_changes_no_fingerprint(loaded, bucket, kind):
    here, config = loaded(kind, 0)
    places = {}
    for part in PARTS:
        given = storage.path(getattr(config, part))
        (file,) = [given] if given.is_file() else given.iterdir()
        places[part] = f"{bucket}/{part}/{file.name}"
        storage.put(file, places[part])
    there, _ = loaded(kind, 0, **places)
    for part in ("labeled", "unlabeled", "test"):
        ours, theirs = (getattr(dataset, part) for dataset in (here, there))
        ((images, _),), ((others, _),) = ours.pieces(100), theirs.pieces(100)
        np.testing.assert_array_equal(images, others)
        assert ours.fingerprint() == theirs.fingerprint()
    assert fingerprint.of(here) == fingerprint.of(there)


def test_what_has_no_places_is_unpacked_once_and_anew_when_it_changes(tmp_path, monkeypatch):
    path, through, rows = tmp_path / "x.parquet", [], parquet.rows
    monkeypatch.setattr(parquet, "rows", lambda *given: through.append(1) or rows(*given))
    table(path, content("labeled_dir"))
    for _ in range(2):
        found, classes = members.inside([path], "--labeled_dir", PassedOver())
        assert [member.read() for member in found] == [data for data, _ in content("labeled_dir").values()]
    assert len(through) == 1 and classes == [label for _, label in content("labeled_dir").values()]
    assert str(found[2]) == f"{path}#2" and found.relative(2) == b"x.parquet#2"
    table(path, content("unlabeled_dir"))
    found, _ = members.inside([path], "--labeled_dir", PassedOver())
    assert len(through) == 2 and len(found) == PARTS["unlabeled_dir"]
    # Plain tar and zip files are read where they are; of large ones the list is kept.
    tar(tmp_path / "y.tar", content("test_dir"))
    (member, *_), _ = members.inside([tmp_path / "y.tar"], "--test_dir", PassedOver())
    assert member.path == str(tmp_path / "y.tar") and len(list((scratch.kept() / "made").iterdir())) == 2
    monkeypatch.setattr(members, "LISTED", 1)
    for _ in range(2):
        (again, *_), _ = members.inside([tmp_path / "y.tar"], "--test_dir", PassedOver())
        assert again == member and len(list((scratch.kept() / "made").iterdir())) == 3
        monkeypatch.setattr(members, "_plain", None)


def test_several_files_of_a_folder_and_images_beside_them(tmp_path, loaded, make_config):
    place = tmp_path / "many"
    place.mkdir()
    images = list(content("labeled_dir").items())
    tar(place / "a-0.tar", dict(images[:4]), above="train/")
    tar(place / "a-1.tar", dict(images[4:]), above="train/")
    found, classes, passed = labels_inside.labeled(place, "--labeled_dir")
    assert classes == [label for _, (_, label) in images] and labels_inside.names(classes) == CLASSES
    assert [str(one) for one in found][3:5] == [
        f"{place}/a-0.tar/train/{images[3][0]}",
        f"{place}/a-1.tar/train/{images[4][0]}",
    ]
    picture(50).save(place / "z.png")
    assert passed == {} and labels_inside.labeled(place, "--labeled_dir")[2] == {CLASSLESS: 1}
    (place / "deep").mkdir()
    zipped(place / "deep" / "b.zip", content("test_dir"))
    dataset, _ = loaded("files", 0, unlabeled_dir=place)
    names = [str(source) for source in dataset.unlabeled.sources()]
    assert len(names) == 1 + 7 + 3 and names[0] == f"{place}/z.png" and names[-1].startswith(f"{place}/deep/b.zip/")
    assert labels_inside.names(["10", "9"]) == ("9", "10") and labels_inside.names(["a", "9"]) == ("9", "a")
    assert labels_inside.names(["10", "1", "01"]) == ("01", "1", "10")


@pytest.mark.parametrize(
    ("part", "write_it", "error", "told"),
    [
        (
            "labeled_dir",
            lambda p: tar(p / "x.tar", dict(list(content("labeled_dir").items())[:4]), classes=True),
            UsageError,
            "expected a folder for each of two classes or more in",
        ),
        ("labeled_dir", lambda p: tar(p / "x.tar", {"a.png": (b"1", ""), "b.png": (b"2", "")}), UsageError, "no class"),
        (
            "labeled_dir",
            lambda p: tar(p / "x.tar", {"in/cat/a.png": (b"1", ""), "in/cat/b.png": (b"2", "")}),
            UsageError,
            "--labeled_dir: expected a folder for each of two classes or more in {}, all images lie in in/cat",
        ),
        ("labeled_dir", lambda p: tar(p / "x.tar", {}), UsageError, "--labeled_dir: expected images, found none in"),
        ("labeled_dir", lambda p: (p / "x.tar").write_bytes(b"x" * 2000), RunError, "x.tar: expected a tar file that"),
        ("labeled_dir", lambda p: (p / "x.parquet").write_bytes(b"x" * 2000), RunError, "expected a Parquet file that"),
        ("test_dir", lambda p: tar(p / "x.tar", {"bird/a.png": (b"1", "")}), UsageError, "class bird has no folder in"),
        ("unlabeled_dir", lambda p: pq.write_table(pa.table({"a": [1]}), p / "x.parquet"), UsageError, "1 .parquet"),
        (
            "unlabeled_dir",
            lambda p: pq.write_table(pa.table({n: [{"bytes": b"1"}] for n in "ab"}), p / "x.parquet"),
            UsageError,
            "--unlabeled_dir: {}/x.parquet has images in the columns a, b; leave one of them",
        ),
        ("unlabeled_dir", lambda p: tar(p / "x.tgz", {"a.png": (b"1", "")}, "w:gz"), RunError, "x.tgz/a.png: expected"),
    ],
)
def test_what_cannot_be_trained_on_is_one_line(loaded, tmp_path, part, write_it, error, told):
    (tmp_path / "odd").mkdir()
    write_it(tmp_path / "odd")
    with pytest.raises(error) as raised:
        loaded("files", 10**9, **{part: tmp_path / "odd"})
    assert told.format(tmp_path / "odd") in str(raised.value) and "\n" not in str(raised.value)


def test_without_pyarrow_it_is_told_what_brings_it_and_folders_of_other_images_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "there", lambda: False)
    for part in ("labeled_dir", "unlabeled_dir"):
        (tmp_path / part).mkdir()
        table(tmp_path / part / "x.parquet", content("test_dir"))
    wanted = r"Parquet files need the package pyarrow.*pip install 'mpl-tf\[parquet\]'"
    with pytest.raises(UsageError, match=wanted):
        labels_inside.labeled(tmp_path / "labeled_dir", "--labeled_dir")
    with pytest.raises(UsageError, match=wanted):
        listing.find(tmp_path / "unlabeled_dir", "--unlabeled_dir", holders=True)
    picture(1).save(tmp_path / "unlabeled_dir" / "a.png")
    found = listing.find(tmp_path / "unlabeled_dir", "--unlabeled_dir", holders=True)
    assert (len(found.images), found.holders, found.passed) == (1, [], {".parquet": 1})


def test_tables_of_the_filter_are_no_images(tmp_path):
    for name in ("kept.parquet", "scores/scores-00012.parquet", "train-00000.parquet", "a.tar"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = listing.find(tmp_path, "--unlabeled_dir", holders=True)
    assert [path.name for path in found.holders] == ["a.tar", "train-00000.parquet"] and found.passed == {".parquet": 2}


def test_no_room_to_unpack_is_told(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    table(tmp_path / "x.parquet", content("test_dir"))
    monkeypatch.setattr(members.np, "save", full)
    with pytest.raises(UsageError, match="--test_dir: expected .*x.parquet in a form.*No space left.*; make room in"):
        members.inside([tmp_path / "x.parquet"], "--test_dir", PassedOver())
    assert not [path for path in scratch.kept().rglob("*") if path.name not in (".held", "made") and path.is_file()]


@pytest.mark.slow
def test_a_run_from_such_files_ends_with_the_weights_of_one_from_folders(tmp_path):
    weights = {}
    flags = "--dataset=folder --method=uda --model=small_cnn --image_size=8 --labeled_batch=2 --mu=1 --train_steps=4"
    flags += " --steps_per_epoch=2 --finetune_steps=0 --noreport"
    for kind in ("files", "webdataset"):
        given = [f"--{part}={place}" for part, place in write(tmp_path, kind).items()]
        assert main.main([*flags.split(), *given, f"--workdir={tmp_path}/run-{kind}"]) == 0
        from mpl_tf.models import saved

        weights[kind] = saved.load(tmp_path / f"run-{kind}" / "student.keras").get_weights()
    for one, other in zip(*weights.values(), strict=True):
        np.testing.assert_array_equal(one, other)
