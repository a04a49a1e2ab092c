"""Validation at the epochs' ends: scores by hand, the best step, an early end; the same bits after a stop.

Covers: copies.py
"""

import csv
import dataclasses
import os
import shutil
import signal
import subprocess
import sys
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mpl_tf import data, main
from mpl_tf.base.errors import RunError
from mpl_tf.data import Dataset, Source, decode, streamed
from mpl_tf.run import callbacks, evaluate, phase, workdir
from mpl_tf.run.checkpoint_files import listed
from mpl_tf.run.copies import Copies
from mpl_tf.run.phase import Phase
from mpl_tf.run.validation import Validation, over, score
from mpl_tf.settings import flags
from tests import tiny
from tests.devices.test_workers import TWO_DEVICES
from tests.run.test_longer import results
from tests.run.test_resume import ROOT, table, wait_for_rows, weights
from tools.sweep import Traced

pytestmark = pytest.mark.usefixtures("plain_graphs")
POINTS = np.random.default_rng(0).normal(size=(7, tiny.FEATURES)).astype("float32")
LABELS = np.array([0, 1, 2, 0, 1, 2, 0], np.int32)
NAMES = ("a", "b", "c")
# A network that learns by leaps, so that its validation accuracy falls and rises.
RUN = ["--dataset=digits_50", "--model=narrow_cnn", "--method=supervised", "--validate_on=held_out"]
RUN += ["--steps_per_epoch=4", "--steps_per_execution=4", "--finetune_steps=0", "--labeled_batch=10"]
RUN += ["--ema_decay=0.5", "--schedule=constant", "--teacher_warmup_steps=0", "--learning_rate_batch=0"]
PATIENT = ["--keep=best", "--patience=3"]


# ---- Scores ---------------------------------------------------------------------------------------------------------


def by_hand(network, images=POINTS, labels=LABELS):
    """(accuracy, mean cross entropy) of a network's logits."""
    logits = network(images).numpy().astype(float)
    losses = np.log(np.exp(logits).sum(axis=-1)) - logits[np.arange(len(labels)), labels]
    return float(np.mean(logits.argmax(axis=-1) == labels)), float(losses.mean())


@pytest.fixture
def watched(make_config):
    """(Validation, its method): mpl on tiny networks, a callback of the main phase, at step 4."""
    method = tiny.make("mpl", ema_decay=0.5)
    source = Source(POINTS, LABELS)
    dataset = Dataset("points", source, None, None, NAMES, validation=source)
    config = make_config(steps_per_epoch=4, steps_per_execution=1, eval_batch=3)
    noted = SimpleNamespace(best_step=tf.Variable(0), note=lambda *given: noted.seen.append(given), seen=[])
    found = Validation(
        method, dataset, config, Phase("train", 8, 4), noted, SimpleNamespace(step=4), Copies(method, dataset)
    )
    found.set_model(method)
    return found, method


def test_the_deployed_network_and_the_teacher_are_scored_as_they_are_now_and_nothing_is_traced_anew(watched):
    found, method = watched
    for epoch in range(3):
        for number, network in enumerate((method.averaged, method.student_network, method.teacher_network)):
            random = np.random.default_rng(10 * epoch + number)
            network.set_weights([random.normal(size=value.shape) for value in network.get_weights()])
        logs, found.progress.step = {"loss": 1.0}, 4 + epoch
        found.on_epoch_end(epoch, logs)
        expected = {"val": by_hand(method.averaged), "val_teacher": by_hand(method.teacher_network)}
        columns = {
            f"{name}_{kind}": value
            for name, pair in expected.items()
            for kind, value in zip(("accuracy", "loss"), pair, strict=True)
        }
        assert logs == pytest.approx({"loss": 1.0} | columns, rel=1e-5)
        assert found.checkpoints.seen[-1] == (columns["val_accuracy"], 4 + epoch)
        # One trace for whole batches, and one for all sizes, as the last batch is a short one.
        traces = [copy.predict_function.experimental_get_tracing_count() for copy in found.copies.models.values()]
        assert traces == [2, 2]


def test_a_score_is_that_of_the_final_evaluation():
    network = tiny.network(3)
    network.set_weights(
        [50 * value for value in network.get_weights()]
    )  # Losses beyond 36 nats, where scikit-learn cuts.
    found, (scores, _) = (function(network, Source(POINTS, LABELS), 4) for function in (score, evaluate.evaluate))
    assert (found.accuracy, found.loss) == pytest.approx((scores["top1"], scores["loss"]))
    accuracy, loss = by_hand(network)
    assert (found.right, found.count) == (round(7 * accuracy), 7) and found.loss == pytest.approx(loss) and loss > 36


