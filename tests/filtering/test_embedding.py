"""Overlaps by features: whose they are, what forms are known, which cosine is enough, and whole runs with them.

Covers: excluding.py, features.py, forms.py, network.py, recording.py
"""

import json
import shutil
import sys

import keras
import numpy as np
import pytest
from PIL import Image, ImageOps

from mpl_tf import models
from mpl_tf.filtering import chunks, embedding, excluding, features, forms, network, score, tables
from tests.filtering.test_overlap import photograph
from tests.filtering.test_run import colour_model, table
from tools import filter_unlabeled

pytest.importorskip("faiss")
SIDE = 16
COPIES = {
    "crop": lambda image: image.crop((2, 2, image.width - 2, image.height - 2)),
    "frame": lambda image: ImageOps.expand(image, 4),
    "turn": lambda image: image.rotate(4, Image.Resampling.BILINEAR),
    "mirror": ImageOps.mirror,
    "bright": lambda image: image.point(lambda level: min(1.4 * level, 255)),
}


def pixels_model():
    """A backbone whose features are the pixels at 8 x 8, black at -1: [B, 192]."""
    layers = [keras.Input((SIDE, SIDE, 3)), keras.layers.AveragePooling2D(2), keras.layers.Rescaling(1 / 128, -1.0)]
    return keras.Sequential([*layers, keras.layers.Flatten()])


@pytest.mark.parametrize("constant", [True, False])
def test_features_of_a_scorer_are_what_its_last_layer_takes(tmp_path, monkeypatch, constant):
    monkeypatch.setattr(network, "MOST_CONSTANT", network.MOST_CONSTANT if constant else 0)
    keras.utils.set_random_seed(0)
    inner = models.build("narrow_cnn", shape=(8, 8, 3), num_classes=5)
    keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Rescaling(1 / 64, -2.0), inner]).save(tmp_path / "m.keras")
    images = np.random.default_rng(0).integers(0, 256, (11, 8, 8, 3), np.uint8)
    expected = keras.Model(inner.inputs, inner.layers[-1].input).predict(images / 64.0 - 2.0, verbose=0)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    scorer = score.Scorer(tmp_path / "m.keras", batch=4)
    found = features.of_many(scorer, images)
    assert found.dtype == np.float16 and found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-3)
    np.testing.assert_array_equal(found[:4], scorer(images[:4])[1])


def test_a_backbones_maps_are_averaged_and_what_is_not_finite_is_nothing(tmp_path):
    keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Rescaling([1.0, 2.0, 0.0])]).save(tmp_path / "b.keras")
    images = np.full((3, 4, 4, 3), 10, np.uint8)
    images[1, :, :2, 1] = 40
    found = features.Backbone(tmp_path / "b.keras", batch=2)
    means = np.array([[10, 20, 0], [10, 50, 0], [10, 20, 0]])
    expected = means / np.linalg.norm(means, axis=1, keepdims=True)
    np.testing.assert_allclose(features.of_many(found, images), expected, atol=1e-3)
    np.testing.assert_array_equal(features.unit(np.array([[np.nan, 1.0], [np.inf, 0.0]], np.float32)), [[0, 1], [0, 0]])


def test_forms_are_the_image_first_and_each_followed_by_its_mirror_image():
    image = photograph(np.random.default_rng(0))
    known, own = forms.looks(image, SIDE, True), forms.looks(image, SIDE, False)
    assert known.shape == (forms.COUNT, SIDE, SIDE, 3) and own.shape == (1, SIDE, SIDE, 3)
    np.testing.assert_array_equal(known[0], own[0])
    np.testing.assert_array_equal(known[::2, :, ::-1], known[1::2])
    assert len({one.tobytes() for one in known}) == forms.COUNT
    assert forms.looks(image.resize((1, 1)), SIDE, True).shape == known.shape  # Nothing to crop, or to halve.


