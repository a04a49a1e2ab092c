"""Methods that learn from a fixed teacher's distributions: their runs from the command line."""

import json
import os
import shutil
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf

from mpl_tf import main
from tests.run.test_resume import FLAGS, damage, rows, start, wait_for_rows, weights
from tools.sweep import Traced

TINY = [
    "--dataset=digits_50",
    "--model=small_cnn",
    "--train_steps=16",
    "--steps_per_epoch=4",
    "--steps_per_execution=1",
    "--labeled_batch=10",
    "--mu=2",
    "--finetune_steps=0",
]


@pytest.mark.slow
def test_the_reduced_teacher_is_not_scored_on_examples_of_the_shape_of_its_classes(tmp_path):
    flags = ["--dataset=two_moons", "--method=reduced_mpl", "--train_steps=10", "--steps_per_epoch=10"]
    flags += ["--steps_per_execution=10", "--finetune_steps=0", f"--workdir={tmp_path / 'run'}"]
    assert main.main(flags) == 0
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert set(results["other_networks"]) == {"teacher", "student"}
    assert results["other_networks"]["student"].items() <= results["test"].items()


@pytest.fixture(scope="module")
def two_generations(tmp_path_factory):
    """The workdir of a Noisy Student run of two generations that nothing disturbed."""
    workdir = tmp_path_factory.mktemp("noisy") / "run"
    assert main.main([*TINY, "--method=noisy_student", "--generations=2", f"--workdir={workdir}"]) == 0
    return workdir


@pytest.mark.slow
def test_each_generation_is_labeled_by_the_one_before(two_generations):
    results = json.loads((two_generations / "results.json").read_text())
    assert set(results["other_networks"]) == {"student", "teacher", "generation1"}
    stores = {json.loads(path.read_text())["checkpoint"]: path for path in two_generations.glob("digits_50-*.json")}
    assert len(stores) == 2
    for name in ("teacher", "generation1"):
        model = keras.models.load_model(two_generations / f"{name}.keras", compile=False)
        matching = [path for path in stores.values() if _labels_of(model, path)]
        assert len(matching) == 1
    for phase in ("teacher", "generation1", "metrics"):
        assert len((two_generations / f"{phase}.csv").read_text().splitlines()) == 1 + 4


