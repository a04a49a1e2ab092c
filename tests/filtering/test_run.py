"""The tool from end to end, on Beam's local runner: what it keeps, going on, selecting again, bad input in one line.

Covers: __init__.py, choice.py, job.py, outputs.py, pipeline.py, progress.py, settings.py, tables.py,
tally.py
"""

import io
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from PIL import Image

from mpl_tf import data
from mpl_tf.base import files, lock
from mpl_tf.base.errors import RunError
from mpl_tf.data import decode, listing, shards, tfrecord
from mpl_tf.filtering import inputs, progress, recording, settings, tables, tally
from mpl_tf.models import saved
from mpl_tf.settings import config_json
from tests.filtering.test_images import CONVERTED, REFUSED
from tests.filtering.test_overlap import photograph
from tools import filter_unlabeled

SIDE, CLASSES, IMAGES = 8, 3, 150


def colour_model(classes=CLASSES, side=SIDE, softmax=False):
    """Scores an image by its mean colour."""
    layers = [keras.Input((side, side, 3)), keras.layers.GlobalAveragePooling2D(), keras.layers.Rescaling(1 / 50)]
    layers.append(keras.layers.Dense(classes, activation="softmax" if softmax else None, use_bias=False))
    model = keras.Sequential(layers)
    model.layers[-1].set_weights([np.eye(3, classes, dtype=np.float32)])
    return model


