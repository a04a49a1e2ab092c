"""A phase of training: its files, its length and batch of its own, and what it tells at its end."""

import dataclasses

import pytest

from mpl_tf import data
from mpl_tf.methods.supervised import Supervised
from mpl_tf.models.mlp import mlp
from mpl_tf.run import phase as phases
from mpl_tf.run.phase import Phase, run_phase
from mpl_tf.step.optimizer import SGD


class Recorded(Supervised):
    """Supervised training that notes the sizes of its batches."""

    def step(self, batch):
        self.sizes = getattr(self, "sizes", []) + [batch["x_l"].shape[0]]
        return super().step(batch)


def test_a_phase_is_a_value_whose_files_bear_its_name():
    phase = Phase("finetune", 8, 10, "finetune_steps")
    assert phase == Phase("finetune", 8, 10, "finetune_steps")
    assert (phase.metrics_name, Phase("train", 1, 1).metrics_name) == ("finetune.csv", "metrics.csv")
    assert Phase("train", 1, 1).steps_flag == "train_steps"
    with pytest.raises(dataclasses.FrozenInstanceError):
        phase.steps = 9


def test_it_trains_its_own_steps_on_its_own_batches_and_tells_what_became_of_them(make_config, tmp_path, capsys):
    """--train_steps and --labeled_batch are those of another phase; two epochs of 4 and 2 steps on 5 examples each."""
    flags = {"train_steps": 100, "labeled_batch": 6, "steps_per_epoch": 4, "steps_per_execution": 1}
    config = make_config("two_moons", workdir=tmp_path, **flags)
    dataset = data.load(config)
    method = Recorded(mlp(dataset.shape, dataset.num_classes, 0.0))
    method.compile(SGD(0.1))
    result = run_phase(Phase("short", 6, 5, "teacher_steps"), method, dataset, config)
    assert set(method.sizes) == {5}
    header, *rows = [line.split(",") for line in (tmp_path / "short.csv").read_text().splitlines()]
    assert [int(row[header.index("step")]) for row in rows] == [4, 6]
    first, last = (float(row[header.index("loss")]) for row in rows)
    assert result.means["loss"] == pytest.approx((4 * first + 2 * last) / 6)
    assert result.images_per_second * result.seconds == pytest.approx(6 * 5)
    assert result.skipped_steps == 0
    assert sorted(path.name for path in (tmp_path / "checkpoints" / "short").glob("*.index"))[-1] == "ckpt-6.index"
    assert list((tmp_path / "tensorboard" / "short").glob("events*"))
    assert "--teacher_steps shortens the run" not in capsys.readouterr().out  # Under a minute, and not the main phase.


@pytest.mark.parametrize(
    ("start", "steps", "expected"),
    [
        (0, 12, [(0, 12)]),
        (0, 14, [(0, 12), (12, 14)]),
        (5, 14, [(5, 8), (8, 12), (12, 14)]),
        (8, 12, [(8, 12)]),
        (9, 11, [(9, 11)]),
        (12, 12, []),
    ],
)
def test_fit_takes_the_rest_of_a_begun_epoch_then_whole_ones_then_a_last_short_one(start, steps, expected):
    assert phases._segments(start, steps, 4) == expected
