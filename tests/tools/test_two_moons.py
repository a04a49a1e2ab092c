"""The TwoMoon study: the methods' steps for many data sets at once, none seeing another; counts by hand; resumption."""

import csv
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mpl_tf import data, methods
from tools import two_moons
from tools._two_moons import report as moons_report
from tools._two_moons import study
from tools._two_moons import training as moons_training

QUICK = ["--train_steps=100", "--steps_per_execution=50", "--jit_compile=false"]
STRONG = 30.0  # Factor of the first weights: at U(-0.1, 0.1) a step's feedback is lost in rounding.


def points_of(config, seeds):
    """Points with networks far from the plateau at which they start."""
    points = moons_training.Points(config, seeds)
    points.teacher, points.student = ([STRONG * part for part in one] for one in (points.teacher, points.student))
    return points


@pytest.fixture(scope="module")
def config(make_config):
    return make_config("two_moons", train_steps=6, steps_per_execution=2, steps_per_epoch=6)


@pytest.fixture(scope="module")
def compiled(config):
    """MPL's trainer as it runs, compiled with XLA."""
    return moons_training.Trainer(config)


@pytest.mark.parametrize("name", ["supervised", "uda", "mpl", "mpl_feedback_off"])
def test_steps_are_the_methods_own(config, name):
    """Six steps of two data sets at once against train_step of the method itself, one data set after the other.

    Without XLA, which draws other random numbers for the sampled labels.
    """
    config = config.replace(**study.METHODS[name], jit_compile=False)
    seeds = (3, 8)
    points, trainer = points_of(config, seeds), moons_training.Trainer(config)
    first = [points.teacher, points.student][: len(trainer.networks)]
    trained = moons_training.train(trainer, points, first)
    chunks = list(moons_training.chunks(trainer, points, None))
    for k, seed in enumerate(seeds):
        method = methods.make(config.replace(seed=seed), (2,), 2)  # Run eagerly: quicker than tracing it.
        for learner, weights in zip(method.learners().values(), first, strict=True):
            learner.network.set_weights([one[k] for one in weights])
        for chunk in chunks:
            for s in range(2):
                batch = {"x_l": points.x_l[k], "y_l": points.y_l[k]} | {key: part[s, k] for key, part in chunk.items()}
                logs = method.train_step({key: tf.constant(part) for key, part in batch.items()})
        assert name != "mpl" or abs(float(logs["h"])) > 1e-4
        for role, learner in method.learners().items():
            for expected, found, before in zip(learner.weights(), trained[role], first[0], strict=True):
                np.testing.assert_allclose(found[k], expected, rtol=1e-4, atol=1e-5)
                assert np.abs(found[k] - before[k]).max() > 1e-3