def picture(random, side=SIDE):
    noise = random.integers(0, 256, (4, 4, 3)) // 2 + random.integers(0, 120, 3)
    return Image.fromarray(noise.clip(0, 255).astype(np.uint8)).resize((side, side), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Images in folders, two of them sharing their pixels with an evaluation image, and a model."""
    root, random = tmp_path_factory.mktemp("filter"), np.random.default_rng(0)
    colour_model().save(root / "model.keras")
    for number in range(IMAGES):
        path = root / "photos" / f"part{number % 3}" / f"{number:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(random, 16).save(path)
    (root / "val").mkdir()
    for number, name in enumerate(("part0/000.png", "part1/004.png")):
        Image.open(root / "photos" / name).save(root / "val" / f"v{number}.png")
    return root


def run(place, output, *flags, images="photos", status=0):
    """Run the tool in this process; returns its folder."""
    given = [f"--images={place / images}", f"--model={place / 'model.keras'}", f"--output={output}"]
    settings = ["--per_class=20", "--chunk=16", "--batch=8"]
    named = {flag.split("=")[0] for flag in flags}
    left = [flag for flag in given + settings if flag.split("=")[0] not in named]
    assert filter_unlabeled.main([*left, *(flag for flag in flags if not flag.endswith("=-"))]) == status
    return output


def table(path):
    return pq.read_table(path).to_pylist()


def by_hand(place):
    """[(class, -probability, id)] of every image, sorted: the reference."""
    model, paths = colour_model(), sorted((place / "photos").rglob("*.png"))
    model.set_weights(keras.models.load_model(place / "model.keras").get_weights())
    logits = model.predict(np.stack([decode.decode(path, SIDE) for path in paths]), verbose=0).astype(np.float64)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return sorted((int(p.argmax()), -p.max(), str(path)) for p, path in zip(probabilities, paths, strict=True))


@pytest.fixture(scope="module")
def finished(place):
    """A run without evaluation images."""
    return run(place, place / "out", "--shard_images=25")


def test_kept_is_the_reference_id_by_id(place, finished):
    kept, expected = table(finished / "kept.parquet"), by_hand(place)
    groups = {label: list(group) for label, group in itertools.groupby(expected, key=lambda row: row[0])}
    best = [row for group in groups.values() for row in group[:20]]
    assert [(row["class"], row["id"]) for row in kept] == [(label, name) for label, _, name in best]
    np.testing.assert_allclose([row["probability"] for row in kept], [-p for _, p, _ in best], rtol=1e-5)
    assert [row["rank"] for row in kept] == [rank for group in groups.values() for rank in range(min(len(group), 20))]
    assert {row["copies"] for row in kept} == {1} and all(row["source"] == row["id"] for row in kept)
    rejected = table(finished / "rejected.parquet")
    assert {row["reason"] for row in rejected} == {"beyond_top_k"}
    assert {row["id"] for row in rejected} == {name for _, _, name in expected} - {row["id"] for row in kept}
    summary = json.loads((finished / "summary.json").read_text())
    assert (summary["images"], summary["kept_images"]) == (IMAGES, len(best))
    assert [one["predicted"] for one in summary["classes"]] == [len(groups[label]) for label in range(CLASSES)]
    assert not (finished / "work").exists()


def test_images_come_to_their_size_as_the_run_of_the_model_had_them(place, tmp_path, make_config, capsys):
    """The flag that the network was trained with is read beside it; another one is refused before a folder is made."""
    (tmp_path / "photos").mkdir()
    Image.fromarray(np.tile(np.array([0, 240], np.uint8).repeat(8)[:, None], (8, 1, 3))).save(tmp_path / "photos/a.png")
    shutil.copy(place / "model.keras", tmp_path / "model.keras")
    model, expected = colour_model(), {}
    model.set_weights(keras.models.load_model(place / "model.keras").get_weights())
    for resize in ("crop", "pad"):
        pixels = decode.decode(tmp_path / "photos/a.png", SIDE, resize=resize)[None]
        expected[resize] = tf.nn.softmax(model.predict(pixels, verbose=0)).numpy().max()
    config = make_config("folder", resize="pad", labeled_dir=place, unlabeled_dir=place, test_dir=place)
    for resize, probability in expected.items():
        files.write_text(tmp_path / "config.json", config_json.to_json(config.replace(resize=resize)))
        (row,) = table(run(tmp_path, tmp_path / resize) / "kept.parquet")
        assert row["probability"] == pytest.approx(probability, rel=1e-5)
    run(tmp_path, tmp_path / "other", "--resize=crop", status=2)
    *_, line = capsys.readouterr().err.splitlines()
    assert "--resize: expected pad, as" in line and not (tmp_path / "other").exists()
    (tmp_path / "config.json").unlink()
    (row,) = table(run(tmp_path, tmp_path / "alone", "--resize=pad") / "kept.parquet")
    assert row["probability"] == pytest.approx(expected["pad"], rel=1e-5)


def test_two_processes_in_one_folder(place, finished, tmp_path, capsys):
    """The second is refused by the name of the first, also where it selects from scores that are being written."""
    output = tmp_path / "out"
    with lock.held(output, "output"):
        run(place, output, status=2)
        (line,) = capsys.readouterr().err.splitlines()
        assert (
            line.startswith(f"filter_unlabeled: error: --output: {output} is in use by process {os.getpid()} on ")
            and "since" in line
        )
    assert list(output.iterdir()) == []
    selecting = [f"--scores={finished / 'scores'}", "--images=-", "--model=-", "--chunk=-", "--batch=-"]
    with lock.held(finished / "scores", "output"):
        run(place, tmp_path / "second", *selecting, status=2)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        f"filter_unlabeled: error: --scores: {finished / 'scores'} is in use by process {os.getpid()} on "
    )
    assert not (tmp_path / "second").exists()
    # What a kill -9 leaves binds nobody: the run is that of an undisturbed one, and no lock is left.
    for folder in (output, finished / "scores"):
        (folder / lock.NAME).write_text('{"host": "here", "pid": 1, "since": "yesterday"}')
    again, second = run(place, output, "--shard_images=25"), run(place, tmp_path / "second", *selecting)
    assert table(again / "kept.parquet") == table(finished / "kept.parquet") == table(second / "kept.parquet")
    (finished / "scores" / lock.NAME).unlink()
    assert not list(output.rglob(lock.NAME)) and not list(finished.rglob(lock.NAME))


def test_shards_hold_the_files_bytes_and_training_reads_them(place, finished, make_config):
    paths = listing.shards(finished, "--unlabeled_dir")
    kept = {row["id"]: row for row in table(finished / "kept.parquet")}
    assert len(paths) == -(-len(kept) // 25)
    examples = [record.example() for path in paths for record in tfrecord.records(path)]
    assert sorted(example["image/id"].decode() for example in examples) == sorted(kept)
    for example in examples:
        row = kept[example["image/id"].decode()]
        assert example["image/encoded"] == Path(row["source"]).read_bytes()
        assert example["image/class/label"] == row["class"] and example["image/probability"] == row["probability"]
    random = np.random.default_rng(1)
    for name in ("labeled/a", "labeled/b", "test/a"):
        (place / name).mkdir(parents=True, exist_ok=True)
        picture(random).save(place / name / "x.png")
    folders = {"labeled_dir": place / "labeled", "test_dir": place / "test", "unlabeled_dir": finished}
    dataset = data.load(make_config("folder", image_size=SIDE, labeled_batch=1, finetune_batch=1, **folders))
    assert len(dataset.unlabeled) == len(kept)


def test_report_is_one_page_with_its_pictures(finished):
    text = (finished / "report.html").read_text()
    assert text.count("data:image/jpeg;base64,") == CLASSES * 12 and "http" not in text
    assert text.count("<svg") == CLASSES


def test_a_finished_run_is_not_repeated(place, finished, capsys):
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.is_file()}
    run(place, finished, "--shard_images=25")
    assert "holds the finished run" in capsys.readouterr().out
    assert before == {path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.is_file()}


def test_selecting_again_needs_no_model(place, finished, capsys):
    again = ["--images=-", "--model=-", "--chunk=-", "--batch=-", f"--scores={finished / 'scores'}"]
    other = run(place, place / "again", *again, "--per_class=5", f"--exclude={place / 'val'}", "--upsample")
    whole = run(place, place / "whole", "--per_class=5", f"--exclude={place / 'val'}", "--upsample")
    for name in ("kept", "rejected", "problems"):
        assert (other / f"{name}.parquet").read_bytes() == (whole / f"{name}.parquet").read_bytes()
    overlaps = {row["id"]: row for row in table(other / "rejected.parquet") if row["reason"] == "overlaps"}
    assert {name[-7:]: row["overlaps"][-6:] for name, row in overlaps.items()} == {
        "000.png": "v0.png",
        "004.png": "v1.png",
    }
    assert {row["distance"] for row in overlaps.values()} == {0}
    assert {row["measure"] for row in overlaps.values()} == {"pixels"}
    assert not (other / "scores").exists()
    assert (other / "report.html").read_text().count('class="pair"') == 2


def test_moved_scores_are_selected_from(place, finished, tmp_path):
    shutil.copytree(finished / "scores", tmp_path / "moved")
    (finished / "scores").rename(finished / "away")
    try:
        left_out = ["--images=-", "--model=-", "--chunk=-", "--batch=-"]
        again = run(place, tmp_path / "again", *left_out, f"--scores={tmp_path / 'moved'}")
    finally:
        (finished / "away").rename(finished / "scores")
    for name in ("kept.parquet", "rejected.parquet"):
        assert (again / name).read_bytes() == (finished / name).read_bytes()


def test_a_flipped_byte_of_scores_is_named(finished, tmp_path):
    """Pages have checksums; elsewhere a flip is named or changes nothing."""
    path, schema = sorted(finished.glob("scores/scores-*.parquet"))[0], tables.scores_schema(1)
    whole, expected, refused = path.read_bytes(), tables.read(path, schema), 0
    damaged = tmp_path / "scores.parquet"
    for at in range(4, len(whole), 7):
        damaged.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        try:
            found = tables.read(damaged, schema)
            assert found.equals(expected)
        except RunError as error:
            refused += 1
            assert str(error).startswith(f"{damaged}: expected a Parquet table (")
    assert refused > 5


@pytest.mark.slow
def test_damaged_scores_end_the_run_in_one_line(place, finished, tmp_path):
    """In a process of its own, whose log is nobody else's; what the line says helps."""
    whole = tmp_path / "out"
    shutil.copytree(finished, whole)
    path = sorted((whole / "scores").glob("scores-*.parquet"))[1]
    content = path.read_bytes()
    path.write_bytes(content[:-100])
    command = [sys.executable, "-m", "tools.filter_unlabeled", f"--scores={whole / 'scores'}", "--per_class=20"]
    done = subprocess.run([*command, f"--output={tmp_path / 'again'}"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    (told,) = done.stderr.strip().splitlines()
    assert told.startswith(f"filter_unlabeled: error: {path}: expected a Parquet table (")
    assert told.endswith("; remove it and run the command that made it again")
    path.unlink()
    run(place, whole, "--shard_images=25")
    assert path.read_bytes() == content


def test_a_plan_that_was_changed_is_named(place, finished, tmp_path):
    scores = tmp_path / "scores"
    for name, change in (("images.jsonl", (".png", ".jpg")), ("chunks.jsonl", ('"stop": ', '"stop": 1'))):
        shutil.rmtree(scores, ignore_errors=True)
        shutil.copytree(finished / "scores", scores)
        text = (scores / name).read_text()
        (scores / name).write_text(text.replace(*change, 1))
        assert (scores / name).read_text() != text
        with pytest.raises(
            RunError, match="chunks.jsonl: expected the plan of a run, cannot read it .*changed or damaged"
        ):
            inputs.plan((), "--images", "", 1, scores)
    shutil.copy(finished / "scores" / "chunks.jsonl", scores)
    assert len(inputs.plan((), "--images", "", 1, scores)) == len(list(scores.glob("scores-*.parquet")))


def test_an_evaluation_image_that_cannot_be_read_is_told(place, finished, tmp_path, capsys):
    (tmp_path / "bad.png").write_bytes(b"no image")
    again = ["--images=-", "--model=-", "--chunk=-", "--batch=-", f"--scores={finished / 'scores'}"]
    output = run(place, tmp_path / "out", *again, f"--exclude={place / 'val'}", f"--exclude={tmp_path / 'bad.png'}")
    assert "1 of 3 evaluation images cannot be read and are not compared" in capsys.readouterr().out
    none = run(place, tmp_path / "none", *again, f"--exclude={tmp_path / 'bad.png'}", status=2)
    told = capsys.readouterr().err
    assert "--exclude: expected evaluation images that can be read, got none among 1, " in told and not none.exists()
    summary = json.loads((output / "summary.json").read_text())
    assert summary["evaluation_images"] == {"images": 3, "unreadable": 1} and summary["rejected"]["overlaps"] == 2


def test_thresholds_classes_and_copies(place, finished):
    (place / "numbers.txt").write_text("0,1000\n2, 3\n")
    again = ["--images=-", "--model=-", "--chunk=-", "--batch=-", f"--scores={finished / 'scores'}"]
    output = run(
        place, place / "few", *again, f"--per_class={place / 'numbers.txt'}", "--upsample", "--min_probability=0.6"
    )
    kept = table(output / "kept.parquet")
    expected = [(label, -p, name) for label, p, name in by_hand(place) if -p >= 0.6 and label != 1]
    zero, two = ([row for row in expected if row[0] == label] for label in (0, 2))
    assert [row["id"] for row in kept] == [name for _, _, name in zero + two[:3]]
    assert sum(row["copies"] for row in kept if row["class"] == 0) == 1000
    copies = {row["id"]: row["copies"] for row in kept}
    examples = [record.example() for path in listing.shards(output, "") for record in tfrecord.records(path)]
    assert {example["image/id"].decode(): example["image/copies"] for example in examples} == copies
    reasons = {row["id"]: row["reason"] for row in table(output / "rejected.parquet")}
    low = {name for _, p, name in by_hand(place) if -p < 0.6}
    assert {name for name, reason in reasons.items() if reason == "below_threshold"} == low


def test_an_image_for_two_classes_is_written_once(place):
    output = run(place, place / "two", "--top_classes=2", "--per_class=100")
    kept = table(output / "kept.parquet")
    names = [row["id"] for row in kept]
    assert len(names) > len(set(names))
    examples = [record.example() for path in listing.shards(output, "") for record in tfrecord.records(path)]
    assert len(examples) == len(set(names))
    assert all(example["image/copies"] == names.count(example["image/id"].decode()) for example in examples)


def test_duplicates_within_the_set(place, tmp_path):
    random = np.random.default_rng(5)
    for number in range(6):
        one = photograph(random)
        one.save(tmp_path / f"{number}.png")
        one.save(tmp_path / f"{number}copy.jpg", quality=90)
    output = run(place, tmp_path / "out", f"--images={tmp_path}", "--dedup", "--per_class=3", "--chunk=5")
    kept = {row["id"]: row for row in table(output / "kept.parquet")}
    numbers = [name.split("/")[-1][0] for name in kept]
    assert len(numbers) == len(set(numbers)) > 3
    dropped = [row for row in table(output / "rejected.parquet") if row["reason"] == "overlaps"]
    assert dropped
    for row in dropped:
        assert kept[row["overlaps"]]["probability"] >= row["probability"]
        assert row["overlaps"].split("/")[-1][0] == row["id"].split("/")[-1][0]


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_bad_images_are_counted_and_listed(place, tmp_path):
    (tmp_path / "odd").mkdir()
    for name, content in (REFUSED | CONVERTED).items():
        (tmp_path / "odd" / f"{name}.png").write_bytes(content)
    picture(np.random.default_rng(2)).save(tmp_path / "odd" / "fine.png")
    listing = tmp_path / "list.txt"
    listing.write_text(
        "".join(f"odd/{path.name}\n" for path in sorted((tmp_path / "odd").iterdir())) + "odd/absent.png\n"
    )
    output = run(place, tmp_path / "out", f"--images={listing}")
    problems = {row["id"].split("/")[-1]: row for row in table(output / "problems.parquet")}
    for name in REFUSED:
        assert problems[f"{name}.png"]["problem"] == name.split()[0] and not problems[f"{name}.png"]["usable"]
    for name in CONVERTED:
        assert problems[f"{name}.png"]["problem"] == name and problems[f"{name}.png"]["usable"]
    assert "FileNotFoundError" in problems["absent.png"]["detail"]
    summary = json.loads((output / "summary.json").read_text())
    assert summary["rejected"]["unreadable"] == len(REFUSED) + 1 and summary["kept_images"] == len(CONVERTED) + 1
    assert summary["problems"]["too_large"] == {"count": 2, "used": False}
    unreadable = [row for row in table(output / "rejected.parquet") if row["reason"] == "unreadable"]
    assert len(unreadable) == len(REFUSED) + 1 and all(row["detail"] and row["class"] is None for row in unreadable)


def test_shards_patterns_and_folders_give_the_same(place, finished, tmp_path):
    with tf.io.TFRecordWriter(str(tmp_path / "all.tfrecord")) as writer:
        for path in sorted((place / "photos").rglob("*.png")):
            writer.write(shards.serialize(path.read_bytes(), str(path), -1, -1.0))
    expected = table(finished / "kept.parquet")
    for number, spec in enumerate((tmp_path / "all.tfrecord", place / "photos" / "**" / "*.png")):
        kept = table(run(place, tmp_path / f"out{number}", f"--images={spec}", "--chunk=37") / "kept.parquet")
        for row, other in zip(kept, expected, strict=True):
            assert row | {"source": ""} == other | {"source": ""}
    assert run(place, tmp_path / "none", f"--images={tmp_path / 'all.tfrecord'}", "--precision=bfloat16")


@pytest.mark.slow
def test_killed_and_started_again_ends_with_the_same_bytes(place, finished, tmp_path):
    output = tmp_path / "out"
    command = [sys.executable, "-m", filter_unlabeled.__name__, f"--images={place / 'photos'}", "--per_class=20"]
    command += [f"--model={place / 'model.keras'}", f"--output={output}", "--chunk=2", "--batch=8", "--shard_images=25"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while (
        len(list(output.glob("scores/scores-*.parquet"))) < 5 and process.poll() is None and time.monotonic() < deadline
    ):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = {path: path.stat().st_mtime_ns for path in output.glob("scores/scores-*.parquet")}
    assert 5 <= len(done) < IMAGES // 2 and not (output / "summary.json").exists()
    run(place, output, "--chunk=2", "--shard_images=25")
    assert done == {path: path.stat().st_mtime_ns for path in done}
    names = [path.name for path in finished.glob("kept*")] + ["rejected.parquet", "problems.parquet"]
    assert len(names) >= 4
    whole = run(place, tmp_path / "whole", "--chunk=2", "--shard_images=25")
    assert all((output / name).read_bytes() == (whole / name).read_bytes() for name in names)
    assert (output / "kept.parquet").read_bytes() == (finished / "kept.parquet").read_bytes()


BAD = {
    "--per_class=0": "--per_class: expected at least 1",
    "--per_class=many": "--per_class: expected a number or a file",
    "--per_class=99999999999999999999999": "--per_class: expected at most 1000000000000000 images a class",
    "--per_class=\u00b2": "--per_class: expected a number or a file",
    "--images=PLACE/nothing": "--images: expected a folder",
    "--images=PLACE/**/*.tiff": "--images: expected images or TFRecord shards, found none",
    "--images=PLACE/val/empty": "--images: expected images or TFRecord shards, found none",
    "--images=tfds:no_such_data_set/train": "--data_dir: no_such_data_set",
    "--exclude=PLACE/nothing": "--exclude: expected a folder",
    "--model=PLACE/nothing.keras": "--model: expected",
    "--model=PLACE/points.keras": "--model: expected a model of images",
    "--model=PLACE/images.keras": "--model: expected a model that gives [batch, classes]",
    "--model=PLACE/named/model.keras": "--model: ",
    "--model=PLACE/cut/model.keras": "results.json, cannot read it",
    "--model=PLACE/softmax.keras": "--outputs: ",
    "--outputs=probabilities": "--outputs: ",
    "--image_size=9": "--image_size: expected 8",
    "--top_classes=4": "--top_classes: expected at most the model's 3",
    "--top_classes=0": "--top_classes: expected at least 1",
    "--min_probability=2": "--min_probability: expected 0 to 1",
    "--distance=300": "--distance: expected -1 to 64, got 300",
    "--per_clas=9": "expected a flag of this tool or of Apache Beam; see --help; did you mean --per_class?",
    "stray": "stray: expected a flag of this tool or of Apache Beam",
    "--scores=PLACE/nothing": "--images: the images in --scores",
    "--output=PLACE/out": "--output: PLACE/out holds the results of another run, with other shard_images",
    "--output=PLACE/photos": "--output: expected an empty or new folder",
    "--output=PLACE/model.keras": "--output: ",
    "--precision=int8": "--precision: expected one of float32, bfloat16, got 'int8'",
}


def test_a_student_brings_the_names_of_its_classes(tmp_path):
    path = tmp_path / "student.keras"
    scoring = settings.Scoring(model=str(path))
    colour_model().save(path)
    assert recording.of_model(scoring, 3)["class_names"] is None
    (tmp_path / "results.json").write_text('{"class_names": ["a", "b", "c"]}')
    assert recording.of_model(scoring, 3)["class_names"] == ["a", "b", "c"]
    saved.add_class_names(path, ("x", "y", "z"))
    assert recording.of_model(scoring, 3)["class_names"] == ["x", "y", "z"]


@pytest.fixture(scope="module")
def bad_models(place):
    (place / "val" / "empty").mkdir()
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)]).save(place / "points.keras")
    keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(3, 1)]).save(place / "images.keras")
    colour_model(softmax=True).save(place / "softmax.keras")
    (place / "named").mkdir()
    colour_model().save(place / "named" / "model.keras")
    (place / "named" / "results.json").write_text('{"class_names": ["a", "b"]}')
    shutil.copytree(place / "named", place / "cut")
    (place / "cut" / "results.json").write_text('{"class_names": ["a"')


