"""TensorBoard: what is in its files, read with its own reader."""

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2

from mpl_tf.run.tensorboard import TensorBoard, hyper_parameters, tag


def read(folder):
    found = EventAccumulator(str(folder), {"tensors": 0})
    found.Reload()
    return found


def scalars(found, name):
    return [(event.step, float(tf.make_ndarray(event.tensor_proto))) for event in found.Tensors(name)]


def test_quantities_are_written_by_step_and_those_that_never_change_are_not(tmp_path):
    board = TensorBoard(tmp_path)
    rows = [(5, 1.0, 0.0, 0.5), (10, 0.5, 0.0, 0.5), (12, float("nan"), 0.0, 0.25)]
    for epoch, (step, loss, skipped, accuracy) in enumerate(rows):
        logs = {"step": step, "loss": loss, "skipped_steps": skipped, "val_accuracy": accuracy}
        board.on_epoch_end(epoch, logs | {"broken": float("nan")})
    found = read(tmp_path)
    assert set(found.Tags()["tensors"]) == {"training/loss", "validation/accuracy"}
    assert scalars(found, "training/loss") == [(5, 1), (10, 0.5), (12, pytest.approx(np.nan, nan_ok=True))]
    assert scalars(found, "validation/accuracy") == [(5, 0.5), (10, 0.5), (12, 0.25)]


def test_cards_are_grouped():
    names = ("val_teacher_loss", "student_learning_rate", "norm_uda", "student_gradient_norm", "h", "images_per_second")
    groups = ("validation/teacher_loss", "rates/student_learning_rate", "gradients/norm_uda")
    groups += ("gradients/student_gradient_norm", "training/h", "run/images_per_second")
    assert tuple(map(tag, names)) == groups


def test_flags_are_hyper_parameters_and_views_are_pictures(tmp_path, make_config):
    config = make_config(seed=3, dropout=0.5, workdir=tmp_path)
    changed = hyper_parameters(config)
    assert (changed["seed"], changed["dropout"], changed["dataset"]) == (3, 0.5, "digits_50")
    assert "workdir" not in changed and "momentum" not in changed
    board = TensorBoard(tmp_path, config, lambda: {"labeled": np.full([4, 6, 3], 7, np.uint8)})
    board.on_epoch_end(0, {"step": 2, "loss": 1.0})
    found = read(tmp_path)
    width, height, picture = tf.make_ndarray(found.Tensors("views/labeled")[0].tensor_proto)
    assert (int(width), int(height)) == (6, 4)
    assert (tf.io.decode_png(picture).numpy() == 7).all()
    content = found.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    session = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info
    assert session.hparams["dropout"].number_value == 0.5 and set(session.hparams) == set(changed)


def test_a_phase_with_nothing_left_to_do_leaves_no_file(tmp_path):
    TensorBoard(tmp_path / "none")
    assert not (tmp_path / "none").exists()
