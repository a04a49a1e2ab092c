"""Labels by a CSV file: its form, what is unlabeled, and rows that fit no image.

Covers: own_parts.py
"""

import pytest
from PIL import Image

from mpl_tf import data
from mpl_tf.base.errors import UsageError
from mpl_tf.data import folder, labels_csv
from mpl_tf.settings.catalogue import DATASETS


@pytest.fixture
def photos(tmp_path):
    """Images of level 1 to 6 in `all`, two test images of each class in `all/test`, an unlabeled one elsewhere."""
    places = {f"all/{name}": level for level, name in enumerate(("a.png", "b.png", "deep/c.png", "deep/d.png"), 1)}
    places |= {"all/deep/er/\udce9,\n.png": 5, "all/deep/er/f.png": 6, "all/test/cat/x.png": 7, "all/test/dog/y.png": 8}
    places |= {"more/z.png": 9}
    for name, level in places.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "wb") as file:
            Image.new("RGB", (8, 8), (level,) * 3).save(file, "PNG")
    (tmp_path / "all" / "notes.txt").write_text("no image")
    return tmp_path


def config(photos, make_config, text, encoding="utf-8", **values):
    (photos / "labels.csv").write_text(text, encoding, "surrogateescape")
    about = {"labeled_dir": photos / "all", "test_dir": photos / "all/test", "labels": photos / "labels.csv"}
    return make_config("folder", image_size=8, labeled_batch=1, finetune_batch=1, **about | values)


def levels(source):
    ((images, labels),) = source.pieces(100)
    return (
        images[:, 0, 0, 0].tolist() if labels is None else list(zip(labels.tolist(), images[:, 0, 0, 0], strict=True))
    )


GOOD = 'path,class\nb.png,dog\ndeep/er/f.png,cat\n"deep/er/\udce9,\n.png",dog\na.png,cat\n'


@pytest.mark.parametrize("most", [0, 10**9])
def test_the_named_images_are_labeled_and_the_rest_of_the_folder_is_not(photos, make_config, most):
    """But for the test images, which lie in it."""
    dataset = folder.load(DATASETS["folder"], config(photos, make_config, GOOD), most)
    assert dataset.class_names == ("cat", "dog")
    assert levels(dataset.labeled) == [(0, 1), (1, 2), (0, 6), (1, 5)] and levels(dataset.unlabeled) == [3, 4]
    assert levels(dataset.test) == [(0, 7), (1, 8)]
    assert "--labeled_dir: 2 images in folders to be scored on are not learned from" in dataset.notes
    assert "--labeled_dir: passed over what is no image: 1 .txt" in dataset.notes
    both = config(photos, make_config, GOOD, unlabeled_dir=photos / "more")
    assert levels(folder.load(DATASETS["folder"], both, most).unlabeled) == [9, 3, 4]


def test_it_goes_with_a_number_of_labels_and_with_methods_that_need_no_unlabeled_images(photos, make_config):
    dataset = data.load(config(photos, make_config, GOOD, num_labels=2))
    assert sorted(dataset.labeled.labels) == [0, 1]
    assert len(dataset.unlabeled) == 4 and levels(dataset.unlabeled)[:2] == [3, 4]
    assert data.load(config(photos, make_config, GOOD, method="supervised")).unlabeled is None
    same = data.load(config(photos, make_config, GOOD, unlabeled_source="labeled"))
    assert levels(same.unlabeled) == [1, 2, 6, 5]


def test_forms_of_the_file(photos, make_config):
    """A mark of Windows at its head, columns in another order and others beside them, absolute paths, spaces, a row
    that comes twice."""
    absolute = photos / "all" / "a.png"
    text = f"\ufeffclass,seen by,path\r\ncat,me,{absolute}\r\n dog ,you,./deep/../b.png \r\ncat,,{absolute}\r\n"
    dataset = data.load(config(photos, make_config, text))
    assert levels(dataset.labeled) == [(0, 1), (1, 2)] and len(dataset.unlabeled) == 4


WRONG = {
    "file,class\na.png,cat\n": "expected the columns path,class in the first line of FILE, got file,class",
    "path;class\na.png;cat\n": "expected the columns path,class in the first line of FILE, got path;class",
    "": "expected the columns path,class in the first line of FILE, got nothing",
    "path,class\n": "expected images of two classes or more in FILE, found none",
    "path,class\na.png,cat\n": "expected images of two classes or more in FILE, found cat alone",
    "path,class\na.png,cat\nb.png,\n": "FILE, line 3: expected a path and its class, got b.png,nothing; leave",
    "path,class\na.png\n": "FILE, line 2: expected a path and its class, got a.png,nothing;",
    "path,class\n,cat\n": "FILE, line 2: expected a path and its class, got nothing,cat;",
    "path,class\na.png,cat\n./a.png,dog\n": "FILE, line 3: ./a.png is of class dog here and of class cat in line 2",
    "path,class\na.png,cat\ng.png,dog\nh.png,dog\n": (
        "FILE, line 3: expected the path of an image in --labeled_dir ALL, got g.png, and of 1 more rows, which is not "
        "there; give paths relative to that folder"
    ),
    "path,class\na.png,cat\nnotes.txt,dog\n": "got notes.txt, which is no image by its name, or hidden; give",
    'path,class\na.png,cat\n"b.png,dog\n': "expected a CSV file of columns path,class, cannot read FILE (",
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_is_one_line(photos, make_config, text):
    with pytest.raises(UsageError) as caught:
        data.load(config(photos, make_config, text))
    message, place = str(caught.value), str(photos / "labels.csv")
    assert message.startswith("--labels: ") and "\n" not in message
    assert WRONG[text] in message.replace(place, "FILE").replace(str(photos / "all"), "ALL")


def test_a_test_class_that_the_file_does_not_have_is_named(photos, make_config):
    given = config(photos, make_config, "path,class\na.png,cat\nb.png,emu\n")
    with pytest.raises(UsageError, match="^--test_dir: class dog has no image in --labels .*labels.csv$"):
        data.load(given)


def test_the_flag_names_a_file_and_goes_with_own_images(photos, make_config):
    with pytest.raises(
        UsageError, match="^--labels: expected a CSV file of columns path,class, found no file .*none.csv$"
    ):
        config(photos, make_config, GOOD, labels=photos / "none.csv")
    with pytest.raises(UsageError, match="^--labels: goes with --dataset=folder, got --dataset=digits_50"):
        make_config(labels=photos / "labels.csv")


def test_reading_takes_no_images(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("path,class\nx.jpg,a\ny/z.jpg,b\n")
    assert labels_csv.read(path, "/anywhere") == {b"x.jpg": ("a", 2), b"y/z.jpg": ("b", 3)}