@pytest.mark.parametrize("flag", BAD)
def test_bad_input_is_one_line(flag, place, finished, bad_models, tmp_path, capsys):
    given = flag.replace("PLACE", str(place))
    status = 1 if "tfds:" in flag else 2
    run(place, tmp_path / "out", given, status=status)
    error = capsys.readouterr().err.strip().splitlines()
    lines = [line for line in error if line.startswith("filter_unlabeled: error: ")]
    assert len(lines) == 1 and BAD[flag].replace("PLACE", str(place)) in lines[0]
    assert not [line for line in error if "Traceback" in line or line.startswith("  ")]


def test_without_the_extra_one_line_says_what_to_install(place, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(filter_unlabeled, "NEEDED", ("no_such_package",))
    run(place, tmp_path / "out", status=2)
    error = capsys.readouterr().err.strip()
    assert "no_such_package" in error and error.endswith("pip install -e '.[filter]'") and "\n" not in error


def test_a_mended_command_may_use_the_same_folder(place, tmp_path):
    for bad in (f"--exclude={place / 'nothing'}", f"--images={place / 'val' / 'nothing'}", "--outputs=probabilities"):
        run(place, tmp_path / "out", bad, status=2)
        assert not (tmp_path / "out").exists()
    run(place, tmp_path / "out", images="val")
    run(place, tmp_path / "out", f"--exclude={place / 'nothing'}", images="val", status=2)
    assert (tmp_path / "out" / "summary.json").exists()


def test_scores_without_what_is_asked(place, tmp_path, capsys):
    run(place, tmp_path / "out", "--nofingerprints", "--per_class=2")
    again = ["--images=-", "--model=-", "--chunk=-", "--batch=-", f"--scores={tmp_path / 'out' / 'scores'}"]
    for flag, message in (("--dedup", "no fingerprints"), ("--top_classes=2", "the 1 best of each image")):
        run(place, tmp_path / "again", *again, flag, status=2)
        assert message in capsys.readouterr().err
    next((tmp_path / "out" / "scores").glob("scores-*.parquet")).unlink()
    run(place, tmp_path / "again", *again, status=2)
    assert "let that run finish first" in capsys.readouterr().err


def test_progress_line():
    limits, fill = np.array([2, 4]), np.array([5, 1])
    expected = "scored 30/100 images, 10/s, 0:07 left, classes full 1/2, filled 50 %"
    assert progress.line("scored", 10, 20, 100, 2.0, fill, limits) == expected
    assert progress.line("selected", 0, 0, 100, 0.0, None, None) == "selected 0/100 images, 0/s, ? left"


def test_tallies_of_all_processes_are_summed(tmp_path, monkeypatch):
    """A chunk counts once: one that two processes had, one that was scored before, one that was begun anew."""
    monkeypatch.setattr(tally, "PAUSES", (0.0, 0.0))
    folder = tmp_path / "tallies"
    total = tally.Sum(str(folder), {0: 10, 1: 10, 2: 10, 3: 4}, [0])
    assert total.now() == (10, 0, 0, None)
    tally.of(str(folder)).begin(1)(6)
    tally.of(str(folder)).survey(0, np.array([0, 2, 2]), 3)
    tally.of(str(folder)).select(3)
    first, second = tally.Tally(folder), tally.Tally(folder)
    for other, images in ((first, 4), (second, 10)):
        other.begin(2)(7)
        other.begin(2)(images)
        other.survey(2, np.array([1]), 3)
        other.select(2)
    second.begin(3)(4)
    assert len(list(folder.iterdir())) == 2
    scored, surveyed, selected, fill = total.now()
    assert (scored, surveyed, selected, fill.tolist()) == (10 + 6 + 10 + 4, 20, 10 + 4, [1, 1, 2])


def test_progress_tells_of_one_step_after_the_other():
    """The time that is left is that of the step alone; at the end the line tells of the whole."""

    class Tallies:
        def now(self):
            return self.counts

    output, tallies = io.StringIO(), Tallies()
    steps = progress._Line(tallies, 100, 100, np.array([4]), output)
    for counts in ((100, 50, 0), (100, 100, 0), (100, 100, 75)):
        tallies.counts = (*counts, np.array([2]))
        steps.show("\n")
    scoring = progress._Line(tallies, 100, 20, np.array([4]), output)
    for counts in ((60, 50, 0), (100, 100, 25)):
        tallies.counts = (*counts, np.array([2]))
        scoring.show("\n")
    steps.whole = scoring.whole = True
    scoring.show("\n")
    steps.show("\n")
    told = [" ".join(line.split()[:2]) for line in output.getvalue().splitlines()]
    expected = ["surveyed 50/100", "selected 0/100", "selected 75/100", "scored 60/100", "selected 25/100"]
    assert told == [*expected, "scored 100/100", "selected 100/100"]


def test_progress_of_a_choice_among_scores_is_told(place, finished, tmp_path, capsys):
    again = ["--images=-", "--model=-", "--chunk=-", "--batch=-", f"--scores={finished / 'scores'}"]
    run(place, tmp_path / "again", *again)
    assert capsys.readouterr().err.startswith(f"selected {IMAGES}/{IMAGES} images, ")
    assert not (tmp_path / "again" / "work").exists()
