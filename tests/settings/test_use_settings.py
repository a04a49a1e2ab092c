"""Flags of what is done with a trained network: one line for what does not go.

Covers: use_checks.py
"""

import importlib.util

import pytest

from mpl_tf.base.errors import UsageError
from mpl_tf.settings import config_json, flags


@pytest.fixture
def run(tmp_path, make_config):
    """A folder with the config.json of a run."""
    (tmp_path / "config.json").write_text(config_json.to_json(make_config(workdir=tmp_path)))
    return tmp_path


PREDICT = ["--mode=predict", "--images=."]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([*PREDICT, "--top_k=0"], "--top_k: expected at least 1, got 0"),
        ([*PREDICT, "--top_k=two"], "--top_k"),
        ([*PREDICT, "--all_probabilities=some"], "--all_probabilities"),
        (
            ["--mode=export", "--export=tflite,coreml"],
            "--export: expected some of saved_model, tflite, onnx, separated by commas, as in tflite,onnx, got "
            "tflite,coreml",
        ),
        (["--mode=export"], "--export: expected some of saved_model, tflite, onnx for --mode=export, got nothing"),
        (
            ["--mode=export", "--export=tflite", "--images=gone"],
            "--images: expected a folder of images, an image or a CSV file of their paths, found no gone",
        ),
        (
            ["--mode=predict"],
            "--images: expected a folder of images, an image or a CSV file of their paths, got nothing",
        ),
        (
            ["--mode=predict", "--images=gone.csv"],
            "--images: expected a folder of images, an image or a CSV file of their paths, found no gone.csv",
        ),
    ],
)
def test_a_refusal_is_one_line(run, arguments, told):
    with pytest.raises(UsageError) as caught:
        flags.parse([*arguments, f"--workdir={run}"])
    assert told in str(caught.value) and "\n" not in str(caught.value)


def test_what_is_shown_makes_no_other_run(run, make_config):
    config = flags.parse([*PREDICT, f"--workdir={run}", "--top_k=3", "--all_probabilities", "--export=tflite"])
    assert (config.top_k, config.all_probabilities) == (3, True)
    assert config_json.differences(config, config_json.from_json(run / "config.json")) == []


def test_each_format_counts_once(make_config):
    assert make_config(export="onnx,tflite,onnx").exports() == ("onnx", "tflite") and make_config().exports() == ()


def test_a_missing_package_is_told_before_a_training_and_nowhere_else(run, make_config, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if "onnx" in name else found(name))
    told = "--export: onnx needs packages that are not installed: pip install onnx onnxruntime tf2onnx brings them"
    for arguments in (["--dataset=digits_50"], ["--mode=export", f"--workdir={run}"]):
        with pytest.raises(UsageError) as caught:
            flags.parse([*arguments, "--export=saved_model,onnx"])
        assert str(caught.value) == told
    assert flags.parse(["--dataset=digits_50", "--export=saved_model,tflite"]).exports() == ("saved_model", "tflite")
    # A run that was exported elsewhere is used here.
    (run / "config.json").write_text(config_json.to_json(make_config(workdir=run).replace(export="onnx")))
    assert flags.parse([*PREDICT, f"--workdir={run}"]).export == "onnx"
