"""Folders that are not what they seem: refused before training, or told."""

import numpy as np
import pytest

from mpl_tf.base.errors import UsageError
from mpl_tf.data import Dataset, Source, plausible
from mpl_tf.data.paths import Paths


def folders(root, *names):
    for name in names:
        (root / name).mkdir(parents=True)
    return root


def files(root, **contents):
    """Files a, b, ... of these bytes: list of paths."""
    paths = []
    for name, content in contents.items():
        paths.append(root / name)
        paths[-1].parent.mkdir(parents=True, exist_ok=True)
        paths[-1].write_bytes(content)
    return paths


@pytest.mark.parametrize("names", [("train", "val"), ("test", "train", "valid"), ("Train", "Unlabeled"), ("train",)])
def test_splits_are_no_classes(tmp_path, names):
    folders(tmp_path, *names)
    with pytest.raises(UsageError) as caught:
        plausible.check_classes(names, tmp_path)
    told = f"found {', '.join(names)}, which are splits of a data set; give --labeled_dir={tmp_path / names[0]} and"
    assert str(caught.value).startswith("--labeled_dir: expected one folder a class") and told in str(caught.value)


def test_a_split_beside_the_classes_that_it_holds_again_is_refused(tmp_path):
    folders(tmp_path, "cat", "dog", "test/cat", "test/dog")
    with pytest.raises(UsageError, match="found test, which are splits"):
        plausible.check_classes(("cat", "dog", "test"), tmp_path)


def test_a_train_among_vehicles_is_a_class(tmp_path):
    folders(tmp_path, "bus", "train", "plane")
    plausible.check_classes(("bus", "plane", "train"), tmp_path)


def test_a_single_class_is_refused(tmp_path):
    folders(tmp_path, "ok")
    with pytest.raises(UsageError, match=f"two classes or more in {tmp_path}, found ok alone$"):
        plausible.check_classes(("ok",), tmp_path)


def test_the_labeled_folder_is_no_test_folder_by_whatever_way(tmp_path):
    folders(tmp_path, "labeled/cat", "test/cat")
    (tmp_path / "link").symlink_to("labeled")
    plausible.check_apart({"labeled_dir": tmp_path / "labeled", "test_dir": tmp_path / "test"})
    for same in ("labeled", "labeled/", "labeled/cat/..", "link"):
        with pytest.raises(
            UsageError, match="^--test_dir: expected other images than those of --labeled_dir, got the same"
        ):
            plausible.check_apart({"labeled_dir": tmp_path / "labeled", "test_dir": f"{tmp_path}/{same}"})
    given = {"labeled_dir": "labeled", "validation_dir": "test", "test_dir": "test/"}
    with pytest.raises(UsageError, match="^--test_dir: .* those of --validation_dir, got .* that choose nothing$"):
        plausible.check_apart({flag: f"{tmp_path}/{name}" for flag, name in given.items()})


def listed(root, *found):
    """Paths of files, as a listing of `root` has them."""
    paths = Paths()
    for path in found:
        paths.add(str(root), str(path.parent), path.name, path.is_symlink())
    return paths


def test_a_file_that_links_put_into_two_classes_is_named(tmp_path):
    (cat,) = files(tmp_path / "cat", a=b"1")
    (dog,) = files(tmp_path / "dog", b=b"1")  # The same bytes are another file.
    names = ("cat", "dog")
    plausible.check_one_class_each(listed(tmp_path, cat, dog), [0, 1], names)
    (tmp_path / "dog" / "link").symlink_to("../cat/a")
    (tmp_path / "more").symlink_to("cat")
    for path in (tmp_path / "dog" / "link", tmp_path / "more" / "a"):
        with pytest.raises(
            UsageError, match=f"^--labeled_dir: {cat} of class cat and {path} of class dog are one file"
        ):
            plausible.check_one_class_each(listed(tmp_path, cat, dog, path), [0, 1, 1], names)
        plausible.check_one_class_each(listed(tmp_path, cat, dog, path), [0, 1, 0], names)