def test_streamed_images_are_scored_and_one_that_is_damaged_is_named(tmp_path):
    random, images = np.random.default_rng(1), []
    for number in range(5):
        images.append(random.integers(0, 256, (8, 8, 3), np.uint8))
        Image.fromarray(images[-1]).save(tmp_path / f"{number}.png")
    files = tuple(str(tmp_path / f"{number}.png") for number in range(5))
    places = np.array([(number, 0, os.path.getsize(file)) for number, file in enumerate(files)], np.int64)

    def parse(data):  # Of a file its first byte after the header says nothing: all are of class 1.
        return data, tf.constant(1, tf.int64)

    there = streamed.Streamed(files, places, parse, 8, framed=False)
    network = tiny.convolutional()
    memory = Source(np.stack([decode.decode(file, 8) for file in files]), np.ones([5], np.int32))
    assert score(network, there, 2) == pytest.approx(score(network, memory, 2), rel=1e-6)
    content = bytearray((tmp_path / "3.png").read_bytes())
    content[40:] = bytes(len(content) - 40)
    (tmp_path / "3.png").write_bytes(content)
    with pytest.raises(RunError, match="3.png: expected an image"):
        score(network, there, 2)


class Readable(Source):
    """Examples of which some cannot be read, as own images with --skip_bad_images; they are no part of the pieces."""

    def pieces(self, size, start=0):
        fine = self.labels != 1
        if fine.any():
            yield self.images[fine], self.labels[fine]


def test_images_that_are_left_out_have_no_part_in_a_score():
    network = tiny.network(3)
    found, fine = score(network, Readable(POINTS, LABELS), 4), LABELS != 1
    assert found.count == 5 < len(LABELS)
    assert (found.accuracy, found.loss) == pytest.approx(by_hand(network, POINTS[fine], LABELS[fine]), rel=1e-6)
    with pytest.raises(RunError, match="^none of the 2 validation images could be read"):
        score(network, Readable(POINTS[[1, 4]], LABELS[[1, 4]]), 4)


@pytest.mark.parametrize(
    ("step", "best", "since", "patience", "ends"),
    [
        (12, 4, 0, 2, True),
        (12, 4, 0, 3, False),
        (12, 12, 0, 1, False),
        (12, 4, 0, 0, False),
        (13, 4, 0, 2, True),  # Within the next epoch, as of a checkpoint there.
        (12, 4, 8, 2, False),  # Made longer at step 8.
        (16, 4, 8, 2, True),
    ],
)
def test_an_epoch_counts_that_has_no_better_score(make_config, step, best, since, patience, ends):
    config = make_config(steps_per_epoch=4, steps_per_execution=1, validate_on="held_out", patience=patience)
    known, main_phase = SimpleNamespace(best_step=tf.Variable(best)), Phase("train", 40, 4, since=since)
    assert over(known, main_phase, config, step) is ends
    assert not over(known, dataclasses.replace(main_phase, name="teacher"), config, step)


# ---- Whole runs -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def traced():
    """Makes the method of RUN, its step traced once for all runs of it."""
    return Traced()


def run(folder, traced, steps, *flags):
    """The workdir of a run that has ended well."""
    assert main.main([*RUN, f"--train_steps={steps}", *flags, f"--workdir={folder}"], traced) == 0
    return folder


@pytest.fixture(scope="module")
def last(tmp_path_factory, traced):
    """The workdir of 80 steps, of which the last counts."""
    return run(tmp_path_factory.mktemp("last") / "run", traced, 80)


@pytest.fixture(scope="module")
def best(tmp_path_factory, traced):
    """The workdir of the same run, ended early, of which the best step counts."""
    return run(tmp_path_factory.mktemp("best") / "run", traced, 80, *PATIENT)


def column(folder, name):
    with open(folder / "metrics.csv", newline="") as file:
        return [float(row[name]) for row in csv.DictReader(file)]


def ends(accuracies, patience):
    """(rows, best row) by a plain count of the rows without a better accuracy."""
    highest, waited, at = -1.0, 0, 0
    for row, accuracy in enumerate(accuracies):
        highest, waited, at = (accuracy, 0, row) if accuracy > highest else (highest, waited + 1, at)
        if waited == patience:
            return row + 1, at
    return len(accuracies), at


