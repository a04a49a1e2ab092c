"""A run that is made longer: with a constant rate it is the run that was that long from the start, bit for bit.

Covers: checkpoint_files.py
"""

import json
import math
import shutil

import numpy as np
import pytest

from mpl_tf import main
from mpl_tf.base import files
from mpl_tf.run import callbacks, checkpoint_files, longer, workdir
from mpl_tf.settings import flags
from tests.run.test_resume import table, weights
from tests.run.test_workdir import ONE, dataset

pytestmark = pytest.mark.usefixtures("plain_graphs")
TINY = ["--dataset=digits_50", "--model=narrow_cnn", "--steps_per_execution=1", "--labeled_batch=10", "--mu=2"]
CONSTANT = [*TINY, "--schedule=constant", "--steps_per_epoch=4", "--finetune_steps=3", "--finetune_batch=10"]
WAITS = ["--teacher_warmup_steps=2", "--student_wait_steps=1", "--student_warmup_steps=1", "--uda_ramp_steps=3"]
COSINE = [*TINY, "--method=supervised", "--steps_per_epoch=1", "--finetune_steps=0", "--teacher_warmup_steps=0.25"]
COSINE += ["--learning_rate_batch=0", "--teacher_learning_rate=0.5"]


def run(folder, steps, *given):
    """The exit status of the program."""
    return main.main([*given, f"--train_steps={steps}", f"--workdir={folder}"])


def results(folder):
    """results.json without its times and what was made longer."""
    found = json.loads((folder / "results.json").read_text())
    return {key: found[key] for key in set(found) - {"seconds", "images_per_second", "crc32", "extended"}}


def dying(monkeypatch, folder, steps, at, *given):
    """The status of a run that dies after the step `at` of a phase, before that step's checkpoint."""
    after = callbacks.Saver.on_train_batch_end

    def die(self, batch, logs=None):
        after(self, batch, logs)
        if self.progress.step == at and self.progress.phase.name == "train":
            raise MemoryError("as good as killed")

    with monkeypatch.context() as patched:
        patched.setattr(callbacks.Saver, "on_train_batch_end", die)
        return run(folder, steps, *given)


@pytest.mark.slow
def test_a_constant_rate_goes_on_as_if_the_run_had_been_that_long(tmp_path, monkeypatch):
    """mpl, ended within an epoch and made longer, killed on its further way, finetuned anew."""
    given = [*CONSTANT, *WAITS]
    made, whole = tmp_path / "made", tmp_path / "whole"
    assert run(made, 6, *given) == 0
    early = results(made)
    assert [int(line[1]) for line in table(made)[1:]] == [4, 6]
    assert dying(monkeypatch, made, 14, 10, *given) == 1
    # The earlier end stays until there is a new one; only what the finetuning does again is gone.
    assert results(made) == early and (made / "student.keras").exists()
    assert not (made / "checkpoints" / "finetune").exists()
    assert workdir.going_on(made) == "the same command goes on from step 8 of the phase train"
    assert run(made, 14, *given) == 0
    assert run(whole, 14, *given) == 0
    np.testing.assert_array_equal(weights(made), weights(whole))
    assert table(made) == table(whole) and results(made) == results(whole)
    assert json.loads((made / "results.json").read_text())["extended"] == [
        {"from_step": 6, "to_step": 14, "schedule": "constant"}
    ]
    assert "extended" not in json.loads((whole / "results.json").read_text())
    assert workdir.going_on(made) == "the run is finished"


@pytest.mark.slow
def test_a_run_that_is_not_finished_is_made_longer_too(tmp_path, monkeypatch, capsys):
    given = [*CONSTANT, "--method=supervised", "--teacher_warmup_steps=0"]
    made, whole = tmp_path / "made", tmp_path / "whole"
    assert dying(monkeypatch, made, 8, 6, *given) == 1
    assert run(made, 12, *given) == 0
    assert "made longer at step 4, to 12 steps" in capsys.readouterr().out
    assert run(whole, 12, *given) == 0
    np.testing.assert_array_equal(weights(made), weights(whole))
    assert table(made) == table(whole) and results(made) == results(whole)
    capsys.readouterr()
    # Fewer steps are another run.
    before = {path: path.read_bytes() for path in made.rglob("*") if path.is_file()}
    assert run(made, 8, *given) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "holds a run with another --train_steps; give another --workdir" in line
    assert before == {path: path.read_bytes() for path in made.rglob("*") if path.is_file()}


def rates(folder):
    lines = table(folder)
    return [float(line[lines[0].index("learning_rate")]) for line in lines[1:]]