@pytest.mark.slow
def test_xla_changes_no_number(config):
    """With the likeliest label instead of a sampled one."""
    trained = []
    for jit_compile in (True, False):
        one = config.replace(pseudo_labels="argmax", jit_compile=jit_compile)
        points = points_of(one, (3, 8))
        trained.append(moons_training.train(moons_training.Trainer(one), points, [points.teacher, points.student]))
    for role in ("teacher", "student"):
        for a, b in zip(trained[0][role], trained[1][role], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_data_sets_do_not_see_each_other(config, compiled):
    """Alone, elsewhere in the batch, or beside a data set of NaN: the same numbers."""

    def run(seeds, spoiled=None):
        points = points_of(config, seeds)
        if spoiled is not None:
            points.x_u[spoiled], points.x_l[spoiled] = np.nan, np.nan
        trained = moons_training.train(compiled, points, [points.teacher, points.student])
        return {seed: [part[k] for one in trained.values() for part in one] for k, seed in enumerate(seeds)}

    three, beside_nan = run((0, 1, 2)), run((0, 1, 2), spoiled=1)
    for seed, other in ((1, run((1,))), (2, run((7, 2, 0))), (0, beside_nan), (2, beside_nan)):
        for a, b in zip(three[seed], other[seed], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)
    assert np.isnan(beside_nan[1][0]).all()


def test_data_and_first_weights_are_the_main_programs(config):
    points = moons_training.Points(config, (4, 9))
    for k, seed in enumerate((4, 9)):
        dataset = data.load(config.replace(seed=seed))
        np.testing.assert_array_equal(points.x_l[k], dataset.labeled.images)
        np.testing.assert_array_equal(points.y[k], dataset.test.labels)
        for name, roles in (("mpl", ["teacher", "student"]), ("uda", ["teacher"]), ("supervised", ["network"])):
            keras.utils.set_random_seed(seed)
            learners = methods.make(config.replace(method=name, seed=seed), (2,), 2).learners()
            for role, weights in zip(roles, (points.teacher, points.student), strict=False):
                for expected, found in zip(learners[role].weights(), weights, strict=True):
                    np.testing.assert_array_equal(found[k], expected)


def test_batches_are_noisy_views_of_the_data_sets_own_points(config):
    points = moons_training.Points(config, (4, 9))
    chunk, places = next(points.batches(steps=300, size=30, stddev=0.1))
    for k in range(2):
        np.testing.assert_array_equal(chunk["x_u_weak"][:, k], points.x_u[k][places[:, k]])
    noise = chunk["x_u_strong"] - chunk["x_u_weak"]
    assert noise.std() == pytest.approx(0.1, rel=0.02)
    assert abs(noise.mean()) < 0.002
    assert len(np.unique(places[:, 0])) > 0.95 * points.x_u.shape[1]
    alone, _ = next(moons_training.Points(config, (9,)).batches(steps=300, size=30, stddev=0.1))
    np.testing.assert_array_equal(alone["x_u_strong"][:, 0], chunk["x_u_strong"][:, 1])


def test_pseudo_labels_are_learned_from_the_fixed_labels_alone(config):
    config = config.replace(method="supervised", jit_compile=False)
    points, trainer = points_of(config, (4, 9)), moons_training.Trainer(config)
    labels = np.stack([np.arange(points.x_u.shape[1], dtype=np.int32) % 2] * 2)
    for chunk in moons_training.chunks(trainer, points, labels):
        for k in range(2):
            where = [np.flatnonzero((points.x_u[k] == x).all(axis=1))[0] for x in chunk["x_l"][0, k].numpy()]
            np.testing.assert_array_equal(chunk["y_l"][0, k], labels[k][where])
    trained = [moons_training.train(trainer, points, [points.student], one) for one in (labels, 1 - labels)]
    assert np.abs(trained[0]["network"][0] - trained[1]["network"][0]).max() > 1e-3
    points.y_l = 1 - points.y_l
    again = moons_training.train(trainer, points, [points.student], labels)
    np.testing.assert_array_equal(again["network"][0], trained[0]["network"][0])


def run_of(correct):
    """A run of the figures that the report reads; `correct` as {role: points right}."""
    return {"points": 2000, "correct": correct, "seconds": 1.0, "weights": {}}


def test_success_is_98_percent_of_the_evaluated_network():
    assert moons_report.success(run_of({"network": 1960}))
    assert not moons_report.success(run_of({"network": 1959}))
    assert not moons_report.success(run_of({"teacher": 2000, "student": 1900}))
    assert moons_report.success(run_of({"teacher": 2000, "student": 1900}), "teacher")


def test_sign_test_by_hand():
    """Six against none: p = 2 / 2^6; one against one: p = 1."""

    def table(one, other):
        rows = ({seed: run_of({"network": 2000 * right}) for seed, right in enumerate(row)} for row in (one, other))
        return dict(zip(("mpl", "mpl_feedback_off"), rows, strict=True))

    six = table([1] * 8, [0] * 6 + [1, 1])
    assert moons_report.compare(six, "mpl", "mpl_feedback_off") == (6, 0, pytest.approx(2 / 64))
    said = moons_report._verdict(six, "mpl", "mpl_feedback_off", "the feedback")
    assert "on 8 of 8 data sets" in said
    assert "difference of +6" in said
    assert said.endswith("The feedback helps, beyond what chance explains.")
    assert moons_report.compare(table([1, 0, 1], [0, 1, 1]), "mpl", "mpl_feedback_off") == (1, 1, 1.0)
    assert moons_report.compare(table([1, 0], [1, 0]), "mpl", "mpl_feedback_off") == (0, 0, 1.0)
    harmed = moons_report._verdict(table([0] * 6, [1] * 6), "mpl", "mpl_feedback_off", "the feedback")
    assert harmed.endswith("The feedback harms, beyond what chance explains.")
    equal = moons_report._verdict(table([1], [1]), "mpl", "mpl_feedback_off", "the feedback")
    assert equal.endswith("No effect of the feedback on the successes can be told from chance.")


@pytest.mark.slow
def test_a_small_study_its_files_and_that_no_run_is_made_twice(tmp_path, capsys):
    command = ["--seed=3", f"--output={tmp_path}", *QUICK]
    assert two_moons.main(["--num_datasets=2", *command]) == 0
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").iterdir()}
    assert len(made) == 2 * len(study.METHODS)
    counts = json.loads((tmp_path / "success.json").read_text())
    assert list(counts) == ["supervised", "pseudo_labels", "uda", "mpl", "mpl_feedback_off"]
    assert all(set(count) == {"success", "datasets"} and count["datasets"] == 2 for count in counts.values())
    with open(tmp_path / "runs.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["method"], row["seed"]) for row in rows[:3]] == [
        ("supervised", "3"),
        ("supervised", "4"),
        ("pseudo_labels", "3"),
    ]
    assert all(0 <= float(row["accuracy"]) <= 1 for row in rows)
    assert [row["method"] for row in rows if row["teacher_accuracy"]] == ["mpl"] * 2 + ["mpl_feedback_off"] * 2
    text = (tmp_path / "success.md").read_text()
    assert f"`python -m tools.two_moons --num_datasets=2 --seed=3 --output={tmp_path} {' '.join(QUICK)}`" in text
    assert "100 steps of SGD at 0.1" in text
    assert Image.open(tmp_path / "figure2.png").size[0] > 1000
    assert "<svg" in (tmp_path / "figure2.svg").read_text()
    capsys.readouterr()

    one = tmp_path / "runs" / "uda-seed4.json"
    one.write_text(one.read_text()[:100])  # As if another program had damaged it.
    assert two_moons.main(["--num_datasets=2", *command]) == 0
    said = capsys.readouterr().out
    assert said.count("succeed,") == 1
    assert "9 of 10 runs were already there" in said
    assert {path for path, time in made.items() if path.stat().st_mtime_ns != time} == {one}
    run = json.loads((tmp_path / "runs" / "mpl-seed4.json").read_text())
    assert study.read(tmp_path / "runs" / "mpl-seed4.json", run["settings"] | {"noise": 0.2}) is None
    seed_4 = json.loads(one.read_text())["correct"]
    assert (
        seed_4["teacher"]
        == json.loads((tmp_path / "runs" / "mpl_feedback_off-seed4.json").read_text())["correct"]["teacher"]
    )


def test_groups_are_even_and_bounded(monkeypatch):
    monkeypatch.setattr(study, "workers", lambda: 2)
    assert study.groups(list(range(5))) == [(0, 1), (2, 3, 4)]
    assert study.groups([7]) == [(7,)]
    assert study.groups([]) == []
    assert [len(group) for group in study.groups(list(range(120)))] == [40, 40, 40]


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--num_datasets=0"], "num_datasets"),
        (["--num_datasets=many"], "num_datasets"),
        (["--seed=-1"], "seed"),
        (["--seed=2147483647"], "--seed"),
        (["--nonsense=1"], "nonsense"),
        (["--dataset=digits_50"], "--dataset"),
        (["--method=uda"], "--method"),
        (["--labeled_batch=4"], "--labeled_batch"),
        (["--train_steps=7"], "--steps_per_execution"),
        (["somewhere"], "somewhere"),
    ],
)
def test_bad_flags_are_one_line(flags, named, tmp_path, capsys):
    assert two_moons.main([f"--output={tmp_path / 'new'}", *flags]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("two_moons: error: ")
    assert named in line
    assert not (tmp_path / "new").exists()


def test_an_output_that_is_a_file_or_below_one_is_one_line(tmp_path, capsys):
    (tmp_path / "taken").write_text("")
    for output in (tmp_path / "taken", tmp_path / "taken" / "below"):
        assert two_moons.main([f"--output={output}"]) == 2
        assert "--output: expected a folder, or a place for a new one, got " in capsys.readouterr().err
