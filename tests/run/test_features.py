"""Features of a frozen network: the same as the network gives, whatever the split, cut off, damaged or on two replicas.

Covers: extraction.py, features.py
"""

import dataclasses
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import mpl_tf
from mpl_tf import data, main, methods
from mpl_tf.base.errors import RunError, UsageError
from mpl_tf.data import Dataset, Source, pipeline
from mpl_tf.data.own_images import OwnImages
from mpl_tf.data.paths import Paths
from mpl_tf.devices import distribute
from mpl_tf.devices.replicas import Replicas
from mpl_tf.models import frozen
from mpl_tf.run import extraction, features
from mpl_tf.run.phase import Phase, run_phase
from mpl_tf.run.report import sample
from mpl_tf.run.report.report import Report
from tests import tiny
from tests.devices.test_workers import TWO_DEVICES
from tests.models.test_imagenet_networks import unlike

ROOT = Path(__file__).resolve().parents[2]
IMAGES = np.random.default_rng(0).integers(0, 256, (30, 8, 8, 3), np.uint8)
LABELS = np.arange(30, dtype=np.int32) % 3


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(extraction, "BATCH", 4)
    monkeypatch.setattr(extraction, "BLOCK", 8)


@pytest.fixture(scope="module")
def backbone():
    return frozen.backbone(unlike(tiny.convolutional(), 0), (8, 8, 3), [1 / 64] * 3, [-2.0] * 3)


def dataset(labeled=slice(0, 6), unlabeled=slice(6, 19), held_out=slice(19, 22)):
    """30 images, of which 8 are the test's; the others are split as asked."""
    parts = [Source(IMAGES[part]) for part in (unlabeled, held_out)]
    sources = Source(IMAGES[labeled], LABELS[labeled]), parts[0], Source(IMAGES[22:], LABELS[22:])
    about = {"mean": (0.5,) * 3, "std": (0.25,) * 3}
    return Dataset("own", *sources, ("a", "b", "c"), **about, held_out=parts[1])


@pytest.fixture
def config(make_config, tmp_path):
    """Of the name's method, its features in a folder of the test's."""
    (tmp_path / "w.keras").write_bytes(b"of the checks alone")

    def make(**values):
        given = {"method": "fixmatch", "feature_views": "2,1", "feature_store": tmp_path / "store"}
        common = {
            "steps_per_execution": 1,
            "randaugment_ops": 0,
            "freeze": "backbone",
            "weights": tmp_path / "w.keras",
            "workdir": tmp_path / "run",
        }
        return make_config(**common | given | values)

    return make


def one_device():
    return Replicas(tf.distribute.get_strategy())


def of(config, backbone, data=None, devices=None, kinds=None):
    return features.of(data or dataset(), backbone, config, devices or one_device(), kinds)