@pytest.mark.slow
def test_a_cosine_starts_again_where_it_is_asked_to(tmp_path, monkeypatch, capsys):
    """The warm-up is a quarter of the first 8 steps, also when the run has 14; the rates by hand."""
    folder = tmp_path / "run"
    assert run(folder, 8, *COSINE) == 0
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    capsys.readouterr()
    assert run(folder, 14, *COSINE) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "its cosine schedule ends, got 14; add --extend to start another cosine at step 8, from the peak" in line
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert dying(monkeypatch, folder, 14, 11, *COSINE, "--extend") == 1
    assert run(folder, 14, *COSINE, "--extend") == 0
    falling = [0.5 * (1 + math.cos(math.pi * step / 6)) / 2 for step in range(6)]
    assert rates(folder) == pytest.approx([0.25, 0.5, *falling, *falling], abs=1e-7)
    extended = [{"from_step": 8, "to_step": 14, "schedule": "cosine restarted"}]
    assert json.loads((folder / "results.json").read_text())["extended"] == extended
    # Once more; what an earlier stretch had is what it had.
    assert run(folder, 16, *COSINE, "--extend") == 0
    assert rates(folder) == pytest.approx([0.25, 0.5, *falling, *falling, 0.5, 0.25], abs=1e-7)
    # Its config.json starts a run of its own, which asks anew.
    assert flags.parse([f"--config={folder / 'config.json'}"]).extend is False


@pytest.mark.slow
def test_teachers_stay_and_the_last_student_gets_longer(tmp_path):
    """noisy_student: teacher and first generation have the first length, whose results do not change."""
    given = [
        *CONSTANT,
        "--method=noisy_student",
        "--generations=2",
        "--steps_per_epoch=2",
        "--teacher_warmup_steps=0.5",
    ]
    folder = tmp_path / "run"
    assert run(folder, 4, *given) == 0
    names = ("teacher.keras", "generation1.keras", "teacher.csv", "generation1.csv")
    before, others = {name: (folder / name).read_bytes() for name in names}, results(folder)["other_networks"]
    rows = table(folder)
    assert run(folder, 8, *given) == 0
    assert {name: (folder / name).read_bytes() for name in names} == before
    found = results(folder)
    assert {name: found["other_networks"][name] for name in ("teacher", "generation1")} == {
        name: others[name] for name in ("teacher", "generation1")
    }
    assert table(folder)[:3] == rows and [line[1] for line in table(folder)[1:]] == ["2", "4", "6", "8"]
    assert rates(folder) == pytest.approx([rates(folder)[1] * 0.75, *[rates(folder)[1]] * 3])


@pytest.fixture
def begun(make_config, tmp_path):
    """A function that starts the same run with a length and returns its stretches; there is a checkpoint of step 8."""
    folder = tmp_path / "run"

    def start(steps, extend=False):
        config = make_config(workdir=folder, train_steps=steps, steps_per_epoch=4, steps_per_execution=1)
        config = config.replace(schedule="cosine", extend=extend)
        with workdir.claimed(config, writes=True):
            return workdir.record(config, dataset(), ONE)

    assert start(12) == ((0, 12),)
    assert start(16) == ((0, 16),)  # Nothing has been trained.
    (folder / "checkpoints" / "train").mkdir(parents=True)
    (folder / "checkpoints" / "train" / "ckpt-8.index").write_text("")
    return start


@pytest.mark.parametrize("damaged", ["identity.json", "config.json", None])
def test_either_record_is_enough(begun, tmp_path, damaged, capsys):
    """And both are written again."""
    folder = tmp_path / "run"
    assert begun(20, extend=True) == ((0, 16), (8, 20))
    whole = {name: (folder / name).read_text() for name in longer.RECORDS}
    if damaged:
        (folder / damaged).write_text(whole[damaged][:-9])
    assert longer.recorded(folder) == ((0, 16), (8, 20))
    assert begun(20, extend=True) == ((0, 16), (8, 20))
    assert {name: (folder / name).read_text() for name in longer.RECORDS} == whole
    if damaged:
        (folder / damaged).write_text(whole[damaged][:-9])
        assert begun(24, extend=True) == ((0, 16), (8, 20), (8, 24))


def test_a_kill_between_both_records_is_mended(begun, tmp_path):
    identity = (tmp_path / "run" / "identity.json").read_text()
    assert begun(20, extend=True) == ((0, 16), (8, 20))
    (tmp_path / "run" / "identity.json").write_text(identity)
    assert begun(20) == ((0, 16), (8, 20))


def test_without_both_records_it_is_told_that_the_length_is_not_known(begun, tmp_path, capsys):
    begun(20, extend=True)
    for name in longer.RECORDS:
        (tmp_path / "run" / name).unlink()
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    begun(20)
    assert capsys.readouterr().err == ""
    (tmp_path / "run" / "checkpoints" / "train").mkdir(parents=True)
    (tmp_path / "run" / "checkpoints" / "train" / "ckpt-8.index").write_text("")
    for name in longer.RECORDS:
        (tmp_path / "run" / name).unlink()
    (tmp_path / "run" / "config.json").write_text("")
    with pytest.raises(workdir.UsageError, match="expected .*config.json as it was written"):
        begun(20)


def test_results_of_an_earlier_end_are_not_those_of_the_run(begun, tmp_path):
    files.write_json(tmp_path / "run" / "results.json", {"steps": 16})
    assert workdir.going_on(tmp_path / "run") == "the run is finished"
    begun(20, extend=True)
    assert workdir.going_on(tmp_path / "run") == "the same command goes on from step 8 of the phase train"
    assert checkpoint_files.listed(tmp_path / "run" / "checkpoints" / "train") == [8]