def test_the_last_row_is_the_score_of_the_student_and_the_best_step_is_recorded(last):
    found, accuracies = results(last), column(last, "val_accuracy")
    assert accuracies[-1] == found["validation"]["top1"] and found["validation"]["n"] == 264
    assert column(last, "val_loss")[-1] == pytest.approx(found["validation"]["loss"], rel=1e-6)
    assert found["best_step"] == 4 * (1 + int(np.argmax(accuracies)))
    assert found["best_val_accuracy"] == max(accuracies)
    assert (found["student_step"], found["trained_steps"], found["stopped_early"]) == (80, 80, False)
    assert found["validation"]["per_class"]["support"] == [27, 28, 25, 28, 26, 24, 27, 25, 27, 27]
    assert list((last / "tensorboard" / "train").glob("events*"))
    assert listed(last / "checkpoints" / "train") == [80, 76, 72]


@pytest.mark.slow
def test_patience_ends_the_run_and_the_best_step_is_kept(last, best, traced, tmp_path, capsys):
    rows, at = ends(column(last, "val_accuracy"), 3)
    assert table(best) == table(last)[: 1 + rows] and rows < 20
    found = results(best)
    assert (found["stopped_early"], found["trained_steps"], found["steps"]) == (True, 4 * rows, 80)
    assert found["best_step"] == found["student_step"] == 4 * (1 + at) < 4 * rows
    assert found["validation"]["top1"] == found["best_val_accuracy"] == column(best, "val_accuracy")[at]
    # Its own checkpoint outlives the three newest, and is what a run of that length leaves.
    assert set(listed(best / "checkpoints" / "train")) == {found["best_step"], *(4 * (rows - n) for n in range(3))}
    short = run(tmp_path / "short", traced, found["best_step"])
    np.testing.assert_array_equal(weights(best), weights(short))
    exported = keras.models.load_model(best / "student.keras", compile=False)
    held = data.load(flags.parse(RUN)).validation
    assert score(exported, held, 256).accuracy == found["best_val_accuracy"]
    # The same command again tells it.
    capsys.readouterr()
    run(best, None, 80, *PATIENT)
    told = capsys.readouterr().out
    assert f"; stopped early at step {4 * rows} of 80; the best step by validation, {4 * (1 + at)}, is kept" in told


def test_a_run_that_ended_early_trains_no_further_when_its_outcome_is_made_again(best, traced, tmp_path, monkeypatch):
    again = shutil.copytree(best, tmp_path / "run")
    (again / "student.keras").unlink()
    (again / "results.json").unlink()
    assert workdir.going_on(again).endswith(f"from step {results(best)['trained_steps']} of the phase train")
    monkeypatch.setattr(phase.pipeline, "training_batches", None)
    run(again, traced, 80, *PATIENT)
    np.testing.assert_array_equal(weights(again), weights(best))
    assert (table(again), results(again)) == (table(best), results(best))


@pytest.mark.slow
def test_a_run_that_died_between_two_checkpoints_ends_with_the_same_choice(best, traced, tmp_path, monkeypatch):
    """After its best step, in the middle of an epoch that would have been one of those without a better score."""
    after, dies_at = callbacks.Progress.on_epoch_end, results(best)["trained_steps"] - 4
    died = tmp_path / "run"

    def die(self, epoch, logs=None):
        if self.step == dies_at:
            raise MemoryError("as good as killed")
        after(self, epoch, logs)

    with monkeypatch.context() as patched:
        patched.setattr(callbacks.Progress, "on_epoch_end", die)
        assert main.main([*RUN, "--train_steps=80", *PATIENT, f"--workdir={died}"], traced) == 1
    assert listed(died / "checkpoints" / "train")[0] == dies_at - 4
    run(died, traced, 80, *PATIENT)
    np.testing.assert_array_equal(weights(died), weights(best))
    assert (table(died), results(died)) == (table(best), results(best))


def test_a_best_checkpoint_that_is_damaged_is_told(best, traced, tmp_path, capsys):
    again = shutil.copytree(best, tmp_path / "run")
    (again / "results.json").unlink()
    path = again / "checkpoints" / "train" / f"ckpt-{results(best)['best_step']}.data-00000-of-00001"
    path.write_bytes(path.read_bytes()[:-9])
    assert main.main([*RUN, "--train_steps=80", *PATIENT, f"--workdir={again}"], traced) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"ckpt-{results(best)['best_step']}, the best by its validation score, cannot be read" in line
    assert f"delete {again / 'checkpoints' / 'train'} to train from the start" in line


