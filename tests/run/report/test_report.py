"""report.html: its numbers by hand, a whole run's page, the same bits without it, and Chromium's view of it.

Covers: charts.py, look.py, tables.py, sample.py, report.py, reporter.py
"""

import functools
import html
import re
import subprocess
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mpl_tf import data, main
from mpl_tf.base import storage
from mpl_tf.base.errors import RunError
from mpl_tf.base.storage import mirror
from mpl_tf.data import Dataset, Source
from mpl_tf.data.stored import Stored
from mpl_tf.run import teacher_labels
from mpl_tf.run.report import charts, pseudo, sample, tables
from mpl_tf.run.report import report as reports
from mpl_tf.run.report.reporter import Reporter
from tests import browser

pytestmark = pytest.mark.usefixtures("plain_graphs")
# Dropout draws from a generator that Keras seeds by Python's random numbers: a report that drew some would show.
RUN = ["--dataset=digits_50", "--method=mpl", "--model=narrow_cnn", "--validate_on=held_out", "--dropout=0.5"]
RUN += ["--train_steps=4", "--steps_per_epoch=2", "--steps_per_execution=2", "--finetune_steps=2", "--mu=2"]

CAPTURED = {"capture_output": True, "text": True, "timeout": 120}


# ---- Parts ----------------------------------------------------------------------------------------------------------


def test_a_chart_has_its_points_where_they_belong():
    found = charts.chart("Loss", "nats", {"a": [(0, 1.0), (50, float("nan")), (100, 0.0)]}, level=0.5)
    frame = found["frame"]
    (line,) = found["lines"]
    assert line["places"] == [(frame["left"], charts.TOP), (frame["right"], frame["bottom"])]
    assert (line["last"], found["level"]) == ("0", (charts.TOP + frame["bottom"]) / 2)
    assert [text for _, text in found["y"]] == ["0", "0.5", "1"]
    small = charts.chart("", "", {"a": [(1, 0.000879), (2, 0.000123)]})
    assert small["y"][2][1] == "8.8e-04"  # The axis has no room for more.
    flat = charts.chart("", "", {"a": [(7, 2.0)]})  # One point, and one value: neither divides by zero.
    assert flat["lines"][0]["places"][0][0] == frame["right"]


def test_curves_are_those_of_the_table_and_what_is_0_throughout_is_none(tmp_path):
    (tmp_path / "metrics.csv").write_text("epoch,step,loss,h,baseline\n0,2,1.5,0.0,0.0\n1,4,nan,0.0,0.0\n")
    rows = charts.table(tmp_path / "metrics.csv")
    assert [row["step"] for row in rows] == [2, 4]
    assert [chart["title"] for chart in charts.of_run(rows)] == ["Losses in training"]
    assert charts.table(tmp_path / "none.csv") == charts.of_run([]) == []


def test_a_long_curve_is_thinned_evenly():
    found = charts.thinned(list(range(1001)))
    assert (len(found), found[0], found[-1]) == (charts.POINTS, 0, 1000)


def test_few_classes_are_a_table_of_counts():
    found = tables.confusions(np.array([[3, 1], [0, 0]]), ["a", "caf\udce9"])
    assert found["rows"] == [("a", [(3, 0.75), (1, 0.25)]), ("caf\\xe9", [(0, 0.0), (0, 0.0)])]
    assert found["pairs"] == [("a", "caf\\xe9", 1, "0.25")]


@pytest.mark.parametrize("classes", [21, 1000])
def test_many_classes_are_a_picture_and_the_most_frequent_pairs(classes):
    confusion = 5 * np.eye(classes, dtype=int)
    confusion[3, 7] = 20
    found = tables.confusions(confusion, [str(number) for number in range(classes)])
    assert found["pairs"] == [("3", "7", 20, "0.80")]
    assert classes / 2 <= found["side"] <= tables.LARGEST
    assert len(found["picture"]) < 50_000