def _labels_of(model, record):
    from mpl_tf import data
    from mpl_tf.settings import flags

    images = data.load(flags.parse(TINY)).unlabeled.images
    return np.allclose(tf.nn.softmax(model.predict(images, verbose=0)), np.load(record.with_suffix(".npy")), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "how"), [("teacher", "flipped"), pytest.param("generation1", "cut", marks=pytest.mark.slow)]
)
@pytest.mark.slow
def test_a_damaged_teacher_is_made_again_from_its_checkpoint(two_generations, tmp_path, capfd, name, how):
    """The run ends with the numbers of the undisturbed one."""
    workdir = shutil.copytree(two_generations, tmp_path / "run")
    path, results = workdir / f"{name}.keras", json.loads((workdir / "results.json").read_text())
    whole = path.read_bytes()
    before = _numbers(path)
    if how == "flipped":
        damage(path)
    else:
        path.write_bytes(whole[: len(whole) // 2])
    # The main phase is done again too, from the start, by what this teacher says.
    (workdir / "results.json").unlink()
    (workdir / "student.keras").unlink()
    shutil.rmtree(workdir / "checkpoints" / "train")
    capfd.readouterr()
    assert main.main([*TINY, "--method=noisy_student", "--generations=2", f"--workdir={workdir}"]) == 0
    out, err = capfd.readouterr()
    assert "train 16/16" in out and f"{name} " not in out  # Not a step of its phase was done again.
    told = [line for line in err.splitlines() if line.startswith("mpl_tf: ") and ".keras" in line]
    assert len(told) == 1 and told[0].startswith(f"mpl_tf: {path} is not as it was written (")
    np.testing.assert_array_equal(_numbers(path), before)
    np.testing.assert_array_equal(weights(workdir), weights(two_generations))
    again = json.loads((workdir / "results.json").read_text())
    assert (again["test"], again["other_networks"]) == (results["test"], results["other_networks"])


def _numbers(path):
    return np.concatenate([w.ravel() for w in keras.models.load_model(path, compile=False).get_weights()])


@pytest.mark.parametrize("flag", ["teacher", "init_from"])
def test_a_damaged_model_that_was_given_is_refused_before_anything_is_written(two_generations, tmp_path, capfd, flag):
    path = shutil.copy(two_generations / "teacher.keras", tmp_path / "given.keras")
    damage(path)
    given = [*TINY, "--method=pseudo_labels", f"--{flag}={path}", f"--workdir={tmp_path / 'run'}"]
    assert main.main(given) == 2
    (line,) = capfd.readouterr().err.strip().splitlines()
    assert line.startswith(f"mpl_tf: error: --{flag}: expected a Keras model in {path}, cannot read it (")
    assert line.endswith(f"; give another --{flag}") and not (tmp_path / "run").exists()


@pytest.mark.parametrize("flag", ["init_from", "init_teacher_from"])
def test_a_start_of_another_network_is_refused_before_anything_is_trained(two_generations, tmp_path, capfd, flag):
    path = two_generations / "teacher.keras"
    given = [*TINY, "--method=noisy_student", "--model=fast_resnet", f"--{flag}={path}"]
    assert main.main([*given, f"--workdir={tmp_path / 'run'}"]) == 2
    (line,) = capfd.readouterr().err.strip().splitlines()
    assert line.startswith(f"mpl_tf: error: --{flag}: expected the ") and "weights of fast_resnet" in line
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_run_killed_in_any_phase_ends_with_the_bits_of_the_undisturbed_one(two_generations, tmp_path):
    workdir = tmp_path / "run"
    flags = [*TINY, "--method=noisy_student", "--generations=2"]
    for phase in ("teacher.csv", "generation1.csv", "metrics.csv"):
        process = start(workdir, *flags)
        wait_for_rows(process, workdir, 2, phase)
        process.kill()
        process.communicate()
    assert rows(workdir, "metrics.csv")
    assert main.main([*FLAGS, *flags, f"--workdir={workdir}"]) == 0  # As `start` does.
    np.testing.assert_array_equal(weights(workdir), weights(two_generations))


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--method=noisy_student", "--generations=0"], "--generations: noisy_student needs at least 1 generation"),
        (
            ["--method=reduced_mpl", "--teacher=nowhere.keras"],
            "--teacher: expected the student.keras of a finished run, got nowhere",
        ),
        (["--method=mpl", "--teacher=some.keras"], "--teacher: goes with pseudo_labels, noisy_student and reduced_mpl"),
        (["--method=uda", "--store=some.npy"], "--store: goes with pseudo_labels, noisy_student and reduced_mpl"),
        (["--method=noisy_student", "--generations=2", "--store=some.npy"], "--store: "),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(flags, named, tmp_path, capfd):
    assert main.main([*TINY, *flags, f"--workdir={tmp_path / 'run'}"]) == 2
    lines = capfd.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert named in lines[0]
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_given_teacher_and_store_are_used_and_another_teachers_store_is_refused(two_generations, tmp_path, capfd):
    teacher, other = two_generations / "teacher.keras", two_generations / "generation1.keras"
    flags = [*TINY, "--method=reduced_mpl", f"--store={tmp_path / 'labels.npy'}"]
    make = Traced()
    assert main.main([*flags, f"--teacher={teacher}", f"--workdir={tmp_path / 'one'}"], make) == 0
    assert not (tmp_path / "one" / "teacher.csv").exists()
    written = os.stat(tmp_path / "labels.npy").st_mtime_ns
    assert main.main([*flags, "--seed=0", f"--teacher={teacher}", f"--workdir={tmp_path / 'two'}"], make) == 0
    assert os.stat(tmp_path / "labels.npy").st_mtime_ns == written
    np.testing.assert_array_equal(weights(tmp_path / "one"), weights(tmp_path / "two"))
    capfd.readouterr()
    assert main.main([*flags, f"--teacher={other}", f"--workdir={tmp_path / 'three'}"]) == 2
    assert "belongs to another teacher" in capfd.readouterr().err
    assert main.main([*flags, "--seed=1", f"--teacher={teacher}", f"--workdir={tmp_path / 'four'}"]) == 2
    assert "another unlabeled examples or order" in capfd.readouterr().err


def test_a_teacher_of_other_classes_is_refused(tmp_path, capfd):
    wrong = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(7)])
    wrong.save(tmp_path / "wrong.keras")
    flags = [*TINY, "--method=pseudo_labels", f"--teacher={tmp_path / 'wrong.keras'}", f"--workdir={tmp_path / 'run'}"]
    assert main.main(flags) == 2
    assert "--teacher: expected a network from (8, 8, 3) to 10 classes" in capfd.readouterr().err


@pytest.mark.slow
def test_sigterm_in_the_teachers_phase_goes_on_later(tmp_path):
    workdir = tmp_path / "run"
    process = start(workdir, *TINY, "--method=pseudo_labels", "--train_steps=400")
    wait_for_rows(process, workdir, 2, "teacher.csv")
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 75
    assert "SIGTERM: stopped at step" in errors