@pytest.mark.slow
def test_a_run_that_ended_early_and_is_made_longer_goes_on_and_waits_anew(best, last, traced, tmp_path):
    again, before = shutil.copytree(best, tmp_path / "run"), results(best)
    run(again, traced, 84, *PATIENT)
    accuracies, rows = column(again, "val_accuracy"), before["trained_steps"] // 4
    assert accuracies[:20] == column(last, "val_accuracy")[: len(accuracies)] and len(accuracies) > rows
    found = results(again)
    # The best so far stays the best until a better one comes, and waiting begins where the run went on.
    highest = max(accuracies[:rows])
    waited = ends([highest, *accuracies[rows:]], 3)[0] - 1
    assert len(accuracies) == rows + waited and found["best_val_accuracy"] == max(accuracies)
    assert found["student_step"] == 4 * (1 + int(np.argmax(accuracies)))


# ---- Methods of two networks, processes, replicas -------------------------------------------------------------------

MPL = [*(flag for flag in RUN if "method" not in flag), "--method=mpl", "--mu=2", "--student_wait_steps=0"]
MPL += ["--student_warmup_steps=0", "--uda_ramp_steps=0", "--train_steps=40", "--scored_on=validation", "--keep=best"]
MPL += ["--patience=5", "--finetune_steps=4", "--finetune_batch=10", "--steps_per_execution=1"]


def started(folder):
    """An mpl run as a process of its own: the graphs of this one are not those that a run has."""
    command = [sys.executable, "-m", "mpl_tf.main", *MPL, f"--workdir={folder}"]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The workdir of an mpl run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("mpl") / "run"
    assert started(folder).wait() == 0
    return folder


@pytest.mark.slow
def test_the_teacher_is_scored_too_and_finetuning_starts_from_the_best_step(undisturbed):
    found = results(undisturbed)
    row = found["best_step"] // 4 - 1
    assert found["test"] == found["validation"] and found["scored_on"] == "validation"
    assert column(undisturbed, "val_teacher_accuracy")[row] == found["other_networks"]["teacher"]["top1"]
    assert column(undisturbed, "val_teacher_loss")[row] == pytest.approx(found["other_networks"]["teacher"]["loss"])
    assert column(undisturbed, "val_accuracy")[row] == found["other_networks"]["before_finetune"]["top1"]
    with open(undisturbed / "finetune.csv", newline="") as file:
        (last,) = csv.DictReader(file)
    assert float(last["val_accuracy"]) == found["validation"]["top1"]


@pytest.mark.slow
def test_kill_9_changes_nothing_of_the_choice(undisturbed, tmp_path):
    folder = tmp_path / "run"
    for _ in range(2):  # Of six rows or more.
        process = started(folder)
        wait_for_rows(process, folder, 1)
        process.kill()
        assert process.wait() == -signal.SIGKILL
        assert not (folder / "results.json").exists()
    assert started(folder).wait() == 0
    np.testing.assert_array_equal(weights(folder), weights(undisturbed))
    assert (table(folder), results(folder)) == (table(undisturbed), results(undisturbed))


@pytest.mark.slow
def test_two_replicas_choose_as_one_device_does(tmp_path):
    """On views without chance, which differ from replica to replica; up to rounding, by which one of the 264 examples
    may be judged otherwise."""
    plain = [*RUN, "--train_steps=24", *PATIENT, "--shift=0", "--dropout=0", "--teacher_learning_rate=0.05"]
    for name in ("mirrored", "one"):
        command = [sys.executable, "-c", TWO_DEVICES, *plain, f"--strategy={name}", "--allow_cpu"]
        command.append(f"--workdir={tmp_path / name}")
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    two, one = (np.array(column(tmp_path / name, "val_accuracy")) for name in ("mirrored", "one"))
    np.testing.assert_allclose(two, one, atol=1.5 / 264)
    np.testing.assert_allclose(*(column(tmp_path / name, "val_loss") for name in ("mirrored", "one")), rtol=1e-3)
    found = results(tmp_path / "mirrored")
    assert found["best_step"] == 4 * (1 + int(np.argmax(two))) and found["student_step"] == found["best_step"]
    assert found["validation"]["top1"] == found["best_val_accuracy"] == two.max()