def test_flags_that_differ_from_the_defaults_come_first(make_config):
    changed, others = tables.flag_rows(make_config(seed=3))
    assert ("seed", "3", "0") in changed
    assert not {name for name, *_ in changed} & {name for name, *_ in others}
    assert all(value == default for _, value, default in others)


def test_a_sample_is_spread_over_its_part_and_bounded():
    source = Source(np.arange(5000, dtype="float32")[:, None], np.arange(5000, dtype="int32"))
    found = sample.draw(source)
    assert (len(found.numbers), found.numbers[0], found.numbers[-1]) == (sample.EXAMPLES, 0, 4999)
    np.testing.assert_array_equal(found.labels, found.numbers)
    assert sample.draw(source, with_labels=False).labels is None
    large = Source(np.zeros([9, sample.BYTES // 32, 1], np.float32))
    assert len(sample.draw(large, with_labels=False).numbers) == 8


# ---- Whole runs -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Folders of the same run with the report and without it."""
    folder = tmp_path_factory.mktemp("runs")
    DRAWN.clear()  # A worker that takes tests over from another one may make its runs twice.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sample, "draw", functools.partial(_counted, sample.draw))
        for name in ("true", "false"):
            assert main.main([*RUN, f"--report={name}", f"--workdir={folder / name}"]) == 0
    return folder / "true", folder / "false"


DRAWN = []  # Numbers of examples of the parts that the runs drew samples of.


def _counted(draw, source, **options):
    DRAWN.append(len(source))
    return draw(source, **options)


@pytest.mark.slow
def test_a_run_draws_its_samples_once(runs):
    """Of its 264 validation and 1,034 unlabeled images, at the first of two epochs, and not again at the end."""
    assert DRAWN == [1034, 264]


@pytest.mark.slow
def test_phases_before_and_after_the_main_one_have_their_curves(runs, tmp_path):
    text = (runs[0] / reports.NAME).read_text()
    assert "Finetuning on the labeled images" in text and "trained first" not in text
    for name in ("teacher", "generation10", "generation2", "finetune"):
        (tmp_path / f"{name}.csv").write_text("epoch,step,loss,val_accuracy\n0,2,1.5,0.25\n1,4,1.25,0.5\n")
    (tmp_path / "generation1.csv").write_text("damaged")
    found = charts.of_phases(tmp_path)
    assert [phase["title"].split(",")[0] for phase in found] == [
        "The teacher",
        "Generation 2",
        "Generation 10",
        "Finetuning on the labeled images",
    ]
    loss, accuracy = found[0]["charts"]
    assert loss["lines"][0]["last"] == "1.25"
    assert [(line["name"], line["last"]) for line in accuracy["lines"]] == [("teacher, validation", "0.5")]
    assert found[3]["charts"][1]["lines"][0]["name"] == "student, validation"


def test_the_phases_of_a_run_in_a_bucket_have_theirs_too(bucket, make_config, monkeypatch):
    storage.put(b"epoch,step,loss\n0,2,1.5\n1,4,1.25\n", f"{bucket}/run/finetune.csv")
    monkeypatch.setattr(reports.Report, "_looked_at", lambda *_: {})
    config = make_config(workdir=f"{bucket}/run")
    with mirror.worked_in(config.workdir, "workdir"):
        reports.Report(config, data.load(config)).write({}, 4, 1.0)
    assert b"Finetuning on the labeled images" in storage.read_bytes(f"{bucket}/run/report.html")


@pytest.mark.slow
def test_the_weights_are_the_same_bits_without_it(runs):
    """Those of student.keras, which was finetuned, and what was logged on the way."""
    networks = [keras.models.load_model(folder / "student.keras", compile=False).get_weights() for folder in runs]
    for one, other in zip(*networks, strict=True):
        np.testing.assert_array_equal(one, other)
    tables_ = [(folder / "metrics.csv").read_text().splitlines() for folder in runs]
    kept = [[_without_rate(line, lines[0]) for line in lines] for lines in tables_]
    assert kept[0] == kept[1]
    assert not (runs[1] / reports.NAME).exists()


def _without_rate(line, header):
    return [cell for name, cell in zip(header.split(","), line.split(","), strict=True) if name != "images_per_second"]


@pytest.mark.slow
def test_the_page_holds_all_it_needs_and_tells_the_run(runs):
    text = (runs[0] / reports.NAME).read_text()
    assert "mpl on digits_50: finished" in text
    assert not re.search(r"""(src|href)=["'](?!data:)|url\(|@import|<script src""", text)
    for words in (
        "Losses in training",
        "Pseudo labels",
        "Confusions",
        "--dropout",
        "tensorflow",
        "All 449 test images",
    ):
        assert words in text
    assert len(text) < 3_000_000
    assert [one["step"] for one in pseudo.History(runs[0]).records] == [2, 4]


def test_what_goes_wrong_is_told_once_and_nothing_is_raised(tmp_path, capsys, make_config):
    (tmp_path / reports.NAME).mkdir()
    (tmp_path / reports.NAME / "in the way").touch()
    dataset = SimpleNamespace(labeled=(), unlabeled=None, validation=None, test=None)
    written = reports.Report(make_config(workdir=tmp_path), dataset)
    for step in (1, 2):
        written.write({"student": None}, step, 1.0)
    (line,) = capsys.readouterr().err.splitlines()
    assert "report.html is not written" in line and "the run goes on without it" in line


def network(shape, classes):
    """A deployable network of examples of a shape."""
    layers = [keras.layers.Flatten(), keras.layers.Dense(classes)]
    return keras.Sequential([keras.Input(shape), *layers])


def page(dataset, config):
    """The text of a report of two networks before any training."""
    networks = {role: network(dataset.shape, dataset.num_classes) for role in ("student", "teacher")}
    written = reports.Report(config, dataset)
    written.write(networks, 0, 0.0)
    return written.path.read_text()


def test_images_in_files_and_a_thousand_classes(make_config, imagenet_dir, tmp_path):
    flags = {"data_dir": imagenet_dir, "scale": "smoke", "model": "narrow_cnn", "method": "mpl"}
    config = make_config("imagenet_10", workdir=tmp_path, **flags)
    text = page(data.load(config), config)
    assert "taken as alike" in text and "Teacher and student disagree" in text
    assert text.count("data:image/jpeg") > 40
    assert len(text) < 3_000_000


def test_points_have_no_pictures(make_config, tmp_path):
    config = make_config("two_moons", workdir=tmp_path)
    text = page(data.load(config), config)
    assert "the examples are points" in text and "Pseudo labels" in text and "data:image" not in text


def test_stored_features_have_no_pictures(make_config, tmp_path):
    """Ten examples of five features, of three classes."""
    random = np.random.default_rng(0)
    features = {"plain": random.normal(size=[10, 1, 5]).astype(np.float16)}
    part = Stored(np.arange(10, dtype=np.int32), np.arange(10, dtype=np.int32) % 3, views=features)
    unlabeled = part.take(slice(None), with_labels=False)
    dataset = Dataset("digits_50", part, unlabeled, part, ("a", "b", "c"), validation=part)
    text = page(dataset, make_config(method="mpl", workdir=tmp_path))
    assert "stored features" in text and "Confusions" in text and "Pseudo labels" in text and "data:image" not in text


def test_labels_of_a_fixed_teacher_have_their_precision(make_config, tmp_path):
    """A teacher that always says the second class, of four validation examples of which one is of that class."""
    teacher = network((2,), 3)
    teacher.layers[-1].set_weights([np.zeros([2, 3]), np.array([0.0, 5.0, 1.0])])
    teacher.save(tmp_path / "generation1.keras")
    points = Source(np.zeros([4, 2], np.float32), np.array([0, 1, 2, 2], np.int32))
    targets = np.tile([0.1, 0.8, 0.1], [4, 1]).astype(np.float32)
    unlabeled = Source(points.images, targets=targets)
    dataset = Dataset("two_moons", points, unlabeled, points, ("a", "b", "c"), validation=points)
    config = make_config("two_moons", method="noisy_student", generations=2, workdir=tmp_path)
    page(dataset, config)
    (found,) = pseudo.History(tmp_path).records
    assert found["precision"] == [None, 0.25, None] and found["counts"] == [0, 4, 0]


def test_a_fixed_teachers_file_is_that_of_the_phase_before_the_main_one(make_config, tmp_path):
    def file(**values):
        return teacher_labels.teacher_file(make_config(workdir=tmp_path, **values))

    assert file(method="pseudo_labels", generations=3) == tmp_path / "teacher.keras"
    assert file(method="noisy_student", generations=3) == tmp_path / "generation2.keras"
    (tmp_path / "my.keras").touch()
    given = tmp_path / "my.keras"
    assert file(method="noisy_student", generations=1, teacher=str(given)) == given
    assert file(method="reduced_mpl") == tmp_path / "teacher.keras"


def test_the_same_state_makes_the_same_page(make_config, tmp_path, monkeypatch):
    """At a run's end, of other objects with the same weights; nothing is asked or drawn anew."""
    config = make_config(workdir=tmp_path, method="mpl")
    dataset = data.load(config)
    networks = {role: network(dataset.shape, dataset.num_classes) for role in ("student", "teacher")}
    written = reports.Report(config, dataset)
    written.write(networks, 2, 1.0)
    before = written._looked_at(networks, 2, None, None)
    monkeypatch.setattr(sample, "distributions", None)
    again = {role: keras.models.clone_model(model) for role, model in networks.items()}
    for role, model in again.items():
        model.set_weights(networks[role].get_weights())
    assert written._looked_at(again, 2, None, None) == before


def test_of_several_workers_one_writes():
    """All of them refresh their copies, as each may hold a share of the weights."""
    models = {"val": "student", "val_teacher": "teacher"}
    for writes in (True, False):
        written, refreshed = [], []
        report = SimpleNamespace(write=lambda *given, to=written: to.append(given))
        copies = SimpleNamespace(at=lambda step, to=refreshed: to.append(step) or models)
        checkpoints = SimpleNamespace(writes=writes, seconds=tf.Variable(2.0))
        Reporter(report, copies, checkpoints, SimpleNamespace(step=7)).on_epoch_end(0)
        assert refreshed == [7]
        assert written == [({"student": "student", "teacher": "teacher"}, 7, 2.0)] * writes


def test_an_image_that_cannot_be_read_costs_the_pictures_alone(make_config, tmp_path, monkeypatch):
    config = make_config(workdir=tmp_path)
    monkeypatch.setattr(Source, "pieces", _damaged)
    text = page(data.load(config), config)
    assert "The images could not be looked at: a.png is damaged" in text and "--dataset" in text


def _damaged(*_):
    raise RunError("a.png is damaged")


# ---- In a browser ---------------------------------------------------------------------------------------------------


@pytest.mark.skipif(browser.chromium() is None, reason="no Chromium is installed")
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.slow
def test_chromium_shows_it_without_an_error(runs, tmp_path, width):
    picture = tmp_path / "page.png"
    command = [
        browser.chromium(),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--enable-logging=stderr",
    ]
    command += [f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},2000", f"--screenshot={picture}"]
    done = subprocess.run([*command, f"file://{runs[0] / reports.NAME}"], check=False, **CAPTURED)
    assert "CONSOLE" not in done.stderr
    with Image.open(picture) as image:
        assert image.size == (width, 2000)
        pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
    assert len(np.unique(pixels, axis=0)) > 50
    # All of the page is used, the last of its parts in the picture too.
    rows = (np.asarray(pixels).reshape(2000, width, 3) != 255).any(axis=(1, 2))
    assert rows.mean() > 0.5


def test_names_are_escaped():
    assert html.escape("<b>") in reports._template().render(
        title="<b>", style="", headline=[], alarms=[], charts=[], flags=([], []), machine=[], grids=[], left_out=[]
    )