def noted(tmp_path, values):
    """Files of the features (float16 [N, forms.COUNT, D]) of evaluation images, in two parts."""
    paths, start = [], 0
    for number, part in enumerate(np.array_split(values, 2)):
        path = features.path(tmp_path, chunks.Chunk(number, "", 0, len(part), 0))
        tables.write(path, features.table_of(range(len(part)), part))
        paths.append(path)
        start += len(part)
    return paths


def units(random, *shape):
    values = random.normal(size=shape)
    return (values / np.linalg.norm(values, axis=-1, keepdims=True)).astype(np.float16)


@pytest.mark.parametrize("flat", [embedding.FLAT, 10])
def test_the_nearest_and_the_threshold_are_those_of_comparing_all(tmp_path, monkeypatch, flat):
    monkeypatch.setattr(embedding, "FLAT", flat)
    monkeypatch.setattr(embedding, "PROBED", 1)  # Of cells, where there are any, all are searched.
    random, count = np.random.default_rng(0), 30
    values = units(random, count, forms.COUNT, 6)
    paths = noted(tmp_path, values)
    every = values.astype(np.float64)
    queries = np.concatenate([values[[3, 17], [5, 0]], units(random, 40, 6)])
    cosines = np.einsum("qd,nfd->qnf", queries.astype(np.float64), every).max(axis=2)
    known = embedding.known(tmp_path) or embedding.build(tmp_path, paths, 0.9, True)
    assert known.similarity == 0.9 and known.blank == 0
    known = embedding.known(tmp_path)
    found = known.nearest(np.arange(42) * 2, queries)
    assert set(found) == {2 * row for row in range(42) if cosines[row].max() >= 0.9} and len(found) < 42
    for row, (place, cosine) in found.items():
        assert place == cosines[row // 2].argmax() and cosine == pytest.approx(cosines[row // 2].max(), abs=2e-3)
    assert found[0][0] == 3 and found[2][0] == 17 and known.hashed
    # The threshold by hand: the nearest other image of each.
    own = np.einsum("nd,mfd->nmf", every[:, 0], every).max(axis=2)
    own[np.arange(count), np.arange(count)] = -1
    expected = np.quantile(own.max(axis=1), 1 - embedding.SHARE)
    least, share, _ = embedding.build(tmp_path, paths, 0.0, False)
    assert least == pytest.approx(np.clip(expected, embedding.LEAST, embedding.MOST), abs=2e-3)
    assert share == (own.max(axis=1) >= least).mean()
    assert not embedding.known(tmp_path).hashed and embedding.known(tmp_path).nearest(np.zeros(0, int), queries) == {}


def test_one_evaluation_image_and_none(tmp_path):
    assert embedding.build(tmp_path, noted(tmp_path, units(np.random.default_rng(0), 0, 3, 4)), 0.0, True) == (0, 0, 0)
    assert embedding.known(tmp_path) is None
    paths = noted(tmp_path, units(np.random.default_rng(0), 1, forms.COUNT, 4))
    assert embedding.build(tmp_path, paths, 0.0, True) == (embedding.ALONE, 0, 0)


@pytest.mark.parametrize(
    ("count", "given", "share", "told"),
    [
        (1, 0.0, 0.0, "on, as usual of networks: one evaluation image does not tell"),
        (12, 0.0, 2 / 12, "on; found from 12 images alone, it may take one in 12 images"),
        (12, 0.0, 0.5, "on; 50% of the evaluation images have another one so near"),
        (12, 0.9, 2 / 12, "a cosine of 0.9000 on"),
        (1000, 0.0, 0.005, "a cosine of 0.9000 on"),
        (1000, 0.9, 0.011, "on; 1% of the evaluation images have another one so near"),
    ],
)
def test_what_is_told_of_a_threshold(count, given, share, told):
    lines, counts = [], {"images": count + 1, "unreadable": 1}
    excluding._tell(embedding.Built(0.9, share, 0), counts, None, given, lines.append)
    assert told in lines[0] and (told.endswith("on") <= lines[0].endswith("on"))


def test_evaluation_images_without_features_are_counted_and_leave_the_threshold_to_the_others(tmp_path):
    values = units(np.random.default_rng(0), 9, forms.COUNT, 6)
    alone = embedding.build(tmp_path, noted(tmp_path, values), 0.0, True)
    values = np.concatenate([np.zeros_like(values[:3]), values])
    assert embedding.build(tmp_path, noted(tmp_path, values), 0.0, True) == (*alone[:2], 3)
    assert embedding.build(tmp_path, noted(tmp_path, values[:4]), 0.0, True) == (embedding.ALONE, 0, 3)
    assert embedding.build(tmp_path, noted(tmp_path, values[:3]), 0.0, True) == (embedding.ALONE, 0, 3)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Photographs, of which the first five are evaluation images changed as COPIES have it, and networks."""
    root, random = tmp_path_factory.mktemp("embedding"), np.random.default_rng(1)
    for folder in ("photos", "val"):
        (root / folder).mkdir()
    for number in range(40):
        photograph(random).save(root / "photos" / f"{number:02d}.png")
    for number, copy in enumerate(COPIES.values()):
        image = photograph(random)
        image.save(root / "val" / f"v{number}.png")
        copy(image).save(root / "photos" / f"{number:02d}.png")
    for number in range(5, 25):
        photograph(random).save(root / "val" / f"v{number:02d}.png")
    colour_model(side=SIDE).save(root / "model.keras")
    pixels_model().save(root / "backbone.keras")
    return root


def run(place, output, *flags, status=0):
    given = [f"--images={place / 'photos'}", f"--model={place / 'model.keras'}", f"--exclude={place / 'val'}"]
    given += [f"--backbone={place / 'backbone.keras'}", "--per_class=9", "--chunk=16", f"--output={output}"]
    named = {flag.split("=")[0] for flag in flags}
    left = [flag for flag in given if flag.split("=")[0] not in named]
    assert filter_unlabeled.main([*left, *(flag for flag in flags if not flag.endswith("=-"))]) == status
    return output


def overlaps(output):
    """Dict of the names of images left out as overlaps to (name of the evaluation image, measure)."""
    rows = [row for row in table(output / "rejected.parquet") if row["reason"] == "overlaps"]
    return {row["id"][-6:-4]: (row["overlaps"][-6:-4], row["measure"]) for row in rows}


@pytest.fixture(scope="module")
def finished(place):
    return run(place, place / "both", "--overlap=both")


def test_crops_frames_and_turns_are_found_by_features_not_by_hashes(place, finished, tmp_path, capsys):
    expected = {f"{number:02d}": f"v{number}" for number in range(len(COPIES))}
    found = overlaps(finished)
    assert {image: other for image, (other, _) in found.items()} == expected
    assert {measure for _, measure in found.values()} == {"features", "hash"} and found["03"][1] == "hash"
    by_features = overlaps(run(place, tmp_path / "features", "--overlap=embedding"))
    assert by_features == {image: (other, "features") for image, other in expected.items()}
    assert set(overlaps(run(place, tmp_path / "hash", "--backbone=-"))) <= {"03", "04"}
    # The distance is the cosine's, in thousandths below 1.
    summary = json.loads((finished / "summary.json").read_text())
    least = summary["evaluation_images"]["least_similarity"]
    assert embedding.LEAST <= least <= embedding.MOST and f"a cosine of {least:.4f} on" in (
        told := capsys.readouterr().out
    )
    assert told.count("found from 25 images alone, it may take one in 25 images") >= 1
    rows = [row for row in table(finished / "rejected.parquet") if row["measure"] == "features"]
    assert all(0 <= row["distance"] <= round(1000 * (1 - least)) for row in rows)
    # A threshold of one's own.
    assert len(overlaps(run(place, tmp_path / "all", "--overlap=embedding", "--similarity=0.01"))) > 20
    told = capsys.readouterr().out
    assert "a cosine of 0.0100 on; 100% of the evaluation images have another one so near" in told


def test_selecting_again_compares_the_features_beside_the_scores(place, finished, tmp_path):
    again = ("--images=-", "--model=-", "--backbone=-", f"--scores={finished / 'scores'}")
    output = run(place, tmp_path / "again", *again, "--overlap=both")
    for name in ("kept.parquet", "rejected.parquet"):
        assert (output / name).read_bytes() == (finished / name).read_bytes()
    sizes = [len(one) for path in (finished / "scores").glob("features-*") for one in features.read(path)[1]]
    assert sizes == [192] * 40


@pytest.mark.slow
def test_worker_processes_give_the_local_bytes(place, finished, tmp_path):
    processes = ("--direct_running_mode=multi_processing", "--direct_num_workers=2")
    output = run(place, tmp_path / "out", "--overlap=both", *processes)
    names = [path.relative_to(finished) for path in (*finished.rglob("*.parquet"), *finished.glob("kept-*.tfrecord"))]
    assert len(names) > 6
    for name in names:
        assert (output / name).read_bytes() == (finished / name).read_bytes(), name


def test_features_that_were_removed_are_made_again(place, finished, tmp_path, capsys):
    output = tmp_path / "out"
    shutil.copytree(finished, output)
    damaged = output / "scores" / "features-00001.parquet"
    before = damaged.read_bytes()
    damaged.write_bytes(before[:-9])
    again = ("--images=-", "--model=-", "--backbone=-", "--chunk=-", f"--scores={output / 'scores'}", "--overlap=both")
    run(place, tmp_path / "again", *again, status=1)
    assert f"{damaged}: expected a Parquet table" in capsys.readouterr().err
    # As that line advises.
    damaged.unlink()
    run(place, tmp_path / "other", *again, status=2)
    assert "holds 24 of 40 images; let that run finish first" in capsys.readouterr().err
    run(place, output, "--overlap=both")
    assert damaged.read_bytes() == before
    run(place, tmp_path / "again", *again)
    assert (tmp_path / "again" / "kept.parquet").read_bytes() == (finished / "kept.parquet").read_bytes()


def test_the_scorers_own_features(place, tmp_path):
    found = overlaps(run(place, tmp_path / "own", "--overlap=embedding", "--backbone=-", "--similarity=0.99999"))
    assert found["03"][0] == "v3"  # Three mean colours: those of a mirror image are the same.


def test_what_cannot_be_compared_is_refused_in_a_line(place, finished, tmp_path, monkeypatch, capsys):
    def told(*flags, status=2):
        capsys.readouterr()
        run(place, tmp_path / "out", *flags, status=status)
        assert not (tmp_path / "out").exists()
        (line,) = capsys.readouterr().err.strip().splitlines()
        return line

    again = ("--images=-", "--model=-", "--backbone=-")
    run(place, tmp_path / "plain", "--backbone=-")
    assert "holds no features" in told(*again, f"--scores={tmp_path / 'plain' / 'scores'}", "--overlap=both")
    assert "goes with --overlap=embedding" in told()
    assert "found no" in told("--overlap=both", f"--backbone={place / 'none.keras'}")
    keras.Sequential([keras.Input((8, 6, 3)), keras.layers.Flatten()]).save(tmp_path / "odd.keras")
    assert "square images" in told("--overlap=both", f"--backbone={tmp_path / 'odd.keras'}")
    for value in (0.0, np.nan, 1e38):
        keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Rescaling(value)]).save(tmp_path / "none.keras")
        assert "for all of them" in told("--overlap=both", f"--backbone={tmp_path / 'none.keras'}")
    assert "--similarity: 0.9 goes with --overlap=embedding" in told("--backbone=-", "--similarity=0.9")
    assert "--backbone: the images in" in told(*again[:2], f"--scores={finished / 'scores'}", "--overlap=both")
    assert "--outputs: the images in" in told(*again, f"--scores={finished / 'scores'}", "--outputs=probabilities")
    (place / "backbone.keras").rename(place / "away.keras")
    assert "put it back" in told(*again, f"--scores={finished / 'scores'}", "--overlap=both")
    (place / "away.keras").rename(place / "backbone.keras")
    monkeypatch.setitem(sys.modules, "faiss", None)
    assert "pip install -e '.[embedding]'" in told("--overlap=both")