def test_copies_of_labeled_images_in_the_test_are_counted(tmp_path):
    labeled = files(tmp_path / "labeled", a=b"one", b=b"two", c=b"three", d=b"")
    fresh = files(tmp_path / "test", e=b"six", f=b"four", g=b"")  # Some as long; an empty file is told elsewhere.
    copied = files(tmp_path / "test", h=b"two", i=b"three")
    assert plausible.shared("--test_dir", fresh, {"labeled": labeled}) == ()
    assert plausible.shared("--test_dir", [*fresh, *copied], {"labeled": labeled}) == (
        f"--test_dir: 2 of 5 images are copies of labeled ones, {copied[0]} for example",
    )
    (told,) = plausible.shared("--validation_dir", copied, {"labeled": labeled})
    assert told.startswith("--validation_dir: 2 of 2 images")
    with pytest.raises(
        UsageError, match="^--test_dir: expected other images than those of --labeled_dir, got a copy of each"
    ):
        plausible.shared("--test_dir", copied, {"labeled": labeled[1:3]})


def test_copies_of_unlabeled_images_in_the_test_are_counted(tmp_path):
    labeled = files(tmp_path / "labeled", a=b"one")
    unlabeled = files(tmp_path / "more", a=b"two", b=b"three", c=b"four")
    test = files(tmp_path / "test", a=b"three", b=b"five", c=b"one", d=b"ten")
    assert plausible.shared("--test_dir", test, {"labeled": labeled, "unlabeled": unlabeled}) == (
        f"--test_dir: 1 of 4 images are copies of labeled ones, {test[2]} for example",
        f"--test_dir: 1 of 4 images are copies of unlabeled ones, {test[0]} for example",
    )
    # The unlabeled may be the test's, and is told.
    assert len(plausible.shared("--test_dir", test[:1], {"labeled": labeled, "unlabeled": unlabeled[1:2]})) == 1


def dataset(labeled, test, names, validation=None):
    def part(labels):
        return Source(np.zeros([len(labels), 2, 2, 3], np.uint8), np.array(labels, np.int32))

    more = {} if validation is None else {"validation": part(validation)}
    return Dataset("own", part(labeled), None, None if test is None else part(test), names, **more)


def test_classes_are_told_with_their_counts():
    (line,) = plausible.class_counts(dataset([0, 0, 1, 2], [0, 1, 2, 2], ("cat", "dog", "emu")))
    assert line == "3 classes, labeled + test examples of each: cat 2 + 1, dog 1 + 1, emu 1 + 2"


def test_a_class_that_the_test_lacks_is_told():
    lines = plausible.class_counts(dataset([0, 1, 2], [1], ("cat", "dog", "emu")))
    assert lines[1] == "no test example of class cat, emu: the results say nothing of it"


def test_validation_examples_are_counted_too_with_and_without_a_test():
    names = ("cat", "dog")
    assert plausible.class_counts(dataset([0, 0, 1], [0, 1], names, [0])) == (
        "2 classes, labeled + validation + test examples of each: cat 2 + 1 + 1, dog 1 + 0 + 1",
        "no validation example of class dog: the results say nothing of it",
    )
    assert plausible.class_counts(dataset([0, 0, 1], None, names, [1, 0]))[0].endswith("cat 2 + 1, dog 1 + 1")


def test_of_many_classes_the_range_is_told():
    names = tuple(f"c{number:02d}" for number in range(30))
    labels = [*range(30), 4, 4]
    lines = plausible.class_counts(dataset(labels, range(3), names))
    assert lines[0] == "30 classes, c00 to c29, of 1 to 3 labeled and 0 to 1 test examples"
    assert "class c03, c04, " in lines[1] and " and 7 more: " in lines[1]


def test_streamed_examples_are_not_counted():
    whole = dataset([0, 1], [0, 1], ("a", "b"))
    assert plausible.class_counts(Dataset("own", Source(whole.labeled.images), None, whole.test, ("a", "b"))) == ()
