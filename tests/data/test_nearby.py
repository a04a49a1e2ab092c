"""A --data_dir that is too deep, too high or misspelt is refused, and the one that the message names works.

Covers: tfds.py
"""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds

from mpl_tf import data, main
from mpl_tf.base.errors import RunError, UsageError
from mpl_tf.data import nearby
from mpl_tf.data.tfds import TfdsData
from mpl_tf.settings import flags

VERSION = str(tfds.builder("cifar10", data_dir="none").version)
TINY = ["--dataset=cifar10_4k", "--scale=smoke", "--method=supervised", "--model=narrow_cnn", "--train_steps=2"]
TINY += [
    "--steps_per_epoch=2",
    "--steps_per_execution=1",
    "--num_labels=20",
    "--labeled_batch=10",
    "--finetune_steps=0",
]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A folder `my sets`, which holds a CIFAR-10 of 60 training and 20 test images."""
    folder = tmp_path_factory.mktemp("prepared") / "my sets"
    features = {
        "id": tfds.features.Text(),
        "image": tfds.features.Image(shape=(32, 32, 3)),
        "label": tfds.features.ClassLabel(num_classes=10),
    }
    random = np.random.default_rng(0)
    examples = [
        {"id": str(number), "image": random.integers(0, 256, (32, 32, 3), np.uint8), "label": number % 10}
        for number in range(80)
    ]
    tfds.dataset_builders.store_as_tfds_dataset(
        name="cifar10",
        version=VERSION,
        features=tfds.features.FeaturesDict(features),
        split_datasets={"train": list(enumerate(examples[:60])), "test": list(enumerate(examples[60:]))},
        data_dir=folder,
        disable_shuffling=True,
    )
    return folder


@pytest.fixture(autouse=True)
def no_network(monkeypatch, tmp_path):
    """Every download fails after making TFDS' folders; the home folder is empty."""

    def refuse(builder, *_, **__):
        root = Path(builder.data_path).parents[1]
        (root / "downloads" / "extracted").mkdir(parents=True, exist_ok=True)
        (root / "downloads" / "cifar.tar.gz.tmp.1a").mkdir()
        (root / "downloads" / "cifar.tar.gz.tmp.1a" / "half").write_text("x")
        (root / "cifar10").mkdir(exist_ok=True)
        raise OSError("Network is unreachable")

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", refuse)


def listed(folder):
    return sorted(str(path) for path in folder.rglob("*"))


@pytest.mark.parametrize("wrong", ["{folder}/cifar10", "{folder}/cifar10/{version}", "{folder}/.."])
def test_the_folder_that_is_named_works_and_none_is_made(prepared, tmp_path, wrong, capsys):
    before = listed(prepared.parent)
    given = wrong.format(folder=prepared, version=VERSION)
    command = [*TINY, f"--workdir={tmp_path / 'run'}"]
    assert main.main([*command, f"--data_dir={given}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    (advice,) = shlex.split(re.search(r"but in .*; give (--data_dir=.*)", line)[1])
    assert advice == f"--data_dir={prepared}"
    assert listed(prepared.parent) == before and not (tmp_path / "run").exists()
    found = data.load(flags.parse([*command, advice]))
    assert [len(part) for part in (found.labeled, found.unlabeled, found.test)] == [20, 34, 20]


def test_a_whole_run_with_the_folder_that_was_named(prepared, tmp_path, capsys):
    assert main.main([*TINY, f"--workdir={tmp_path / 'run'}", f"--data_dir={prepared}"]) == 0
    assert main.main(["--mode=evaluate", f"--workdir={tmp_path / 'run'}", f"--data_dir={prepared}/cifar10"]) == 2
    assert f"give --data_dir='{prepared}'" in capsys.readouterr().err


def test_one_beside_is_told_where_the_download_failed(prepared):
    """Not before: a folder of one's own beside another's is nothing wrong."""
    with pytest.raises(
        RunError, match=re.escape(f"; it is in {prepared}: give --data_dir='{prepared}', or connect to")
    ):
        TfdsData("cifar10", str(prepared.parent / "my set"))


def test_an_absent_one_is_told_how_to_get_and_leaves_no_folder(tmp_path, capsys):
    folder = tmp_path / "new" / "tfds"
    assert main.main([*TINY, f"--workdir={tmp_path / 'run'}", f"--data_dir={folder}"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "its download failed (OSError: Network is unreachable); connect to the network, or on a machine" in line
    assert "tfds.builder('cifar10', data_dir='DIR').download_and_prepare()" in line
    assert line.endswith(f"and copy DIR/cifar10 to {folder}/cifar10")
    assert listed(tmp_path) == []


def test_another_version_is_told(tmp_path):
    info = tmp_path / "tfds" / "cifar10" / "1.2.3" / "dataset_info.json"
    info.parent.mkdir(parents=True)
    info.write_text("{}")
    with pytest.raises(RunError, match=f"there is version 1.2.3, wanted is cifar10/{VERSION}; connect"):
        TfdsData("cifar10", str(tmp_path / "tfds"))
    assert [path.name for path in (tmp_path / "tfds").iterdir()] == ["cifar10"] and info.exists()


def test_what_was_downloaded_whole_stays(tmp_path):
    (tmp_path / "downloads" / "before").mkdir(parents=True)
    with pytest.raises(OSError, match="lost"), nearby.swept(tmp_path, ("downloads", "cifar10")):
        (tmp_path / "downloads" / "made").mkdir()
        (tmp_path / "downloads" / "made" / "whole.tar.gz").write_text("x")
        (tmp_path / "cifar10" / "deep.incomplete_3").mkdir(parents=True)
        raise OSError("lost")
    assert [path.name for path in sorted((tmp_path / "downloads").iterdir())] == ["before", "made"]
    assert not (tmp_path / "cifar10").exists()


def test_the_usual_shards_of_imagenet_are_found_too(tmp_path):
    (tmp_path / "sets" / "imagenet").mkdir(parents=True)
    (tmp_path / "sets" / "imagenet" / "train-00000-of-00001").write_text("")
    for wrong in ("sets", ".", "sets/imagenet/train"):
        config = flags.parse(["--dataset=imagenet", "--scale=smoke", f"--data_dir={tmp_path / wrong}"])
        with pytest.raises(
            UsageError, match=f"but in {tmp_path}/sets/imagenet; give --data_dir={tmp_path}/sets/imagenet"
        ):
            data.load(config)


def test_links_that_cannot_be_followed_hide_no_folder(tmp_path):
    (tmp_path / "b").symlink_to("b")
    (tmp_path / "a" / "right").mkdir(parents=True)
    assert str(tmp_path / "a") in nearby.hint(tmp_path / "new", lambda folder: (folder / "right").is_dir())