def by_hand(backbone, config, rows, images, kind, number):
    """Features of view `number` of images that fill a batch of 4 and are its rows `rows`."""
    views = pipeline.make_views(dataset(), config)
    seed = tf.constant([config.feature_seed, extraction.KINDS.index(kind)], tf.int32)
    seed = tf.random.fold_in(tf.random.fold_in(seed, tf.constant(number)), tf.constant(rows[0] // 4, tf.int32))
    return backbone(getattr(views, kind)(images, seed)).numpy()


def test_stored_features_are_those_of_the_network_on_the_same_views(config, backbone):
    given = config(randaugment_ops=1)
    found = of(given, backbone, kinds=extraction.KINDS)
    assert found.shape == (16,) and found.mean is None and isinstance(found.labeled.views["weak"], np.memmap)
    everything = extraction.Pool([Source(IMAGES[:22])])
    rows = np.arange(8, 12)
    for kind, count in (("weak", 2), ("strong", 1)):
        for number in range(count):
            expected = by_hand(backbone, given, rows, everything.images(rows), kind, number)
            stored = found.labeled.views[kind][rows, number]
            np.testing.assert_allclose(stored, expected, rtol=2e-3, atol=1e-3)
    for name in ("labeled", "unlabeled", "held_out", "test"):
        source, images = getattr(found, name), getattr(dataset(), name)
        ((plain, labels),) = source.pieces(100)
        np.testing.assert_allclose(plain, backbone(images.images), rtol=2e-3, atol=1e-3)
        assert (labels is None) == (images.labels is None) and (labels is None or (labels == images.labels).all())


def test_images_that_stay_in_their_files_have_the_features_of_those_in_memory(config, backbone, tmp_path):
    paths = Paths()
    for number, image in enumerate(IMAGES):
        Image.fromarray(image).save(tmp_path / f"{number:02d}.png")
        paths.add(str(tmp_path), str(tmp_path), f"{number:02d}.png")

    def in_files(part):
        numbers = np.arange(30, dtype=np.int32)[part]
        return OwnImages((paths,), numbers, 8, labels=LABELS[numbers])

    own = dataclasses.replace(dataset(), labeled=in_files(slice(0, 6)), test=in_files(slice(22, 30)))
    found, expected = (of(config(), backbone, data, kinds=["plain"]) for data in (own, dataset()))
    for name in ("labeled", "unlabeled", "test"):
        ((plain, labels),), ((same, others),) = (getattr(one, name).pieces(100) for one in (found, expected))
        np.testing.assert_allclose(plain, same, rtol=1e-3, atol=1e-3)
        np.testing.assert_array_equal(labels, others)
    (tmp_path / "03.png").write_bytes(b"no image")
    with pytest.raises(RunError, match=rf"^{tmp_path / '03.png'}: expected a readable .*; mend it, or add --skip_bad"):
        of(config(feature_seed=9), backbone, own, kinds=["weak"])


def test_all_splits_share_one_store_and_other_settings_have_another(config, backbone, tmp_path):
    of(config(), backbone)
    before = sorted((tmp_path / "store").iterdir())
    calls = []
    for split in (
        {"labeled": slice(10, 19), "unlabeled": slice(0, 10)},
        {"held_out": slice(0, 6), "labeled": slice(19, 22)},
    ):
        of(config(seed=3), backbone, dataset(**split))
        assert sorted((tmp_path / "store").iterdir()) == before
    for change in ({"feature_seed": 1}, {"shift": 0.25}, {"feature_views": "1,1"}):
        calls.append(len(list((tmp_path / "store").iterdir())))
        of(config(**change), backbone, dataset())
    calls.append(len(list((tmp_path / "store").iterdir())))
    assert np.diff(calls).tolist() == [
        4,
        4,
        2,
    ]  # Seed and shift: both kinds; one weak view more or less: the weak ones.


def cut(devices, after):
    """Devices that end the process, as it were, at a call."""
    calls = iter(range(10**6))
    own = devices.spread

    def spread(function, values):
        if next(calls) == after:
            raise KeyboardInterrupt
        return own(function, values)

    devices.spread = spread
    return devices


def test_held_out_images_that_a_run_is_scored_on_come_from_the_training_images_store(config, backbone, tmp_path):
    data = dataset()
    labels = np.array([2, 0, 1], np.int32)
    held_out = dataclasses.replace(data.held_out, labels=labels)
    stored = of(config(), backbone, dataclasses.replace(data, held_out=held_out, test=held_out))
    ((features_, found),) = stored.test.pieces(8)
    np.testing.assert_array_equal(found, labels)
    np.testing.assert_allclose(features_, backbone(held_out.images), rtol=2e-3, atol=1e-3)
    before = sorted(path.name for path in (tmp_path / "store").iterdir())
    of(config(), backbone)  # The other labels' runs compute the test images' features alone.
    assert set(before) < {path.name for path in (tmp_path / "store").iterdir()}


def test_validation_images_are_of_the_training_store_unless_they_have_a_folder(config, backbone, tmp_path):
    """A share of the labeled images is among those whose features all splits have, a folder has a store of its own."""
    data = dataset(labeled=slice(0, 4))
    share = dataclasses.replace(data, validation=Source(IMAGES[4:6], LABELS[4:6]))
    of(config(), backbone)
    before = set((tmp_path / "store").iterdir())
    stored = of(config(), backbone, share)
    # The plain views of the pool come to them: the weak ones are those of the run that trained on all six.
    assert len(set((tmp_path / "store").iterdir()) - before) == 2
    ((features_, found),) = stored.validation.pieces(8)
    np.testing.assert_array_equal(found, LABELS[4:6])
    np.testing.assert_allclose(features_, backbone(IMAGES[4:6]), rtol=2e-3, atol=1e-3)
    assert len(stored.test) == 8 and stored.held_out is not None
    # Images of a folder; the test may be absent.
    apart = dataclasses.replace(dataset(), validation=data.test, test=None)
    before = set((tmp_path / "store").iterdir())
    stored = of(config().replace(validation_dir="v"), backbone, apart)
    assert stored.test is None and len(stored.validation) == 8
    assert set((tmp_path / "store").iterdir()) == before  # Those of the test images before, which they are.


def test_an_extraction_that_was_cut_off_goes_on_to_the_same_bytes(config, backbone, tmp_path, capsys):
    whole = of(config(feature_store=tmp_path / "whole"), backbone, kinds=["weak"]).labeled.views["weak"]
    with pytest.raises(KeyboardInterrupt):
        of(config(), backbone, devices=cut(one_device(), 6), kinds=["weak"])
    (record,) = (tmp_path / "store").glob("*.json")
    assert [bool(digest) for digest in json.loads(record.read_text())["digests"]] == [True, False, False]
    again = of(
        config(), backbone, devices=cut(one_device(), 8 + 2), kinds=["weak"]
    )  # 2 blocks, and the test's 8 images.
    assert again.labeled.views["weak"].tobytes() == whole.tobytes()
    assert "features of weak views: 22/22 images" in capsys.readouterr().out


def test_a_flipped_byte_is_computed_again(config, backbone, tmp_path, capsys):
    whole = of(config(), backbone, kinds=["weak"]).labeled.views["weak"].tobytes()
    (path,) = (tmp_path / "store").glob("*weak*.npy")
    content = bytearray(path.read_bytes())
    content[-1] ^= 4
    path.write_bytes(content)
    again = of(
        config(), backbone, devices=cut(one_device(), 4), kinds=["weak"]
    )  # The last block: 2 batches of 2 views.
    assert again.labeled.views["weak"].tobytes() == whole
    assert "1 damaged blocks are computed again" in capsys.readouterr().err


def test_a_folder_in_the_place_of_a_store_is_refused_before_anything_is_computed(config, backbone, tmp_path):
    of(config(), backbone, kinds=["weak"])
    (path,) = (tmp_path / "store").glob("*weak*.npy")
    path.unlink()
    path.mkdir()
    with pytest.raises(UsageError, match=f"--feature_store: expected a file, {path} is a folder; remove it"):
        of(config(), backbone, devices=cut(one_device(), 0), kinds=["weak"])


def test_two_replicas_store_the_same_bytes(config, backbone, tmp_path, two_replicas):
    found = [
        of(config(feature_store=tmp_path / name), backbone, devices=devices, kinds=["weak"])
        for name, devices in (("one", one_device()), ("two", Replicas(two_replicas)))
    ]
    one, two = (part.labeled.views["weak"] for part in found)
    assert one.tobytes() == two.tobytes()
    assert found[0].test.views["plain"].tobytes() == found[1].test.views["plain"].tobytes()


# ---- Training on them ---------------------------------------------------------------------------------------------


def batches(given, found, keys):
    return next(iter(pipeline.training_batches(found, given, keys, 3, 5, 6, one_device())))


def test_a_batch_holds_picks_of_the_drawn_examples_views(config, backbone):
    given = config(feature_views="3,2", mu=2)
    found = of(given, backbone)
    keys = ("x_l", "y_l", "i_l", "x_u_weak", "x_u_weak_2", "x_u_strong", "i_u")
    batch = {key: value.numpy() for key, value in batches(given, found, keys).items()}
    again = batches(given, found, keys)
    picked = set()
    for key, source, numbers, kind in (
        ("x_l", found.labeled, "i_l", "weak"),
        ("x_u_weak", found.unlabeled, "i_u", "weak"),
        ("x_u_weak_2", found.unlabeled, "i_u", "weak"),
        ("x_u_strong", found.unlabeled, "i_u", "strong"),
    ):
        assert batch[key].dtype == np.float32
        np.testing.assert_array_equal(batch[key], again[key])
        rows = source.images[batch[numbers]]
        for row, value in zip(rows, batch[key], strict=True):
            equal = (source.views[kind][row] == value).all(axis=-1)
            assert equal.any()
            picked.add((kind, int(equal.argmax())))
    assert len(picked) >= 4  # Of 3 weak and 2 strong views.
    np.testing.assert_array_equal(batch["y_l"], dataset().labeled.labels[batch["i_l"]])


def trained(given, found):
    """(weights of the head after a few steps, the run's outcome for the test images)."""
    keras.utils.set_random_seed(0)
    Path(given.workdir).mkdir(exist_ok=True)
    method = methods.make(given, found.input_shape, found.num_classes, **found.facts)
    run_phase(Phase("train", 6, 3), method, found, given)
    return [np.asarray(value) for value in method.student_network.get_weights()]


def test_with_fixed_views_a_run_on_the_store_equals_one_that_computes_them_in_each_step(config, backbone, tmp_path):
    """Views without flip, shift and operations are the images, so that both see the same."""
    fixed = {"shift": 0, "cutout": 0, "mu": 2, "steps_per_epoch": 3, "uda_threshold": 0}
    stored = config(**fixed, feature_views="1,1")
    anew = config(**fixed, feature_views="0,0", workdir=tmp_path / "anew")
    shown = of(anew, backbone)
    assert shown.backbone is backbone and shown.shape == (8, 8, 3) and shown.input_shape == (16,)
    first, second = trained(stored, of(stored, backbone)), trained(anew, shown)
    start = methods.make(stored, (16,), 3, 13).student_network.get_weights()
    moved = np.abs(first[0] - start[0]).max()
    assert moved > 1e-2
    for a, b in zip(first, second, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-3 * moved)


def test_the_report_looks_at_unlabeled_images_as_they_are(config, backbone, capsys):
    """By features that a method of two views a step does not ask for itself."""
    given = config(report=True)
    found = of(given, backbone)
    assert set(found.unlabeled.views) == {"plain", "strong", "weak"}
    assert set(of(config(report=False), backbone).unlabeled.views) == {"strong", "weak"}
    assert set(of(config(report=True, method="supervised"), backbone).labeled.views) == {"weak"}
    model = keras.Sequential([keras.Input([16]), keras.layers.Dense(3)])
    Path(given.workdir).mkdir(exist_ok=True)
    written = Report(given, found)
    written.write({"student": model}, 1, 1.0)
    page = written.path.read_text()
    assert capsys.readouterr().err == "" and "Pseudo labels" in page and "<img" not in page
    # With the images themselves at hand they are shown: those whose features were looked at.
    images = dataset()
    shown = Report(given, found, images)
    shown.write({"student": model}, 1, 1.0)
    page = shown.path.read_text()
    assert capsys.readouterr().err == "" and "Most and least confident" in page and "Views of labeled images" in page
    drawn = shown.unlabeled
    pictures = sample.Pictures(images.unlabeled, drawn.numbers)
    for place in (0, len(drawn.numbers) - 1):
        features_ = backbone(pictures[place][None].astype("float32"))
        np.testing.assert_allclose(drawn.images[[place]], features_, rtol=2e-3, atol=1e-3)


def test_views_that_the_method_needs_and_streamed_images_are_refused(config, backbone):
    with pytest.raises(
        UsageError, match="--feature_views: fixmatch learns from strong views, expected at least 1, got 2,0"
    ):
        of(config(feature_views="2,0"), backbone)
    of(config(feature_views="1,0", method="supervised"), backbone)
    streamed = dataclasses.replace(dataset(), unlabeled=object())
    with pytest.raises(UsageError, match="--feature_views: own reads its images while it trains, expected 0,0"):
        of(config(), backbone, streamed)


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """A small network's file."""
    path = tmp_path_factory.mktemp("weights") / "w.keras"
    unlike(tiny_network(), 3).save(path)
    return path


def tiny_network():
    from mpl_tf import models

    return models.build("narrow_cnn", (12, 12, 3), 10)


def command(pretrained, tmp_path, name, *more):
    views = ["--randaugment_ops=0", "--feature_views=1,1", f"--feature_store={tmp_path / 'store'}"]
    network = ["--model=narrow_cnn", f"--weights={pretrained}", "--freeze=backbone", "--backbone_size=12"]
    short = ["--train_steps=4", "--steps_per_epoch=4", "--steps_per_execution=4", "--finetune_steps=2", "--mu=2"]
    sizes = ["--labeled_batch=10", "--finetune_batch=10"]
    return ["--dataset=digits_50", *network, *views, *short, *sizes, f"--workdir={tmp_path / name}", *more]


@pytest.mark.slow
def test_the_program_trains_a_head_and_exports_the_whole_network(
    pretrained, tmp_path, capsys, make_config, monkeypatch
):
    monkeypatch.setattr(extraction, "BATCH", 128)
    monkeypatch.setattr(extraction, "BLOCK", 1024)
    assert (
        main.main(command(pretrained, tmp_path, "run", "--method=fixmatch", "--head_units=5", "--mode=features")) == 0
    )
    assert "the features are in" in capsys.readouterr().out and not (tmp_path / "run").exists()
    assert main.main(command(pretrained, tmp_path, "run", "--method=fixmatch", "--head_units=5")) == 0
    told = capsys.readouterr().out
    assert "features of" not in told  # They were in the store.
    assert f"narrow_cnn, {32 * 5 + 5 + 5 * 10 + 10} weights" in told
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    student = keras.models.load_model(tmp_path / "run" / "student.keras", compile=False)
    test = data.load(make_config()).test
    logits = student.predict(test.images, verbose=0)
    assert (logits.argmax(axis=-1) == test.labels).mean() == pytest.approx(results["test"]["top1"], abs=0.005)
    assert main.main(["--mode=evaluate", f"--workdir={tmp_path / 'run'}"]) == 0
    assert json.loads(capsys.readouterr().out)["test"]["loss"] == pytest.approx(results["test"]["loss"], rel=1e-3)


def test_the_program_computes_them_from_python_too(pretrained, tmp_path, monkeypatch):
    """The files are those of the command, and a run takes them as they are."""
    monkeypatch.setattr(extraction, "BATCH", 128)
    monkeypatch.setattr(extraction, "BLOCK", 1024)
    assert main.main(command(pretrained, tmp_path, "run", "--mode=features")) == 0
    given = {"dataset": "digits_50", "model": "narrow_cnn", "weights": pretrained, "backbone_size": 12}
    given |= {"randaugment_ops": 0, "feature_views": "1,1"}
    store = mpl_tf.features(tmp_path / "own", **given)
    assert store == tmp_path / "own"
    files = sorted(path.name for path in store.glob("*.npy"))
    assert len(files) == 4 and files == sorted(path.name for path in (tmp_path / "store").glob("*.npy"))
    for name in files:
        assert (store / name).read_bytes() == (tmp_path / "store" / name).read_bytes()
    for wrong, told in (
        ({"weights": None}, "^freeze: backbone needs a pretrained network, got no weights; give weights='FILE' or "),
        ({"freeze": "none"}, "freeze: features are those of freeze='backbone', got freeze='none'"),
        ({"feature_views": "0,0"}, "^feature_store: features are computed into feature_store='DIR', with feature_v"),
    ):
        with pytest.raises(UsageError, match=told):
            mpl_tf.features(tmp_path / "refused", **given | wrong)
    assert not (tmp_path / "refused").exists()


@pytest.mark.slow
def test_a_killed_process_leaves_a_store_that_goes_on_to_the_same_bytes(pretrained, tmp_path, monkeypatch):
    monkeypatch.setattr(extraction, "BATCH", 128)
    monkeypatch.setattr(extraction, "BLOCK", 1024)
    more = ["--method=fixmatch", "--feature_views=40,1", "--mode=features"]
    given = command(pretrained, tmp_path, "run", *more)
    process = subprocess.Popen([sys.executable, "-m", "mpl_tf.main", *given], cwd=ROOT, stdout=subprocess.DEVNULL)
    # Killed when the first of the weak views' two blocks is on record.
    while process.poll() is None and not list((tmp_path / "store").glob("*weak*.json")):
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert list((tmp_path / "store").glob("*weak*.partial"))
    assert main.main(given) == 0
    (tmp_path / "store").rename(tmp_path / "killed")
    assert main.main(given) == 0
    files = sorted(path.name for path in (tmp_path / "store").glob("*.npy"))
    assert len(files) == 4
    for name in files:
        assert (tmp_path / "store" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes()


@pytest.mark.slow
def test_the_program_makes_views_anew_on_two_replicas(pretrained, tmp_path, make_config):
    # In a process of its own: two strategies of one process share the keys of their sums.
    made = ["--method=supervised", "--strategy=mirrored", "--allow_cpu", "--feature_views=0,0"]
    given = [sys.executable, "-c", TWO_DEVICES, *command(pretrained, tmp_path, "run", *made)]
    done = subprocess.run(given, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "features of" not in done.stdout and not (tmp_path / "store").exists()
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    student = keras.models.load_model(tmp_path / "run" / "student.keras", compile=False)
    test = data.load(make_config()).test
    logits = student(test.images).numpy()
    assert (logits.argmax(axis=-1) == test.labels).mean() == pytest.approx(results["test"]["top1"], abs=0.005)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--weights="], "--freeze: backbone needs a pretrained network, got no weights"),
        (["--freeze=none"], "--backbone_size: goes with --freeze=backbone"),
        (["--feature_views=0,2"], "--feature_views: expected at least one weak view, got 0,2"),
        (["--feature_views=2"], "--feature_views: expected two numbers from 0 to 9999, as in 2,8, or 0,0, got 2"),
        (["--strategy=dtensor", "--mesh=replica:1,core:2"], "--strategy: dtensor goes without --freeze=backbone"),
        (["--teacher_model=small_cnn"], "--teacher_model: goes without --freeze=backbone"),
        (["--mode=features", "--feature_store="], "--feature_store: features are computed into --feature_store=DIR, "),
        (["--feature_store=setup.cfg"], "--feature_store: expected a folder, setup.cfg is a file"),
    ],
)
def test_flags_that_do_not_go_together_are_one_line(pretrained, tmp_path, capsys, flags, told):
    assert main.main(command(pretrained, tmp_path, "refused", *flags)) == 2
    error = capsys.readouterr().err
    assert told in error and error.count("\n") == 1
    assert not (tmp_path / "refused").exists()


def test_several_tensors_are_spread_over_the_replicas(two_replicas):
    doubled = tf.function(lambda x: 2 * x)
    for devices, count in ((one_device(), 1), (Replicas(two_replicas), 2)):
        found = devices.spread(doubled, [tf.constant([number, 3]) for number in range(count)])
        np.testing.assert_array_equal(np.stack(found), [[2 * number, 6] for number in range(count)])
    assert distribute.replicas() == 1
